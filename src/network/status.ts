// What the API shows of a network: read off the desired state and the sites. Nothing is changed here.
import type { NetworkId, ServiceId } from "../model/ids.ts";
import { addressOf, macOf } from "../model/ip.ts";
import type { Desired, SandboxRecord } from "./desired.ts";
import { endpointIdOf, lbNetns, overlayNetns, sandboxKey } from "./names.ts";
import type { EndpointStatus, NetworkStatus, ServiceStatus } from "./port.ts";
import type { Site } from "./site.ts";

/** Where the pieces are read from. */
export interface Sources {
  readonly execRoot: string;
  readonly desired: Desired;
  readonly site: Site | undefined;
  readonly markOf: (networkId: NetworkId, serviceId: ServiceId) => number | undefined;
  /** This node's address, for the tasks' "Host IP". */
  readonly hostIp: string;
}

export function networkStatus(id: NetworkId, from: Sources): NetworkStatus | undefined {
  const network = from.desired.networks.get(id);
  if (network === undefined) return undefined;
  const built = from.site?.ready ?? false;
  const local = from.desired.on(id).flatMap((record) => endpointOn(record, id) ?? []);
  return {
    id,
    built,
    overlayNetns: overlayNetns(from.execRoot, id),
    lbNetns: lbNetns(from.execRoot, network),
    endpoints: built && from.site ? [...local, from.site.lbEndpoint()] : local,
    services: [...from.desired.services.keys()].flatMap((serviceId) => serviceOn(serviceId, id, from) ?? []),
  };
}

function endpointOn(record: SandboxRecord, id: NetworkId): EndpointStatus | undefined {
  const { spec, container } = record;
  const attachment = spec.attachments.find((a) => a.networkId === id);
  if (attachment === undefined) return undefined;
  const { addresses } = attachment;
  return {
    key: container?.containerId ?? spec.id,
    name: spec.taskName,
    endpointId: endpointIdOf(spec.id, id),
    mac: macOf(addresses[0] ?? "0.0.0.0"),
    ipv4: addresses.find((a) => !a.includes(":")) ?? "",
    ipv6: addresses.find((a) => a.includes(":")) ?? "",
  };
}

function serviceOn(serviceId: ServiceId, id: NetworkId, from: Sources): ServiceStatus | undefined {
  const service = from.desired.services.get(serviceId)!;
  if (!from.desired.namedOn(service).includes(id)) return undefined;
  const ingress = from.desired.networks.get(id)?.ingress ?? false;
  const ports = ingress ? service.ports.filter((p) => (p.PublishMode ?? "ingress") === "ingress") : [];
  const tasks = from.desired.replicas(serviceId, id).filter(({ record }) => record.stage !== "made");
  return {
    id: serviceId,
    name: service.name,
    vip: service.mode === "vip" ? (from.desired.vips(service, id)[0] ?? "") : "",
    ports: ports.map((p) => `Target: ${p.TargetPort ?? 0}, Publish: ${p.PublishedPort ?? 0}`),
    mark: (from.site?.ready ? from.markOf(id, serviceId) : undefined) ?? 0,
    tasks: tasks.map(({ record, attachment }) => ({
      name: record.spec.taskName,
      endpointId: endpointIdOf(record.spec.id, id),
      endpointIp: addressOf(attachment.addresses[0] ?? ""),
      hostIp: from.hostIp,
      weight: record.stage === "joined" ? 1 : 0,
    })),
  };
}

/** The sandboxes' endpoints on the gateway bridge. */
export function gatewayEndpoints(desired: Desired): EndpointStatus[] {
  return [...desired.sandboxes.values()].flatMap(({ spec, container, gatewayAddress }) =>
    gatewayAddress === undefined
      ? []
      : [
          {
            key: container?.containerId ?? spec.id,
            name: `gateway_${sandboxKey(spec.id)}`,
            endpointId: endpointIdOf(spec.id, "gateway"),
            mac: macOf(gatewayAddress),
            ipv4: gatewayAddress,
            ipv6: "" as const,
          },
        ],
  );
}
