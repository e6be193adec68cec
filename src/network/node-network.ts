// A node's data plane in one piece: keeps the kernel and the embedded DNS in step with what the agent says. What should be is worked out in
// desired.ts; how it comes about in sandbox-life.ts (sandboxes), sites.ts (networks) and gateway-bridge.ts. Taking over from an earlier
// daemon, and clearing up, are next door in upkeep.ts.
import { join } from "node:path";
import type { NetnsRef } from "../kernel/index.ts";
import type { Assignments } from "../model/assignment.ts";
import type { Clock } from "../model/clock.ts";
import type { NetworkId } from "../model/ids.ts";
import type { Log } from "../model/log.ts";
import { AssignedFile } from "./assigned-file.ts";
import { Chores } from "./chores.ts";
import { Desired } from "./desired.ts";
import { DnsServer } from "./dns/index.ts";
import { DockerNetnsView } from "./docker-netns.ts";
import { GatewayBridge } from "./gateway-bridge.ts";
import { NftDriver } from "./lb/nft.ts";
import { Marks } from "./marks.ts";
import { netnsDir } from "./names.ts";
import { Namespaces } from "./namespaces.ts";
import { Naming } from "./naming.ts";
import type { Plane } from "./plane.ts";
import type { GatewayBridgeStatus, LbInfo, NetworkStatus, NodeNetwork, Sandbox, SandboxSpec } from "./port.ts";
import { Sandboxes } from "./sandbox.ts";
import { SandboxLife } from "./sandbox-life.ts";
import { Sites } from "./sites.ts";
import { gatewayEndpoints, networkStatus } from "./status.ts";
import { Turns } from "./turns.ts";
import { removeEverything, restore, sweepStrays } from "./upkeep.ts";

/** Swarm's data path port. */
const VXLAN_PORT = 4789;
/** The exec root of a host's one daemon: only that one's namespaces are shown where Docker's would be. */
const DEFAULT_EXEC_ROOT = "/run/skep";

export interface NodeNetworkOptions {
  /** Where namespaces, sandbox files and state live: /run/skep. Must be in memory (or be emptied at boot). */
  readonly execRoot: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Of the gateway bridge, instead of 172.18.0.0/16; another one is taken if it is routed already. */
  readonly gatewaySubnet?: string | undefined;
  /** This node's address as others know it. */
  readonly advertiseAddr?: (() => string | undefined) | undefined;
  /** UDP port of VXLAN. Default: 4789. */
  readonly dataPathPort?: (() => number | undefined) | undefined;
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
  readonly namespaces: Namespaces;
  readonly view: DockerNetnsView | undefined;
  readonly sites: Sites;
  readonly marks: Marks;
  readonly bridge: GatewayBridge;
  readonly sandboxes: Sandboxes;
  readonly life: SandboxLife;
  readonly naming: Naming;
  readonly dns: DnsServer;
  readonly driver: NftDriver;
  readonly chores: Chores;
  readonly #turns = new Turns();
  readonly #options: NodeNetworkOptions;
  readonly #assigned: AssignedFile;

  constructor(options: NodeNetworkOptions) {
    const { execRoot, log, clock, hostNetns, gatewaySubnet, resolvConfPath = "/etc/resolv.conf" } = options;
    const { desired } = this;
    const state = join(execRoot, "network");
    const dir = netnsDir(execRoot);
    this.#options = options;
    this.execRoot = execRoot;
    this.log = log;
    this.view = execRoot === DEFAULT_EXEC_ROOT ? new DockerNetnsView({ dir, log }) : undefined;
    this.namespaces = new Namespaces({ dir, records: join(state, "netns"), view: this.view });
    this.#assigned = new AssignedFile({ path: join(state, "assigned.json"), desired, clock, log });
    this.marks = new Marks(join(state, "marks.json"));
    const statePath = join(state, "gateway.json");
    this.bridge = new GatewayBridge({ execRoot, statePath, hostNetns, subnet: gatewaySubnet, log });
    const { namespaces, bridge, marks } = this;
    this.sandboxes = new Sandboxes({ execRoot, resolvConfPath, namespaces, bridge });
    this.dns = new DnsServer({ log, resolvConfPath });
    this.naming = new Naming({ dns: this.dns, desired });
    this.chores = new Chores({ clock, log });
    this.driver = new NftDriver({ probePath: join(dir, "probe"), clock });
    const { driver, chores } = this;
    const vxlanPort = () => options.dataPathPort?.() ?? VXLAN_PORT;
    this.sites = new Sites({ execRoot, hostNetns, vxlanPort, desired, namespaces, marks, driver, chores, bridge, log });
    this.life = new SandboxLife(this);
  }

  start(): Promise<void> {
    return this.#turns.take(async () => {
      await this.driver.check();
      await this.dns.start();
      await restore(this, this.#assigned);
      this.bridge.watchRules(this.#options.clock);
    });
  }

  apply(a: Pick<Assignments, "full" | "networks" | "services" | "removed">): Promise<void> {
    return this.#turns.take(async () => {
      const changed = this.desired.note(a);
      // Networks are on file before anything is built for them; services can wait.
      if (changed.networks.length > 0) this.#assigned.save();
      else this.#assigned.saveSoon();
      // Names first: they cannot fail, and nothing would say them again after a fault of the kernel's part, which `sweep` heals.
      for (const network of changed.networks) this.naming.setNetwork(network);
      for (const service of changed.services) this.naming.setService(service);
      for (const { id } of changed.goneServices) this.naming.deleteService(id);
      for (const { id } of changed.goneNetworks) this.naming.deleteNetwork(id);
      for (const { id } of changed.networks) await this.sites.renew(id);
      await this.sites.rebalance(changed.services.map((s) => s.id));
      // After a full set the rest waits for `sweep`: by then it is known which tasks stay.
      if (!a.full) {
        for (const { id } of changed.goneServices) await this.sites.unbalance(id);
        for (const { id } of changed.goneNetworks) this.sites.removeIdle(id);
      }
      await this.dns.flush();
    });
  }

  async ensureSandbox(spec: SandboxSpec): Promise<Sandbox> {
    const record = await this.#turns.take(() => this.life.plumb(spec));
    await this.life.listen(record);
    return this.sandboxes.describe(record);
  }

  setContainer(
    sandboxId: string,
    container: { readonly containerId: string; readonly hostname: string },
  ): Promise<void> {
    return this.#turns.take(() => this.life.setContainer(sandboxId, container));
  }

  join(sandboxId: string): Promise<void> {
    return this.#turns.take(() => this.life.move(sandboxId, "joined"), { urgent: true });
  }

  drain(sandboxId: string): Promise<void> {
    return this.#turns.take(
      async () => {
        // One that has left does not come back by draining.
        if (this.desired.sandboxes.get(sandboxId)?.stage === "joined") await this.life.move(sandboxId, "draining");
      },
      { urgent: true },
    );
  }

  leave(sandboxId: string): Promise<void> {
    return this.#turns.take(
      async () => {
        if (this.desired.sandboxes.has(sandboxId)) await this.life.move(sandboxId, "made");
      },
      { urgent: true },
    );
  }

  async removeSandbox(sandboxId: string): Promise<void> {
    await this.leave(sandboxId);
    await this.dns.close(sandboxId); // an open socket would keep the namespace
    await this.#turns.take(() => this.life.forget(sandboxId));
  }

  sweep(known: { readonly sandboxIds: Iterable<string> }): Promise<void> {
    return this.#turns.take(() => sweepStrays(this, new Set(known.sandboxIds)));
  }

  inspectNetwork(id: NetworkId): NetworkStatus | undefined {
    return networkStatus(id, {
      execRoot: this.execRoot,
      desired: this.desired,
      site: this.sites.find(id),
      markOf: (networkId, serviceId) => this.marks.find(networkId, serviceId),
      hostIp: this.#options.advertiseAddr?.() ?? "",
    });
  }

  gatewayBridge(): GatewayBridgeStatus {
    const ingress = this.sites.all().flatMap((site) => site.gatewayEndpoint() ?? []);
    return { ...this.bridge.status, endpoints: [...gatewayEndpoints(this.desired), ...ingress] };
  }

  lbInfo(): LbInfo {
    const balancers = this.sites.ready();
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
      this.#assigned.trySave();
      await this.bridge.unwatchRules();
      await this.chores.close();
      this.driver.close();
      await this.dns.stop();
      this.view?.stop();
    });
  }

  purge(): Promise<void> {
    return this.#turns.take(async () => {
      this.#assigned.forget();
      await this.bridge.unwatchRules();
      await this.dns.stop();
      await removeEverything(this);
    });
  }
}
