// One network's balancer on this node: the namespace "lb_<network id>", its endpoint on the network, the VIPs as aliases of it, and the
// driver's rules. What the services should be is the caller's business (../desired.ts).
import { setImmediate } from "node:timers/promises";
import { isNetns, RtNetlink } from "../../kernel/index.ts";
import type { Chores } from "../chores.ts";
import { prepareNetns, setWhereKnown } from "../links.ts";
import type { Namespaces } from "../namespaces.ts";
import type { Overlay } from "../overlay.ts";
import type { LbDriver, VirtualService } from "./driver.ts";

const DEV = "eth0";
/** Addresses that are added at once: a millisecond's work. */
const FEW = 50;

/** Settings of the namespace before its interface comes. */
const SYSCTLS = {
  "net.ipv4.ip_forward": 1,
  "net.ipv6.conf.all.forwarding": 1,
  // Client and replica are neighbours: without this the kernel would tell the client to talk to the replica directly.
  "net.ipv4.conf.all.send_redirects": 0,
  "net.ipv4.conf.default.send_redirects": 0,
  // "no replica" is said as often as somebody asks
  "net.ipv4.icmp_ratelimit": 0,
} as const;

/** Those that are there once connection tracking is on in the namespace. */
const CONNTRACK_SYSCTLS = {
  // A segment outside the window is passed on to those who know better, instead of being kept from them (moby#40374).
  "net.netfilter.nf_conntrack_tcp_be_liberal": 1,
  // Only a SYN begins a stream: what comes in the middle of an unknown one is invalid, and dropped.
  "net.netfilter.nf_conntrack_tcp_loose": 0,
  // Flows of datagrams keep their replica for as long as in IPVS (seconds).
  "net.netfilter.nf_conntrack_udp_timeout_stream": 300,
} as const;

export class Balancer {
  readonly netns: string;
  readonly #overlay: Overlay;
  readonly #namespaces: Namespaces;
  readonly #driver: LbDriver;
  readonly #chores: Chores;
  readonly #addresses: readonly string[];
  /** By mark, as last brought about. */
  readonly #services = new Map<number, VirtualService>();

  /** @param needs.addresses of the balancer's endpoint, with prefix length, one a family */
  constructor(needs: {
    readonly netns: string;
    readonly overlay: Overlay;
    readonly namespaces: Namespaces;
    readonly driver: LbDriver;
    readonly chores: Chores;
    readonly addresses: readonly string[];
  }) {
    this.netns = needs.netns;
    this.#overlay = needs.overlay;
    this.#namespaces = needs.namespaces;
    this.#driver = needs.driver;
    this.#chores = needs.chores;
    this.#addresses = needs.addresses;
  }

  get built(): boolean {
    return isNetns(this.netns);
  }

  /** The services as last brought about. */
  get services(): readonly VirtualService[] {
    return [...this.#services.values()];
  }

  /**
   * Makes what is missing and brings these services about. Others that an earlier daemon left stay until `prune`: they may only be not known
   * yet. @throws KernelError
   */
  async ensure(services: readonly VirtualService[]): Promise<void> {
    const fresh = !this.built;
    this.#namespaces.create(this.netns);
    await setImmediate(); // each part takes some milliseconds
    this.#plumb(fresh);
    await setImmediate();
    const sources = this.#addresses.map(bare);
    await this.#driver.ensure(this.netns, { sources, services }, { keepOthers: true });
    setWhereKnown(this.netns, CONNTRACK_SYSCTLS);
    await this.#addVips(services);
    for (const service of services) this.#services.set(service.mark, service);
  }

  /** Adds or changes services. Rules come before the alias: from the moment that a VIP answers, it is balanced. */
  async setServices(services: readonly VirtualService[]): Promise<void> {
    await this.#driver.ensureServices(this.netns, services);
    const stale: string[] = [];
    const fresh: VirtualService[] = [];
    for (const service of services) {
      const before = this.#services.get(service.mark);
      this.#services.set(service.mark, service);
      if (before?.vips.join() === service.vips.join()) continue;
      fresh.push(service);
      stale.push(...(before?.vips ?? []).filter((vip) => !service.vips.includes(vip)));
    }
    if (fresh.length > 0) await this.#addVips(fresh);
    this.#removeVips(stale);
  }

  /** Takes a service out, its VIP first. */
  async removeService(mark: number): Promise<void> {
    this.#removeVips(this.#services.get(mark)?.vips ?? []);
    this.#services.delete(mark);
    await this.#driver.removeServices(this.netns, [mark]);
  }

  /** Makes these the only services, whoever put others there. */
  async prune(services: readonly VirtualService[]): Promise<void> {
    const sources = this.#addresses.map(bare);
    using rt = RtNetlink.open(this.netns);
    await this.#driver.ensure(this.netns, { sources, services });
    rt.ensureAddresses(DEV, [...this.#addresses, ...services.flatMap((s) => s.vips.map(host))]);
    this.#services.clear();
    for (const service of services) this.#services.set(service.mark, service);
  }

  /** A replica has gone: see Chores.forgetFlows. */
  forgetFlows(address: string, options: { readonly streams?: boolean } = {}): void {
    if (this.built) this.#chores.forgetFlows(this.netns, address, options);
  }

  remove(): void {
    this.#driver.close(this.netns);
    this.#namespaces.delete(this.netns);
    this.#services.clear();
  }

  /** VIPs that are there stay: `prune` knows which ones are stray. */
  #plumb(fresh: boolean): void {
    using rt = RtNetlink.open(this.netns);
    if (fresh || rt.link(DEV) === undefined) {
      setWhereKnown(this.netns, SYSCTLS);
      prepareNetns(this.netns, rt, { ipv6: this.#addresses.some((a) => a.includes(":")) });
    }
    this.#overlay.plug(rt, { netns: this.netns, name: DEV, addresses: this.#addresses, keepOthers: true });
  }

  async #addVips(services: readonly VirtualService[]): Promise<void> {
    using rt = RtNetlink.open(this.netns);
    const dev = rt.link(DEV)?.ifindex ?? DEV;
    const vips = services.flatMap((s) => s.vips.map(host));
    const there = vips.length > FEW ? new Set(rt.addresses(DEV).map((a) => a.cidr)) : undefined;
    const missing = vips.filter((vip) => !there?.has(vip));
    for (const [i, vip] of missing.entries()) {
      if (i > 0 && i % FEW === 0) await setImmediate();
      rt.ensureAddress(dev, vip);
    }
  }

  #removeVips(vips: readonly string[]): void {
    if (vips.length === 0) return;
    using rt = RtNetlink.open(this.netns);
    for (const vip of vips) rt.deleteAddress(DEV, host(vip));
  }
}

function bare(cidr: string): string {
  return cidr.split("/", 1)[0]!;
}

/** A VIP as an alias: a host address, so that no route comes with it. */
function host(vip: string): string {
  return `${vip}/${vip.includes(":") ? 128 : 32}`;
}
