// A node's data plane in one piece: keeps the kernel and the embedded DNS in step with what the agent says. What should be is worked out in
// desired.ts; the parts of the kernel are in sandbox.ts, site.ts (overlay and balancer of a network) and gateway-bridge.ts. Taking over from
// an earlier daemon, and clearing up, are next door in upkeep.ts.
import { join } from "node:path";
import type { NetnsRef } from "../kernel/index.ts";
import type { Assignments } from "../model/assignment.ts";
import type { Clock, Timer } from "../model/clock.ts";
import type { NetworkId, ServiceId } from "../model/ids.ts";
import { addressOf } from "../model/ip.ts";
import type { Log } from "../model/log.ts";
import { Desired, type SandboxRecord, type Stage } from "./desired.ts";
import { DnsServer, userNdots } from "./dns/index.ts";
import { GatewayBridge } from "./gateway-bridge.ts";
import type { VirtualService } from "./lb/driver.ts";
import { Flows } from "./lb/flows.ts";
import { NftDriver } from "./lb/nft.ts";
import { Marks } from "./marks.ts";
import { netnsDir } from "./names.ts";
import { Naming } from "./naming.ts";
import type { Plane } from "./plane.ts";
import type { GatewayBridgeStatus, LbInfo, NetworkStatus, NodeNetwork, Sandbox, SandboxSpec } from "./port.ts";
import { Sandboxes } from "./sandbox.ts";
import { Site } from "./site.ts";
import { writeJson } from "./state-file.ts";
import { gatewayEndpoints, networkStatus } from "./status.ts";
import { Turns } from "./turns.ts";
import { removeEverything, restore, sweepStrays } from "./upkeep.ts";

/** Swarm's data path port. */
const VXLAN_PORT = 4789;
/** Assigned services are kept on file only so that names resolve at once after a restart: they need not be there at once themselves. */
const SAVE_AFTER_MS = 200;

export interface NodeNetworkOptions {
  /** Where namespaces, sandbox files and state live: /run/skep. Must be in memory (or be emptied at boot). */
  readonly execRoot: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Of the gateway bridge, instead of 172.18.0.0/16; another one is taken if it is routed already. */
  readonly gatewaySubnet?: string | undefined;
  /** This node's address as others know it. */
  readonly advertiseAddr?: string | undefined;
  /** UDP port of VXLAN. Default: 4789. */
  readonly dataPathPort?: number | undefined;
  /** The host's namespace: where the gateway bridge and the VXLANs' underlay are. Default: the daemon's own. */
  readonly hostNetns?: NetnsRef;
  /** Default: /etc/resolv.conf. */
  readonly resolvConfPath?: string | undefined;
}

/** Makes the data plane of this node; `start` is to be called before anything else. */
export function createNodeNetwork(options: NodeNetworkOptions): NodeNetwork {
  return new LinuxNodeNetwork(options);
}

class LinuxNodeNetwork implements NodeNetwork, Plane {
  readonly execRoot: string;
  readonly log: Log;
  readonly desired = new Desired();
  readonly sites = new Map<NetworkId, Site>();
  readonly marks: Marks;
  readonly bridge: GatewayBridge;
  readonly sandboxes: Sandboxes;
  readonly naming: Naming;
  readonly dns: DnsServer;
  readonly driver: NftDriver;
  readonly flows: Flows;
  readonly #turns = new Turns();
  readonly #options: NodeNetworkOptions;
  readonly #assignedPath: string;
  #saving: Timer | undefined;

  constructor(options: NodeNetworkOptions) {
    const { execRoot, log, hostNetns, gatewaySubnet, resolvConfPath = "/etc/resolv.conf" } = options;
    const state = join(execRoot, "network");
    this.#options = options;
    this.execRoot = execRoot;
    this.log = log;
    this.#assignedPath = join(state, "assigned.json");
    this.marks = new Marks(join(state, "marks.json"));
    const statePath = join(state, "gateway.json");
    this.bridge = new GatewayBridge({ execRoot, statePath, hostNetns, subnet: gatewaySubnet, log });
    this.sandboxes = new Sandboxes({ execRoot, resolvConfPath, bridge: this.bridge });
    this.dns = new DnsServer({ log, resolvConfPath });
    this.naming = new Naming({ dns: this.dns, desired: this.desired });
    this.flows = new Flows({ clock: options.clock, log });
    this.driver = new NftDriver({ probePath: join(netnsDir(execRoot), "probe") });
  }

  start(): Promise<void> {
    return this.#turns.take(async () => {
      await this.driver.check();
      await this.dns.start();
      await restore(this, this.#assignedPath);
    });
  }

  apply(a: Pick<Assignments, "full" | "networks" | "services" | "removed">): Promise<void> {
    return this.#turns.take(async () => {
      const changed = this.desired.note(a);
      // Networks are on file before anything is built for them; services can wait.
      if (changed.networks.length > 0) this.#save();
      else this.#saveSoon();
      for (const network of changed.networks) {
        this.naming.setNetwork(network);
        await this.#renewSite(network.id);
      }
      for (const service of changed.services) this.naming.setService(service);
      await this.#rebalance(changed.services.map((s) => s.id));
      for (const service of changed.goneServices) {
        this.naming.deleteService(service.id);
        // After a full set the kernel's part waits for `sweep`: by then it is known which tasks stay.
        if (!a.full) await this.#unbalance(service.id);
      }
      for (const { id } of changed.goneNetworks) {
        this.naming.deleteNetwork(id);
        if (!a.full) await this.#removeIdleSite(id);
      }
      await this.dns.flush();
    });
  }

  async ensureSandbox(spec: SandboxSpec): Promise<Sandbox> {
    const record = await this.#turns.take(() => this.#plumb(spec));
    await this.listen(record);
    return this.sandboxes.describe(record);
  }

  setContainer(
    sandboxId: string,
    container: { readonly containerId: string; readonly hostname: string },
  ): Promise<void> {
    return this.#turns.take(() => {
      const record = { ...this.desired.sandbox(sandboxId), container };
      this.#note(record);
      this.#writeFiles(record);
      if (record.stage !== "made") this.naming.setSandbox(record);
    });
  }

  join(sandboxId: string): Promise<void> {
    return this.#turns.take(() => this.#move(sandboxId, "joined"), { urgent: true });
  }

  drain(sandboxId: string): Promise<void> {
    return this.#turns.take(
      async () => {
        // One that has left does not come back by draining.
        if (this.desired.sandboxes.get(sandboxId)?.stage === "joined") await this.#move(sandboxId, "draining");
      },
      { urgent: true },
    );
  }

  leave(sandboxId: string): Promise<void> {
    return this.#turns.take(
      async () => {
        if (this.desired.sandboxes.has(sandboxId)) await this.#move(sandboxId, "made");
      },
      { urgent: true },
    );
  }

  async removeSandbox(sandboxId: string): Promise<void> {
    await this.leave(sandboxId);
    await this.dns.close(sandboxId); // an open socket would keep the namespace
    await this.#turns.take(() => this.forget(sandboxId));
  }

  sweep(known: { readonly sandboxIds: Iterable<string> }): Promise<void> {
    return this.#turns.take(() => sweepStrays(this, new Set(known.sandboxIds)));
  }

  inspectNetwork(id: NetworkId): NetworkStatus | undefined {
    return networkStatus(id, {
      execRoot: this.execRoot,
      desired: this.desired,
      site: this.sites.get(id),
      markOf: (networkId, serviceId) => this.marks.find(networkId, serviceId),
      hostIp: this.#options.advertiseAddr ?? "",
    });
  }

  gatewayBridge(): GatewayBridgeStatus {
    return { ...this.bridge.status, endpoints: gatewayEndpoints(this.desired) };
  }

  lbInfo(): LbInfo {
    const balancers = [...this.sites.values()].filter((s) => s.ready);
    const services = balancers.flatMap((s) => s.balancer.services);
    return {
      driver: this.driver.name,
      networks: balancers.length,
      services: services.length,
      servers: services.reduce((n, s) => n + s.servers.length, 0),
      vxlan: balancers.every((s) => s.overlay.hasVxlan()),
    };
  }

  stop(): Promise<void> {
    return this.#turns.take(async () => {
      this.#save();
      await this.flows.close();
      this.driver.close();
      await this.dns.stop();
    });
  }

  purge(): Promise<void> {
    return this.#turns.take(async () => {
      this.#saving?.cancel();
      this.#saving = undefined;
      await this.flows.close();
      await this.dns.stop();
      await removeEverything(this);
    });
  }

  siteOf(id: NetworkId): Site {
    let site = this.sites.get(id);
    if (site === undefined) {
      site = this.#newSite(id);
      this.sites.set(id, site);
    }
    return site;
  }

  servicesOn(id: NetworkId): VirtualService[] {
    return [...this.desired.services.keys()].flatMap((serviceId) => this.#balanced(id, serviceId) ?? []);
  }

  async listen(record: SandboxRecord): Promise<void> {
    const { id, attachments, dns } = record.spec;
    await this.dns.listen({
      sandboxId: id,
      netnsPath: this.sandboxes.describe(record).netnsPath,
      networks: attachments.map((a) => a.networkId),
      keepsShortNames: userNdots(dns.options),
      ...(dns.nameservers && { nameservers: dns.nameservers }),
    });
    // It may have been removed while the sockets were opened.
    if (!this.desired.sandboxes.has(id)) await this.dns.close(id);
  }

  async forget(id: string): Promise<void> {
    const record = this.desired.sandboxes.get(id);
    if (record === undefined) return;
    await this.dns.close(id);
    this.naming.deleteSandbox(record);
    this.desired.deleteSandbox(id);
    await this.#rebalance(record.spec.serviceId === undefined ? [] : [record.spec.serviceId]);
    this.#forgetFlows(record, { streams: true });
    this.sandboxes.remove(id);
    if (record.gatewayAddress !== undefined) this.bridge.release(record.gatewayAddress);
    for (const { networkId } of record.spec.attachments) await this.#removeIdleSite(networkId);
  }

  async #plumb(spec: SandboxSpec): Promise<SandboxRecord> {
    const before = this.desired.sandboxes.get(spec.id);
    for (const { networkId } of spec.attachments) {
      await this.siteOf(networkId).ensure(() => this.servicesOn(networkId));
    }
    const isolated =
      spec.attachments.length > 0 && spec.attachments.every((a) => this.siteOf(a.networkId).network.internal);
    const gatewayAddress = isolated ? undefined : (before?.gatewayAddress ?? this.bridge.take());
    const record: SandboxRecord = { stage: "made", ...before, spec, gatewayAddress };
    this.#note(record);
    try {
      this.sandboxes.plumb(record, (id) => this.siteOf(id).overlay);
      this.#writeFiles(record);
    } catch (e) {
      if (before === undefined) await this.forget(spec.id);
      throw e;
    }
    return record;
  }

  /** Brings a sandbox's endpoints to a stage, in balancers first and then in DNS; the other way round when they leave. */
  async #move(id: string, stage: Stage): Promise<void> {
    const before = this.desired.sandbox(id);
    const record = { ...before, stage };
    this.#note(record);
    const { serviceId } = record.spec;
    if (stage !== "joined") this.naming.setSandbox(record);
    if (serviceId !== undefined) await this.#rebalance([serviceId]);
    if (stage === "joined") {
      this.naming.setSandbox(record);
      const service = serviceId === undefined ? undefined : this.desired.services.get(serviceId);
      if (service !== undefined && service.mode === "dnsrr") this.naming.setService(service);
    }
    if (stage === "made" && before.stage !== "made") this.#forgetFlows(record, {});
    await this.dns.flush();
  }

  /** Brings these services about on every network that is built here. */
  async #rebalance(ids: readonly ServiceId[]): Promise<void> {
    for (const site of this.sites.values()) {
      if (!site.ready) continue;
      const networkId = site.network.id;
      const wanted: VirtualService[] = [];
      for (const id of ids) {
        const service = this.#balanced(networkId, id);
        if (service !== undefined) wanted.push(service);
        else await this.#unbalanceOn(site, id);
      }
      await site.balancer.setServices(wanted);
    }
  }

  async #unbalance(id: ServiceId): Promise<void> {
    for (const site of this.sites.values()) await this.#unbalanceOn(site, id);
  }

  async #unbalanceOn(site: Site, id: ServiceId): Promise<void> {
    const mark = this.marks.find(site.network.id, id);
    if (mark === undefined) return;
    if (site.ready) await site.balancer.removeService(mark);
    this.marks.forget(site.network.id, id);
  }

  #balanced(networkId: NetworkId, serviceId: ServiceId): VirtualService | undefined {
    const service = this.desired.services.get(serviceId);
    if (service === undefined || !this.desired.balancedOn(service).includes(networkId)) return undefined;
    return this.desired.balanced(service, networkId, this.marks.markOf(networkId, serviceId));
  }

  #forgetFlows(record: SandboxRecord, options: { readonly streams?: boolean }): void {
    for (const { networkId, addresses } of record.spec.attachments) {
      const site = this.sites.get(networkId);
      if (site?.ready) for (const cidr of addresses) site.balancer.forgetFlows(addressOf(cidr), options);
    }
  }

  /** The assignment of a network changed: what is built is brought to the new one. */
  async #renewSite(id: NetworkId): Promise<void> {
    const old = this.sites.get(id);
    if (old === undefined) return;
    const site = this.#newSite(id);
    this.sites.set(id, site);
    if (old.ready) await site.ensure(() => this.servicesOn(id));
  }

  async #removeIdleSite(id: NetworkId): Promise<void> {
    const site = this.sites.get(id);
    if (site === undefined || this.desired.networks.has(id) || this.desired.on(id).length > 0) return;
    this.sites.delete(id);
    await site.remove();
  }

  #newSite(id: NetworkId): Site {
    const { execRoot, log, driver, flows, bridge } = this;
    const { hostNetns, dataPathPort: vxlanPort = VXLAN_PORT } = this.#options;
    return new Site({ execRoot, hostNetns, vxlanPort, driver, flows, bridge, log }, this.desired.network(id));
  }

  #writeFiles(record: SandboxRecord): void {
    this.sandboxes.writeFiles(record, (id) => this.siteOf(id).network.ingress);
  }

  #note(record: SandboxRecord): void {
    this.sandboxes.save(record);
    this.desired.setSandbox(record);
  }

  #saveSoon(): void {
    this.#saving ??= this.#options.clock.after(SAVE_AFTER_MS, () => this.#save());
  }

  #save(): void {
    this.#saving?.cancel();
    this.#saving = undefined;
    const { networks, services } = this.desired;
    writeJson(this.#assignedPath, { networks: [...networks.values()], services: [...services.values()] });
  }
}
