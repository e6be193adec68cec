// What the embedded DNS is told: the names that follow from the desired state. Changes go through here so that what was said can be unsaid.
import type { NetworkAssignment, ServiceAssignment } from "../model/assignment.ts";
import type { NetworkId, ServiceId } from "../model/ids.ts";
import { addressOf } from "../model/ip.ts";
import type { Desired, SandboxRecord } from "./desired.ts";
import type { DnsServer } from "./dns/index.ts";
import { endpointIdOf } from "./names.ts";

/** Characters of a container id that make its short form. */
const SHORT_ID = 12;

export class Naming {
  readonly #dns: DnsServer;
  readonly #desired: Desired;
  /** The networks on which a service was given names. */
  readonly #services = new Map<ServiceId, readonly NetworkId[]>();

  constructor(needs: { readonly dns: DnsServer; readonly desired: Desired }) {
    this.#dns = needs.dns;
    this.#desired = needs.desired;
  }

  setNetwork(network: NetworkAssignment): void {
    this.#dns.setNetwork(network.id, network.name, {
      ingress: network.ingress,
      subnets: network.subnets.map((s) => s.subnet),
    });
  }

  deleteNetwork(id: NetworkId): void {
    this.#dns.deleteNetwork(id);
  }

  setService(service: ServiceAssignment): void {
    const networks = this.#desired.namedOn(service);
    for (const id of this.#services.get(service.id) ?? []) {
      if (!networks.includes(id)) this.#dns.deleteService(id, service.id);
    }
    this.#services.set(service.id, networks);
    for (const id of networks) {
      this.#dns.setService(id, {
        serviceId: service.id,
        name: service.name,
        aliases: service.aliases[id] ?? [],
        mode: service.mode,
        vip: this.#desired.vips(service, id),
      });
    }
  }

  deleteService(id: ServiceId): void {
    for (const networkId of this.#services.get(id) ?? []) this.#dns.deleteService(networkId, id);
    this.#services.delete(id);
  }

  /**
   * The names of a sandbox according to its stage: all of them when joined; while it drains its own names only, so that `tasks.<service>` no
   * longer leads to it; none else.
   */
  setSandbox({ spec, stage, container }: SandboxRecord): void {
    for (const { networkId, addresses, aliases } of spec.attachments) {
      const id = endpointIdOf(spec.id, networkId);
      if (stage === "made") {
        this.#dns.deleteEndpoint(networkId, id);
        continue;
      }
      // A service's aliases are names of its VIP (or of all its tasks); only a container without a service has its own.
      const own = spec.serviceId === undefined ? aliases : [];
      const names = [spec.taskName, ...(container ? [container.containerId.slice(0, SHORT_ID)] : []), ...own];
      this.#dns.setEndpoint(networkId, {
        id,
        names,
        addresses: addresses.map(addressOf),
        ptrName: spec.taskName,
        ...(stage === "joined" && spec.serviceId !== undefined && { serviceId: spec.serviceId }),
      });
    }
  }

  deleteSandbox({ spec }: SandboxRecord): void {
    for (const { networkId } of spec.attachments) {
      this.#dns.deleteEndpoint(networkId, endpointIdOf(spec.id, networkId));
    }
  }
}
