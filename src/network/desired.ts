// What this node's data plane should be: the networks and services that it was told of, the sandboxes that it has, and what follows for each
// balancer. Plain values; node-network.ts brings it about.

import type { Assignments, NetworkAssignment, ServiceAssignment } from "../model/assignment.ts";
import { SkepError } from "../model/errors.ts";
import type { NetworkId, ServiceId } from "../model/ids.ts";
import { addressOf, parseCidr } from "../model/ip.ts";
import type { RealServer, VirtualService } from "./lb/driver.ts";
import type { SandboxAttachment, SandboxSpec } from "./port.ts";

/** "made": not in use (yet, or any more). */
export type Stage = "made" | "joined" | "draining";

/** A sandbox of this node, and what is remembered of it over a crash. */
export interface SandboxRecord {
  readonly spec: SandboxSpec;
  readonly stage: Stage;
  /** On the gateway bridge: "172.18.0.3/16". */
  readonly gatewayAddress?: string | undefined;
  readonly container?: { readonly containerId: string; readonly hostname: string } | undefined;
}

/** A sandbox and its place on a network. */
export interface Placed {
  readonly record: SandboxRecord;
  readonly attachment: SandboxAttachment;
}

/** What a message from the manager changes. */
export interface Changed {
  readonly networks: readonly NetworkAssignment[];
  readonly services: readonly ServiceAssignment[];
  /** As they were. */
  readonly goneNetworks: readonly NetworkAssignment[];
  readonly goneServices: readonly ServiceAssignment[];
}

export class Desired {
  readonly networks = new Map<NetworkId, NetworkAssignment>();
  readonly services = new Map<ServiceId, ServiceAssignment>();
  readonly sandboxes = new Map<string, SandboxRecord>();
  /** Sandboxes of each service. */
  readonly #replicas = new Map<ServiceId, Set<string>>();
  /** Sandboxes on each network. */
  readonly #local = new Map<NetworkId, Set<string>>();

  /** Notes what a message says, and answers what is new by it. */
  note(a: Pick<Assignments, "full" | "networks" | "services" | "removed">): Changed {
    const networkIds = new Set(a.networks.map((n) => n.id));
    const serviceIds = new Set(a.services.map((s) => s.id));
    const goneNetworks = a.full ? [...this.networks.keys()].filter((id) => !networkIds.has(id)) : a.removed.networks;
    const goneServices = a.full ? [...this.services.keys()].filter((id) => !serviceIds.has(id)) : a.removed.services;
    const changed: Changed = {
      networks: a.networks.filter((n) => !same(this.networks.get(n.id), n)),
      services: a.services.filter((s) => !same(this.services.get(s.id), s)),
      goneNetworks: goneNetworks.flatMap((id) => this.networks.get(id) ?? []),
      goneServices: goneServices.flatMap((id) => this.services.get(id) ?? []),
    };
    for (const { id } of changed.goneNetworks) this.networks.delete(id);
    for (const { id } of changed.goneServices) this.services.delete(id);
    for (const network of changed.networks) this.networks.set(network.id, network);
    for (const service of changed.services) this.services.set(service.id, service);
    return changed;
  }

  /** @throws SkepError "not_found" */
  network(id: NetworkId): NetworkAssignment {
    const network = this.networks.get(id);
    if (network === undefined) throw new SkepError("not_found", `network ${id} is not assigned to this node`);
    return network;
  }

  /** @throws SkepError "not_found" */
  sandbox(id: string): SandboxRecord {
    const record = this.sandboxes.get(id);
    if (record === undefined) throw new SkepError("not_found", `no sandbox ${id}`);
    return record;
  }

  setSandbox(record: SandboxRecord): void {
    const { id, serviceId, attachments } = record.spec;
    this.deleteSandbox(id); // it may have left a network
    this.sandboxes.set(id, record);
    if (serviceId !== undefined) entry(this.#replicas, serviceId).add(id);
    for (const { networkId } of attachments) entry(this.#local, networkId).add(id);
  }

  deleteSandbox(id: string): void {
    const spec = this.sandboxes.get(id)?.spec;
    this.sandboxes.delete(id);
    if (spec?.serviceId !== undefined) leave(this.#replicas, spec.serviceId, id);
    for (const { networkId } of spec?.attachments ?? []) leave(this.#local, networkId, id);
  }

  /** The sandboxes on a network, by address there: the same order whoever counts them, and when. */
  on(networkId: NetworkId): SandboxRecord[] {
    return this.#byAddress(this.#local.get(networkId), networkId).map(({ record }) => record);
  }

  /** A service's sandboxes on a network, each with its attachment there, by address. */
  replicas(serviceId: ServiceId, networkId: NetworkId): readonly Placed[] {
    return this.#byAddress(this.#replicas.get(serviceId), networkId);
  }

  /** The networks on which a service has a VIP. */
  balancedOn(service: ServiceAssignment): NetworkId[] {
    return service.mode === "vip" ? [...new Set(service.virtualIPs.map((v) => v.networkId))] : [];
  }

  /** The networks on which a service has a name: those of its VIPs, of its aliases, and of its local tasks. */
  namedOn(service: ServiceAssignment): NetworkId[] {
    const ids = new Set(service.virtualIPs.map((v) => v.networkId));
    for (const id of Object.keys(service.aliases)) ids.add(id as NetworkId);
    for (const id of this.#replicas.get(service.id) ?? []) {
      for (const { networkId } of this.sandboxes.get(id)!.spec.attachments) ids.add(networkId);
    }
    return [...ids];
  }

  /** The VIPs of a service on a network, without prefix length, IPv4 first. */
  vips(service: ServiceAssignment, networkId: NetworkId): string[] {
    return service.virtualIPs
      .filter((v) => v.networkId === networkId)
      .flatMap((v) => [v.addr, ...(v.addr6 === undefined ? [] : [v.addr6])])
      .filter((addr) => addr !== "")
      .map(addressOf);
  }

  /** What the balancer of a network should do for a service; undefined when it has no VIP there. */
  balanced(service: ServiceAssignment, networkId: NetworkId, mark: number): VirtualService | undefined {
    const vips = service.mode === "vip" ? this.vips(service, networkId) : [];
    if (vips.length === 0) return undefined;
    const servers = this.replicas(service.id, networkId).flatMap(({ record, attachment }): RealServer[] => {
      if (record.stage === "made") return [];
      const weight = record.stage === "joined" ? 1 : 0;
      return attachment.addresses.map((cidr) => ({ address: addressOf(cidr), weight, name: record.spec.taskName }));
    });
    return { mark, name: service.name, vips, scheduler: "rr", servers };
  }

  #byAddress(ids: Iterable<string> | undefined, networkId: NetworkId): Placed[] {
    const found = [...(ids ?? [])].flatMap((id) => {
      const record = this.sandboxes.get(id)!;
      const attachment = record.spec.attachments.find((a) => a.networkId === networkId);
      if (attachment === undefined) return [];
      return [{ record, attachment, order: parseCidr(attachment.addresses[0] ?? "0.0.0.0/0").ip.value }];
    });
    return found.sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));
  }
}

function entry<K>(sets: Map<K, Set<string>>, key: K): Set<string> {
  let set = sets.get(key);
  if (set === undefined) {
    set = new Set();
    sets.set(key, set);
  }
  return set;
}

function leave<K>(sets: Map<K, Set<string>>, key: K, id: string): void {
  const set = sets.get(key);
  set?.delete(id);
  if (set?.size === 0) sets.delete(key);
}

// Both came through JSON or from one maker, so their keys are in one order; a false difference costs a comparison with the kernel, no more.
function same(a: object | undefined, b: object): boolean {
  return a !== undefined && JSON.stringify(a) === JSON.stringify(b);
}
