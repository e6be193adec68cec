// The networks on this node: which of them stand here (site.ts), and what their balancers do. Kept in step with desired.ts; when that is
// called for is decided in node-network.ts.
import type { NetnsRef } from "../kernel/index.ts";
import { messageOf } from "../model/errors.ts";
import type { NetworkId, ServiceId } from "../model/ids.ts";
import { addressOf } from "../model/ip.ts";
import type { Log } from "../model/log.ts";
import type { Chores } from "./chores.ts";
import type { Desired, SandboxRecord } from "./desired.ts";
import type { GatewayBridge } from "./gateway-bridge.ts";
import type { LbDriver, VirtualService } from "./lb/driver.ts";
import type { Marks } from "./marks.ts";
import type { Namespaces } from "./namespaces.ts";
import { Site } from "./site.ts";

export interface SitesNeeds {
  readonly execRoot: string;
  readonly hostNetns: NetnsRef;
  /** UDP port of VXLAN packets between nodes. */
  readonly vxlanPort: () => number;
  readonly desired: Desired;
  readonly namespaces: Namespaces;
  readonly marks: Marks;
  readonly driver: LbDriver;
  readonly chores: Chores;
  readonly bridge: GatewayBridge;
  readonly log: Log;
}

export class Sites {
  readonly #needs: SitesNeeds;
  readonly #sites = new Map<NetworkId, Site>();

  constructor(needs: SitesNeeds) {
    this.#needs = needs;
  }

  /** Those that were asked for, built or not. */
  all(): readonly Site[] {
    return [...this.#sites.values()];
  }

  /** Those that are built. */
  ready(): readonly Site[] {
    return this.all().filter((s) => s.ready);
  }

  find(id: NetworkId): Site | undefined {
    return this.#sites.get(id);
  }

  /** The network's site, made if need be (not yet built). @throws SkepError "not_found" */
  of(id: NetworkId): Site {
    return this.#sites.get(id) ?? this.#new(id);
  }

  /** Builds the network here, or takes over what an earlier daemon built. @throws SkepError "not_found"; KernelError */
  async ensure(id: NetworkId): Promise<void> {
    const site = this.of(id);
    if (site.ready) return;
    if (site.balancer.built) {
      for (const mark of await this.#needs.driver.marks(site.balancer.netns)) this.#needs.marks.notBefore(mark);
    }
    await site.ensure(() => this.servicesOn(id));
  }

  /**
   * The assignment of a network is new: what is built is brought to it. The ingress network stands on every node from the beginning; others
   * come with their first local task.
   */
  async renew(id: NetworkId): Promise<void> {
    const before = this.#sites.get(id);
    const { network } = before === undefined ? this.of(id) : this.#new(id);
    if (!before?.ready && !network.ingress) return;
    try {
      await this.ensure(id);
    } catch (e) {
      // Everything else must not wait for it; the first task that needs the network tries again, and hears the error.
      this.#needs.log.warn({ "network.id": id, "error.message": messageOf(e) }, "cannot build a network");
    }
  }

  /** Removes a network that is neither assigned nor used. */
  removeIdle(id: NetworkId): void {
    const { desired } = this.#needs;
    const site = this.#sites.get(id);
    if (site === undefined || desired.networks.has(id) || desired.on(id).length > 0) return;
    this.#sites.delete(id);
    site.remove();
  }

  removeAll(): void {
    for (const site of this.all()) site.remove();
    this.#sites.clear();
  }

  /** What a network's balancer should do now. */
  servicesOn(id: NetworkId): VirtualService[] {
    const { desired, marks } = this.#needs;
    const here = [...desired.services.values()].filter((s) => desired.balancedOn(s).includes(id)).map((s) => s.id);
    marks.give(id, here);
    return here.flatMap((serviceId) => this.#balanced(id, serviceId) ?? []);
  }

  /** Brings these services about on every network that is built here. */
  async rebalance(ids: readonly ServiceId[]): Promise<void> {
    for (const site of this.ready()) {
      const wanted: VirtualService[] = [];
      for (const id of ids) {
        const service = this.#balanced(site.network.id, id);
        if (service !== undefined) wanted.push(service);
        else await this.#unbalanceOn(site, id);
      }
      await site.balancer.setServices(wanted);
    }
  }

  /** Takes a service out of every balancer. */
  async unbalance(id: ServiceId): Promise<void> {
    for (const site of this.all()) await this.#unbalanceOn(site, id);
  }

  /** A replica has gone: see Chores.forgetFlows. */
  forgetFlows(record: SandboxRecord, options: { readonly streams?: boolean }): void {
    for (const { networkId, addresses } of record.spec.attachments) {
      const site = this.#sites.get(networkId);
      if (site?.ready) for (const cidr of addresses) site.balancer.forgetFlows(addressOf(cidr), options);
    }
  }

  async #unbalanceOn(site: Site, id: ServiceId): Promise<void> {
    const { marks } = this.#needs;
    const mark = marks.find(site.network.id, id);
    if (mark === undefined) return;
    if (site.ready) await site.balancer.removeService(mark);
    marks.forget(site.network.id, id);
  }

  #balanced(networkId: NetworkId, serviceId: ServiceId): VirtualService | undefined {
    const { desired, marks } = this.#needs;
    const service = desired.services.get(serviceId);
    if (service === undefined || !desired.balancedOn(service).includes(networkId)) return undefined;
    return desired.balanced(service, networkId, marks.markOf(networkId, serviceId));
  }

  #new(id: NetworkId): Site {
    const site = new Site(this.#needs, this.#needs.desired.network(id));
    this.#sites.set(id, site);
    return site;
  }
}
