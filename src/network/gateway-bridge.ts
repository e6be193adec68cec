// The way out of the sandboxes: a bridge in the host's namespace (docker_gwbridge, as in Swarm), the cables to it, and masquerading of what
// leaves. Sandboxes on it reach the host and the world, never each other. Names, subnets and addresses are chosen in gateway-pool.ts.
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import {
  isErrno,
  NETLINK_ROUTE,
  NetlinkSocket,
  type NetnsRef,
  Nft,
  RtNetlink,
  readSysctl,
  writeSysctl,
} from "../kernel/index.ts";
import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import { addressOf, macOf } from "../model/ip.ts";
import type { Log } from "../model/log.ts";
import { AddressPool, chooseName, chooseSubnet } from "./gateway-pool.ts";
import { gatewayRules, rulesVersion, tableOf } from "./gateway-rules.ts";
import { HostFirewall } from "./host-firewall.ts";
import { isPlugged } from "./links.ts";
import { gatewayVeth } from "./names.ts";
import { RulesWatch } from "./rules-watch.ts";
import { readJson, writeJson } from "./state-file.ts";

/** Of the bridge and its cables: there is no tunnel here. */
const MTU = 1500;
// include/uapi/linux/if_link.h, rtnetlink.h
const RTM_SETLINK = 19;
const AF_BRIDGE = 7;
const IFLA_PROTINFO = 12;
const IFLA_BRPORT_ISOLATED = 33;

interface Stored {
  readonly name: string;
  readonly subnet: string;
  /** Ours, and nobody else's: tells our bridge from another of the same name. */
  readonly mac: string;
}

export class GatewayBridge {
  readonly #execRoot: string;
  readonly #path: string;
  readonly #hostNetns: NetnsRef;
  readonly #preferred: string | undefined;
  readonly #firewall: HostFirewall;
  readonly #log: Log;
  #stored: Stored | undefined;
  #pool: AddressPool | undefined;
  #ready = false;
  #watch: RulesWatch | undefined;
  #checking: Promise<void> = Promise.resolve();

  constructor(needs: {
    readonly execRoot: string;
    readonly statePath: string;
    readonly hostNetns: NetnsRef;
    readonly subnet: string | undefined;
    readonly log: Log;
  }) {
    this.#execRoot = needs.execRoot;
    this.#path = needs.statePath;
    this.#hostNetns = needs.hostNetns;
    this.#preferred = needs.subnet;
    this.#log = needs.log;
    this.#firewall = new HostFirewall({ hostNetns: needs.hostNetns, log: needs.log });
    this.#use(readJson<Stored>(needs.statePath));
  }

  /** What it is, or would be. */
  get status(): { name: string; subnet: string; gateway: string; built: boolean } {
    const { name = "docker_gwbridge", subnet = this.#preferred ?? "172.18.0.0/16" } = this.#stored ?? {};
    return { name, subnet, gateway: addressOf(new AddressPool(subnet).gateway), built: this.#ready };
  }

  /** An address that an earlier daemon gave. */
  claim(cidr: string): void {
    this.#pool?.claim(cidr);
  }

  /** The address of the ingress sandbox, once `ensure` is done. */
  get ingressAddress(): string {
    return this.#pool!.ingress;
  }

  /** An address for one more sandbox, once `ensure` is done. @throws SkepError "unavailable" */
  take(): string {
    return this.#pool!.take();
  }

  release(cidr: string): void {
    this.#pool?.release(cidr);
  }

  /** Makes bridge and rules, or takes over those of an earlier daemon. Quick once that is done. @throws KernelError, SkepError */
  async ensure(): Promise<void> {
    if (this.#ready) return;
    using rt = RtNetlink.open(this.#hostNetns);
    const stored = this.#choose(rt);
    await setImmediate(); // each part takes some milliseconds
    if (rt.link(stored.name) === undefined) {
      rt.addBridge(stored.name, { mac: stored.mac, mtu: MTU, up: true });
    }
    rt.ensureAddresses(stored.name, [this.#pool!.gateway]);
    await setImmediate();
    if (readSysctl(this.#hostNetns, "net.ipv4.ip_forward") !== "1") {
      writeSysctl(this.#hostNetns, "net.ipv4.ip_forward", 1);
      this.#log.info({ "sysctl.name": "net.ipv4.ip_forward" }, "turned on forwarding between interfaces");
    }
    this.#ready = true;
    await this.ensureRules();
  }

  /** Puts our rules back where they have been flushed, and sees to it that the host's own firewall lets tasks through. */
  async ensureRules(): Promise<void> {
    const stored = this.#stored;
    if (stored === undefined || !this.#ready) return;
    this.#ensureTable(stored);
    await this.#firewall.ensure(stored.name);
  }

  /** A firewall that is reloaded may take our rules with it, or bring new ones: then they are looked after, aside from all other work. */
  watchRules(clock: Clock): void {
    const onChange = (): void => {
      this.#checking = this.#checking
        .then(() => this.ensureRules())
        .catch((e: unknown) => this.#log.warn({ "error.message": messageOf(e) }, "cannot check the host's rules"));
    };
    this.#watch ??= new RulesWatch({ netns: this.#hostNetns, clock, onChange });
  }

  /** Resolves when nothing is being checked any more. */
  async unwatchRules(): Promise<void> {
    this.#watch?.close();
    this.#watch = undefined;
    await this.#checking;
  }

  /** Lays a cable to a sandbox, unless it is there, with its default route; `ensure` is done. @throws KernelError */
  plug(far: RtNetlink, plug: { owner: string; netns: string; name: string; address: string }): void {
    const { name: bridge } = this.#stored!;
    const mac = macOf(plug.address);
    const there = far.link(plug.name);
    if (!isPlugged(there, mac, MTU)) {
      if (there !== undefined) far.deleteLink(plug.name);
      this.#addVeth(bridge, plug.owner, { peer: plug.name, peerNetns: plug.netns, peerMac: mac });
    }
    far.ensureAddresses(plug.name, [plug.address]);
    const gateway = addressOf(this.#pool!.gateway);
    const routed = far.routes().some((r) => r.dst === "default" && r.via === gateway);
    if (!routed) far.ensureRoute({ dst: "default", via: gateway, dev: plug.name });
  }

  /** Takes bridge, cables and rules away. net.ipv4.ip_forward stays on: others may rely on it by now. */
  async remove(): Promise<void> {
    const stored = this.#stored;
    if (stored !== undefined) {
      await this.#firewall.remove(stored.name);
      using rt = RtNetlink.open(this.#hostNetns);
      const bridge = rt.link(stored.name);
      if (bridge?.mac === stored.mac) {
        for (const port of rt.links()) if (port.masterIndex === bridge.ifindex) rt.deleteLink(port.ifindex);
        rt.deleteLink(bridge.ifindex);
      }
      using nft = Nft.open(this.#hostNetns);
      const table = `table ip ${tableOf(stored.name)}`;
      nft.run(`${table}\ndelete ${table}\n`);
    }
    rmSync(this.#path, { force: true });
    this.#stored = undefined;
    this.#pool = undefined;
    this.#ready = false;
  }

  #addVeth(bridge: string, owner: string, far: { peer: string; peerNetns: string; peerMac: string }): void {
    using rt = RtNetlink.open(this.#hostNetns);
    const name = gatewayVeth(this.#execRoot, owner);
    // One of that name is a leftover: its other end is in a namespace that is just being taken down.
    if (rt.link(name) !== undefined) rt.deleteLink(name);
    rt.addVeth({ ...far, name, mtu: MTU, up: true, peerUp: true, master: bridge });
    this.#isolate(rt.link(name)!.ifindex, name);
  }

  /** Sandboxes do not see each other's packets on the bridge, whether or not it asks the firewall (br_netfilter). */
  #isolate(ifindex: number, name: string): void {
    using socket = NetlinkSocket.open(NETLINK_ROUTE, this.#hostNetns);
    const body = Buffer.alloc(16);
    body.writeUInt8(AF_BRIDGE, 0);
    body.writeInt32LE(ifindex, 4);
    socket.request(
      RTM_SETLINK,
      0,
      (m) => m.body(body).nested(IFLA_PROTINFO, () => m.u8(IFLA_BRPORT_ISOLATED, 1)),
      `isolate bridge port ${name}`,
    );
  }

  /** The bridge that we have, or a name and a subnet that nobody uses. On file before it is made, so that a crash leaves no orphan. */
  #choose(rt: RtNetlink): Stored {
    const links = rt.links();
    const mine = this.#stored;
    const there = mine && links.find((l) => l.name === mine.name);
    if (mine !== undefined && there?.mac === mine.mac) return mine;
    const routed = rt.routes().flatMap((r) => (r.family === 4 && r.dst !== "default" ? [r.dst] : []));
    if (mine !== undefined && there === undefined && chooseSubnet(routed, mine.subnet) === mine.subnet) return mine;
    const name = chooseName(new Set(links.map((l) => l.name)));
    const subnet = chooseSubnet(routed, this.#preferred);
    if (name !== "docker_gwbridge" || subnet !== (this.#preferred ?? "172.18.0.0/16")) {
      this.#log.warn({ "bridge.name": name, "bridge.subnet": subnet }, "the usual gateway bridge is in other hands");
    }
    const mac = `02:42:${[...randomBytes(4)].map((b) => b.toString(16).padStart(2, "0")).join(":")}`;
    const stored = { name, subnet, mac };
    writeJson(this.#path, stored);
    this.#use(stored);
    return stored;
  }

  #use(stored: Stored | undefined): void {
    this.#stored = stored;
    this.#pool = stored && new AddressPool(stored.subnet);
  }

  #ensureTable({ name, subnet }: Stored): void {
    using nft = Nft.open(this.#hostNetns);
    let there = "";
    try {
      there = nft.run(`list table ip ${tableOf(name)}`);
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e;
    }
    if (!there.includes(rulesVersion(name, subnet))) nft.run(gatewayRules(name, subnet, { replace: there !== "" }));
  }
}
