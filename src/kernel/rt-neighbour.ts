// Neighbours (ARP and ND) and forwarding entries (FDB of bridges and VXLANs): the same messages, in two families.
// rtnetlink.ts sends them. Numbers: include/uapi/linux/neighbour.h.
import { bytesToIp, bytesToMac, familyOf, ipToBytes, macToBytes } from "./ip.ts";
import { AF_BRIDGE, AF_INET, AF_INET6 } from "./libc.ts";
import { Attributes, type Message, type MessageWriter } from "./netlink-codec.ts";

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_VLAN = 5;
const NDA_MASTER = 9;
const NTF_SELF = 0x02;
const NTF_MASTER = 0x04;
const NTF_PROXY = 0x08;
const NUD_REACHABLE = 0x02;
const NUD_NOARP = 0x40;
const NUD_PERMANENT = 0x80;
const STATES = [
  [0x01, "incomplete"],
  [NUD_REACHABLE, "reachable"],
  [0x04, "stale"],
  [0x08, "delay"],
  [0x10, "probe"],
  [0x20, "failed"],
  [NUD_NOARP, "noarp"],
  [NUD_PERMANENT, "permanent"],
] as const;

export type NeighbourState = (typeof STATES)[number][1] | "none";

/** An entry of the ARP (IPv4) or ND (IPv6) table. */
export interface Neighbour {
  readonly ifindex: number;
  readonly dev: string;
  readonly ip: string;
  readonly mac: string | undefined;
  readonly state: NeighbourState;
}

export interface NeighbourSpec {
  /** Interface, by name or index. */
  readonly dev: string | number;
  readonly ip: string;
  readonly mac: string;
  /** Never forgotten (default). False: reachable now, and aged as if it had been learned. */
  readonly permanent?: boolean;
}

/** A forwarding entry: behind which port (bridge) or remote host (VXLAN) a MAC address is. */
export interface FdbEntry {
  readonly ifindex: number;
  readonly dev: string;
  readonly mac: string;
  /** VXLAN: the remote host. */
  readonly dst: string | undefined;
  /** Of the bridge whose table it is in; undefined for the device's own table. */
  readonly masterIndex: number | undefined;
  readonly vlan: number | undefined;
  readonly state: NeighbourState;
}

export interface FdbSpec {
  /** Interface, by name or index: the VXLAN, or the bridge's port. */
  readonly dev: string | number;
  readonly mac: string;
  /** VXLAN: the remote host. With it the entry goes into the device's own table, without it into its bridge's. */
  readonly dst?: string;
  /** Add a further remote for the same MAC instead of moving it: only for 00:00:00:00:00:00 (all that is unknown) and multicast. */
  readonly append?: boolean;
}

export function writeNeighbour(m: MessageWriter, ifindex: number, spec: NeighbourSpec): void {
  m.body(ndmsg(familyOf(spec.ip), ifindex, spec.permanent === false ? NUD_REACHABLE : NUD_PERMANENT, 0));
  m.bytes(NDA_DST, ipToBytes(spec.ip)).bytes(NDA_LLADDR, macToBytes(spec.mac));
}

export function writeDeleteNeighbour(m: MessageWriter, ifindex: number, ip: string): void {
  m.body(ndmsg(familyOf(ip), ifindex, 0, 0)).bytes(NDA_DST, ipToBytes(ip));
}

export function writeFdb(m: MessageWriter, ifindex: number, { mac, dst }: Pick<FdbSpec, "mac" | "dst">): void {
  // A static entry of a VXLAN is `permanent`; on a bridge that word means the port's own address, and `noarp` is what is static.
  const own = dst !== undefined;
  m.body(ndmsg(AF_BRIDGE, ifindex, own ? NUD_PERMANENT | NUD_NOARP : NUD_NOARP, own ? NTF_SELF : NTF_MASTER));
  m.bytes(NDA_LLADDR, macToBytes(mac));
  if (dst !== undefined) m.bytes(NDA_DST, ipToBytes(dst));
}

export function writeGetNeighbours(m: MessageWriter, family: number): void {
  m.body(ndmsg(family, 0, 0, 0));
}

export function readNeighbour({ type, payload }: Message, nameOf: (ifindex: number) => string): Neighbour | undefined {
  if (type !== RTM_NEWNEIGH) return undefined;
  const family = payload.readUInt8(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  if ((payload.readUInt8(10) & NTF_PROXY) !== 0) return undefined; // another table: addresses answered for, not reached
  const a = new Attributes(payload.subarray(12));
  const ip = a.bytes(NDA_DST);
  if (ip === undefined) return undefined;
  const mac = a.bytes(NDA_LLADDR);
  const ifindex = payload.readInt32LE(4);
  return {
    ifindex,
    dev: nameOf(ifindex),
    ip: bytesToIp(ip),
    mac: mac === undefined ? undefined : bytesToMac(mac),
    state: stateName(payload.readUInt16LE(8)),
  };
}

export function readFdb({ type, payload }: Message, nameOf: (ifindex: number) => string): FdbEntry | undefined {
  if (type !== RTM_NEWNEIGH || payload.readUInt8(0) !== AF_BRIDGE) return undefined;
  const a = new Attributes(payload.subarray(12));
  const mac = a.bytes(NDA_LLADDR);
  if (mac === undefined || mac.length !== 6) return undefined;
  const dst = a.bytes(NDA_DST);
  const ifindex = payload.readInt32LE(4);
  return {
    ifindex,
    dev: nameOf(ifindex),
    mac: bytesToMac(mac),
    dst: dst === undefined ? undefined : bytesToIp(dst),
    masterIndex: a.u32(NDA_MASTER),
    vlan: a.u16(NDA_VLAN),
    state: stateName(payload.readUInt16LE(8)),
  };
}

// the strongest first: a VXLAN's static entry has both noarp and permanent
function stateName(bits: number): NeighbourState {
  return STATES.findLast(([bit]) => (bits & bit) !== 0)?.[1] ?? "none";
}

/** struct ndmsg */
function ndmsg(family: number, ifindex: number, state: number, flags: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(family, 0);
  bytes.writeInt32LE(ifindex, 4);
  bytes.writeUInt16LE(state, 8);
  bytes.writeUInt8(flags, 10);
  return bytes;
}
