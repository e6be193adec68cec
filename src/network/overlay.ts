// The bridge of one overlay network on this node: namespace "1-<network id>" with br0 (which has the network's gateway address), vxlan0
// to other nodes, and a cable to each local sandbox and to the balancer. The balancer's own namespace is made in lb/balancer.ts.
import { setImmediate } from "node:timers/promises";
import { closeFd, isErrno, isNetns, type NetnsRef, openNetnsFd, RtNetlink } from "../kernel/index.ts";
import type { NetworkAssignment } from "../model/assignment.ts";
import { messageOf } from "../model/errors.ts";
import { addressOf, macOf, parseCidr } from "../model/ip.ts";
import type { Log } from "../model/log.ts";
import type { Chores } from "./chores.ts";
import { isPlugged, nextVeth, prepareNetns, setWhereKnown } from "./links.ts";
import type { Namespaces } from "./namespaces.ts";

const BRIDGE = "br0";
const VXLAN = "vxlan0";

/** The far end of a cable: an interface of a sandbox. */
export interface Plug {
  readonly netns: string;
  /** "eth0" */
  readonly name: string;
  /** "10.0.1.3/24"; the first one gives the MAC address. */
  readonly addresses: readonly string[];
  /** Other addresses that the interface has stay. */
  readonly keepOthers?: boolean;
}

export class Overlay {
  readonly netns: string;
  readonly #network: NetworkAssignment;
  readonly #hostNetns: NetnsRef;
  readonly #port: number;
  readonly #namespaces: Namespaces;
  readonly #chores: Chores;
  readonly #log: Log;
  #nextVeth: number | undefined;

  /** @param needs.port UDP port of the VXLAN */
  constructor(needs: {
    readonly netns: string;
    readonly network: NetworkAssignment;
    readonly hostNetns: NetnsRef;
    readonly port: number;
    readonly namespaces: Namespaces;
    readonly chores: Chores;
    readonly log: Log;
  }) {
    this.netns = needs.netns;
    this.#network = needs.network;
    this.#hostNetns = needs.hostNetns;
    this.#port = needs.port;
    this.#namespaces = needs.namespaces;
    this.#chores = needs.chores;
    this.#log = needs.log;
  }

  get built(): boolean {
    return isNetns(this.netns);
  }

  /** Makes what is missing; leaves alone what is there. @throws KernelError */
  async ensure(): Promise<void> {
    const { mtu, subnets } = this.#network;
    this.#namespaces.create(this.netns);
    await setImmediate(); // each part takes some milliseconds
    using rt = RtNetlink.open(this.netns);
    const links = rt.links();
    const has = (name: string): boolean => links.some((l) => l.name === name);
    if (!has(BRIDGE)) {
      prepareNetns(this.netns, rt, { ipv6: subnets.some((s) => s.subnet.includes(":")) });
      // bridged packets are not to pass this namespace's (empty) firewall
      setWhereKnown(this.netns, { "net.bridge.bridge-nf-call-iptables": 0, "net.bridge.bridge-nf-call-ip6tables": 0 });
      // A fixed address: else the bridge takes that of one of its ports, and changes it as they come and go.
      rt.addBridge(BRIDGE, { mtu, mac: macOf(subnets[0]?.gateway ?? "0.0.0.0"), up: true });
    }
    const gateways = subnets.map((s) => `${addressOf(s.gateway)}/${parseCidr(s.subnet).prefix.length}`);
    rt.ensureAddresses(BRIDGE, gateways);
    await setImmediate();
    if (!has(VXLAN)) {
      await this.#chores.settled(); // a predecessor's may still have the id
      this.#addVxlan(rt);
    } else if (links.find((l) => l.name === VXLAN)?.masterIndex === undefined) rt.setLink(VXLAN, { master: BRIDGE });
    this.#nextVeth = nextVeth(links);
  }

  /**
   * Lays a cable from the bridge to a sandbox, unless it is there, and gives its far end these addresses. The interface is born in the
   * sandbox under its final name. @throws KernelError
   */
  plug(far: RtNetlink, plug: Plug): void {
    const { mtu } = this.#network;
    const mac = macOf(plug.addresses[0] ?? "");
    const there = far.link(plug.name);
    if (!isPlugged(there, mac, mtu)) {
      if (there !== undefined) far.deleteLink(plug.name);
      this.#addVeth({
        mtu,
        peer: plug.name,
        peerNetns: plug.netns,
        peerMac: mac,
        up: true,
        peerUp: true,
        master: BRIDGE,
      });
    }
    if (plug.keepOthers) for (const cidr of plug.addresses) far.ensureAddress(plug.name, cidr);
    else far.ensureAddresses(plug.name, plug.addresses);
  }

  /** Whether the kernel has VXLAN and the network uses it. */
  hasVxlan(): boolean {
    using rt = RtNetlink.open(this.netns);
    return rt.link(VXLAN) !== undefined;
  }

  /** Takes the namespace away, and all that is in it. */
  remove(): void {
    removeOverlay(this.netns, { namespaces: this.#namespaces, chores: this.#chores });
    this.#nextVeth = undefined;
  }

  #addVeth(spec: Omit<Parameters<RtNetlink["addVeth"]>[0], "name">): void {
    using rt = RtNetlink.open(this.netns);
    this.#nextVeth ??= nextVeth(rt.links());
    rt.addVeth({ ...spec, name: `veth${this.#nextVeth}` });
    this.#nextVeth++;
  }

  /** Its outer packets leave from the host's namespace. Without VXLAN in the kernel the network still works within this node. */
  #addVxlan(rt: RtNetlink): void {
    const { vni, mtu, id } = this.#network;
    const fd = openNetnsFd(this.netns);
    try {
      using host = RtNetlink.open(this.#hostNetns);
      host.addVxlan(VXLAN, { id: vni, port: this.#port, proxy: true, l2miss: true, l3miss: true, mtu, netns: fd });
      rt.setLink(VXLAN, { master: BRIDGE, up: true });
    } catch (e) {
      // EOPNOTSUPP: no VXLAN in this kernel; EEXIST: another network of this host has the same id
      if (!isErrno(e, "EOPNOTSUPP", "EEXIST", "ENOTSUPP")) throw e;
      const facts = { "network.id": id, "vxlan.id": vni, "error.message": messageOf(e) };
      this.#log.warn(facts, "the network does not reach other nodes");
    } finally {
      closeFd(fd);
    }
  }
}

/** Removes an overlay's namespace by its path alone. The VXLAN goes by itself, soon, so that its id is free for a successor. */
export function removeOverlay(
  netns: string,
  { namespaces, chores }: { readonly namespaces: Namespaces; readonly chores: Chores },
): void {
  if (isNetns(netns)) chores.deleteLink(netns, VXLAN);
  namespaces.delete(netns);
}
