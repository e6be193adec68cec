// Links (interfaces) as rtnetlink has them: what we ask for and what we read, to and from messages. rtnetlink.ts sends them.
// Numbers: include/uapi/linux/if_link.h, veth.h, if.h.
import { bytesToIp, bytesToMac, familyOf, ipToBytes, macToBytes } from "./ip.ts";
import { AF_INET } from "./libc.ts";
import { Attributes, type Message, type MessageWriter } from "./netlink-codec.ts";

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;
export const IFF_UP = 0x1;
export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
const IFLA_LINK = 5;
export const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
export const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_LINK_NETNSID = 37;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_BR_AGEING_TIME = 4;
const IFLA_BR_MCAST_SNOOPING = 23;
const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_GROUP = 2;
const IFLA_VXLAN_LINK = 3;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_TTL = 5;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PROXY = 11;
const IFLA_VXLAN_L2MISS = 13;
const IFLA_VXLAN_L3MISS = 14;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_GROUP6 = 16;
const IFLA_VXLAN_LOCAL6 = 17;
const RTEXT_FILTER_SKIP_STATS = 8; // counters are most of a link's bytes, and we read none
const IFNAMSIZ = 16;
const OPER_STATES = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] as const;

/** An interface, as the kernel reports it. */
export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** `veth`, `bridge`, `vxlan`…; undefined for loopback and hardware. */
  readonly kind: string | undefined;
  readonly mac: string | undefined;
  readonly mtu: number;
  /** Administratively up. */
  readonly up: boolean;
  /** RFC 2863 state: what the carrier and the lower device make of it. */
  readonly operState: (typeof OPER_STATES)[number];
  /** Index of the bridge (or other master) that it belongs to. */
  readonly masterIndex: number | undefined;
  /** Index of the other end of a veth, or of the lower device; counted in the namespace of `linkNetnsId`, if that is given. */
  readonly linkIndex: number | undefined;
  /** Our namespace's number for the namespace in which the peer or the underlay is; undefined: in this one. */
  readonly linkNetnsId: number | undefined;
  readonly vxlan: VxlanData | undefined;
}

export interface VxlanData {
  readonly id: number;
  readonly port: number;
  readonly ttl: number;
  readonly learning: boolean;
  readonly proxy: boolean;
  readonly l2miss: boolean;
  readonly l3miss: boolean;
  readonly local: string | undefined;
  readonly group: string | undefined;
  /** Index of the underlay device, if it is tied to one. */
  readonly linkIndex: number | undefined;
}

/** What any new interface can be given. */
export interface NewLink {
  readonly mtu?: number | undefined;
  readonly mac?: string | undefined;
  readonly up?: boolean | undefined;
}

export interface BridgeOptions extends NewLink {
  /** Watch IGMP/MLD to learn who wants which group (kernel's default: on). */
  readonly multicastSnooping?: boolean;
  /** Seconds after which a learned address is forgotten (kernel's default: 300). */
  readonly ageingSeconds?: number;
}

export interface VxlanSettings extends NewLink {
  /** VXLAN network identifier, 24 bits. */
  readonly id: number;
  /** UDP destination port, 4789 by IANA (and in Swarm). */
  readonly port: number;
  readonly ttl?: number;
  /** Learn addresses from received packets. Default: false, since forwarding entries are programmed. */
  readonly learning?: boolean;
  /** Answer ARP from the neighbour table. */
  readonly proxy?: boolean;
  readonly l2miss?: boolean;
  readonly l3miss?: boolean;
  /** Source address of the outer packets. */
  readonly local?: string;
  /** Index of the underlay device to be tied to, in the underlay's namespace. */
  readonly linkIndex?: number;
}

/** struct ifinfomsg */
export function ifinfomsg(index = 0, flags = 0, change = 0): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(flags, 8);
  bytes.writeUInt32LE(change, 12);
  return bytes;
}

/** The ifinfomsg of a link to be made, up or not. */
export function newLinkBody(up: boolean | undefined): Buffer {
  return up ? ifinfomsg(0, IFF_UP, IFF_UP) : ifinfomsg();
}

/** @throws TypeError for a name that the kernel would cut or refuse */
export function checkIfname(name: string): string {
  const ok =
    name !== "" && Buffer.byteLength(name) < IFNAMSIZ && name !== "." && name !== ".." && !/[\s/:\0]/.test(name);
  if (!ok)
    throw new TypeError(`not an interface name (1 to 15 bytes, no space, slash or colon): ${JSON.stringify(name)}`);
  return name;
}

export function writeCommon(m: MessageWriter, name: string, link: NewLink): void {
  m.string(IFLA_IFNAME, checkIfname(name));
  if (link.mtu !== undefined) m.u32(IFLA_MTU, link.mtu);
  if (link.mac !== undefined) m.bytes(IFLA_ADDRESS, macToBytes(link.mac));
}

/** IFLA_LINKINFO for a veth; the peer is written as a link of its own, inside. */
export function writeVeth(m: MessageWriter, peer: NewLink & { name: string; netnsFd: number | undefined }): void {
  m.nested(IFLA_LINKINFO, () => {
    m.string(IFLA_INFO_KIND, "veth");
    m.nested(IFLA_INFO_DATA, () => {
      m.nested(VETH_INFO_PEER, () => {
        m.body(newLinkBody(peer.up));
        writeCommon(m, peer.name, peer);
        if (peer.netnsFd !== undefined) m.u32(IFLA_NET_NS_FD, peer.netnsFd);
      });
    });
  });
}

export function writeBridge(m: MessageWriter, o: BridgeOptions): void {
  m.nested(IFLA_LINKINFO, () => {
    m.string(IFLA_INFO_KIND, "bridge");
    m.nested(IFLA_INFO_DATA, () => {
      if (o.multicastSnooping !== undefined) m.u8(IFLA_BR_MCAST_SNOOPING, Number(o.multicastSnooping));
      if (o.ageingSeconds !== undefined) m.u32(IFLA_BR_AGEING_TIME, o.ageingSeconds * 100); // in clock ticks (USER_HZ)
    });
  });
}

export function writeVxlan(m: MessageWriter, o: VxlanSettings): void {
  m.nested(IFLA_LINKINFO, () => {
    m.string(IFLA_INFO_KIND, "vxlan");
    m.nested(IFLA_INFO_DATA, () => {
      m.u32(IFLA_VXLAN_ID, o.id);
      m.u16be(IFLA_VXLAN_PORT, o.port);
      if (o.ttl !== undefined) m.u8(IFLA_VXLAN_TTL, o.ttl);
      m.u8(IFLA_VXLAN_LEARNING, Number(o.learning ?? false));
      m.u8(IFLA_VXLAN_PROXY, Number(o.proxy ?? false));
      m.u8(IFLA_VXLAN_L2MISS, Number(o.l2miss ?? false));
      m.u8(IFLA_VXLAN_L3MISS, Number(o.l3miss ?? false));
      if (o.local !== undefined) {
        m.bytes(familyOf(o.local) === AF_INET ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, ipToBytes(o.local));
      }
      if (o.linkIndex !== undefined) m.u32(IFLA_VXLAN_LINK, o.linkIndex);
    });
  });
}

/** Asks for one link or all, without their counters. */
export function writeGetLink(m: MessageWriter, index = 0, name?: string): void {
  m.body(ifinfomsg(index)).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  if (name !== undefined) m.string(IFLA_IFNAME, name);
}

export function readLink({ type, payload }: Message): Link | undefined {
  if (type !== RTM_NEWLINK) return undefined;
  const a = new Attributes(payload.subarray(16));
  const info = a.nested(IFLA_LINKINFO);
  const kind = info?.string(IFLA_INFO_KIND);
  const data = info?.nested(IFLA_INFO_DATA);
  const mac = a.bytes(IFLA_ADDRESS);
  return {
    ifindex: payload.readInt32LE(4),
    name: a.string(IFLA_IFNAME) ?? "",
    kind,
    mac: mac === undefined || mac.length === 0 ? undefined : bytesToMac(mac),
    mtu: a.u32(IFLA_MTU) ?? 0,
    up: (payload.readUInt32LE(8) & IFF_UP) !== 0,
    operState: OPER_STATES[a.u8(IFLA_OPERSTATE) ?? 0] ?? "unknown",
    masterIndex: a.u32(IFLA_MASTER),
    linkIndex: a.u32(IFLA_LINK),
    linkNetnsId: a.i32(IFLA_LINK_NETNSID),
    vxlan: kind === "vxlan" && data !== undefined ? readVxlan(data) : undefined,
  };
}

function readVxlan(data: Attributes): VxlanData {
  const address = (v4: number, v6: number): string | undefined => {
    const bytes = data.bytes(v4) ?? data.bytes(v6);
    return bytes === undefined ? undefined : bytesToIp(bytes);
  };
  return {
    id: data.u32(IFLA_VXLAN_ID) ?? 0,
    port: data.u16be(IFLA_VXLAN_PORT) ?? 0,
    ttl: data.u8(IFLA_VXLAN_TTL) ?? 0,
    learning: data.u8(IFLA_VXLAN_LEARNING) === 1,
    proxy: data.u8(IFLA_VXLAN_PROXY) === 1,
    l2miss: data.u8(IFLA_VXLAN_L2MISS) === 1,
    l3miss: data.u8(IFLA_VXLAN_L3MISS) === 1,
    local: address(IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6),
    group: address(IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6),
    linkIndex: data.u32(IFLA_VXLAN_LINK) || undefined,
  };
}
