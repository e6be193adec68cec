// Docker's NetworkSettings for the containers whose network skep plumbs itself: Podman only knows that they joined a namespace. The facts
// come from ContainerNetworks; here is their shape in lists and in inspect, and the store's view as the usual source of them.

import type { NetworkId, TaskId } from "../../model/ids.ts";
import { addressOf, macOf, parseIp } from "../../model/ip.ts";
import type { Store } from "../../store/index.ts";
import type { ContainerNetworks } from "./context.ts";
import { ATTACHMENT_LABEL, type ContainerEndpoint, type ContainerNetworking, TASK_LABEL } from "./context.ts";

/** Where a task's sandbox is on this node. */
export interface Sandbox {
  readonly id: string;
  readonly key: string;
  /** 64 hex digits by network id. */
  readonly endpointIds: Readonly<Record<NetworkId, string>>;
}

/** The usual ContainerNetworks: addresses from the store's tasks, sandboxes from whoever keeps them. */
export function storeNetworks(
  store: Pick<Store, "view">,
  sandboxOf: (taskId: TaskId) => Sandbox | undefined,
): ContainerNetworks {
  return {
    of(taskId) {
      const task = store.view.get("task", taskId);
      if (!task) return undefined;
      const sandbox = sandboxOf(taskId);
      return {
        sandboxId: sandbox?.id ?? "",
        sandboxKey: sandbox?.key ?? "",
        endpoints: task.networks.map((n) => ({
          networkName: store.view.get("network", n.networkId)?.spec.Name ?? n.networkId,
          networkId: n.networkId,
          endpointId: sandbox?.endpointIds[n.networkId] ?? "",
          addresses: n.addresses,
          aliases: n.aliases,
        })),
      };
    },
  };
}

/** The task (of a service, or an attachment) that a container is for; `undefined` for a plain container. */
export function taskOf(labels: Readonly<Record<string, string>>): TaskId | undefined {
  return (labels[TASK_LABEL] ?? labels[ATTACHMENT_LABEL]) as TaskId | undefined;
}

/** NetworkSettings.Networks. `shortId` is among the aliases in inspect, and in lists there are none. */
export function networksJson(networking: ContainerNetworking, shortId?: string): Record<string, unknown> {
  return Object.fromEntries(networking.endpoints.map((e) => [e.networkName, endpointJson(e, shortId)]));
}

function endpointJson(e: ContainerEndpoint, shortId: string | undefined): object {
  const v4 = e.addresses.find((a) => parseIp(addressOf(a)).family === 4);
  const v6 = e.addresses.find((a) => parseIp(addressOf(a)).family === 6);
  const config = {
    ...(v4 === undefined ? {} : { IPv4Address: addressOf(v4) }),
    ...(v6 === undefined ? {} : { IPv6Address: addressOf(v6) }),
  };
  return {
    IPAMConfig: config,
    Links: null,
    Aliases: shortId === undefined ? null : [...e.aliases.filter((a) => a !== shortId), shortId],
    MacAddress: e.addresses[0] === undefined ? "" : macOf(v4 ?? e.addresses[0]),
    DriverOpts: null,
    NetworkID: e.networkId,
    EndpointID: e.endpointId,
    Gateway: "",
    IPAddress: v4 === undefined ? "" : addressOf(v4),
    IPPrefixLen: v4 === undefined ? 0 : prefixLength(v4),
    IPv6Gateway: "",
    GlobalIPv6Address: v6 === undefined ? "" : addressOf(v6),
    GlobalIPv6PrefixLen: v6 === undefined ? 0 : prefixLength(v6),
    DNSNames: null,
  };
}

/** NetworkSettings of inspect, whole. */
export function networkSettingsJson(networking: ContainerNetworking, shortId: string, ports: unknown): object {
  return {
    Bridge: "",
    SandboxID: networking.sandboxId,
    SandboxKey: networking.sandboxKey,
    Ports: ports,
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: "",
    Gateway: "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    IPAddress: "",
    IPPrefixLen: 0,
    IPv6Gateway: "",
    MacAddress: "",
    Networks: networksJson(networking, shortId),
  };
}

function prefixLength(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf("/") + 1));
}
