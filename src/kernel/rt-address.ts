// Interface addresses as rtnetlink has them: what we ask for and what we read. rtnetlink.ts sends the messages.
// Numbers: include/uapi/linux/if_addr.h, rtnetlink.h.
import { bytesToIp, familyOf, ipToBytes, parseCidr } from "./ip.ts";
import { AF_INET, AF_INET6 } from "./libc.ts";
import { Attributes, type Message, type MessageWriter } from "./netlink-codec.ts";

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;

/** Scopes by the names that `ip` prints. */
export const SCOPES = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;
export type Scope = keyof typeof SCOPES;

/** One address of an interface. */
export interface Address {
  readonly ifindex: number;
  readonly ifname: string;
  readonly family: 4 | 6;
  /** `10.0.1.4/24` */
  readonly cidr: string;
  readonly ip: string;
  readonly prefix: number;
  readonly scope: Scope;
  readonly broadcast: string | undefined;
  readonly noPrefixRoute: boolean;
  /** Ours; false for those that router advertisements gave. */
  readonly permanent: boolean;
  /** IPv6: duplicate detection has not finished, so it cannot be used yet. */
  readonly tentative: boolean;
}

export interface AddressOptions {
  readonly scope?: Scope;
  /** No route to the prefix is made with the address. */
  readonly noPrefixRoute?: boolean;
  /** IPv4 broadcast address. Default: the last of the subnet, for prefixes up to /30, as Docker does; null for none. */
  readonly broadcast?: string | null;
  /** IPv6: run duplicate address detection, which leaves the address unusable for about a second. Default: false. */
  readonly duplicateDetection?: boolean;
}

export function scopeName(number: number): Scope {
  for (const [name, value] of Object.entries(SCOPES)) if (value === number) return name as Scope;
  return "global"; // scopes that someone defined for himself (rt_scopes)
}

/** struct ifaddrmsg and its attributes for a new address. @throws TypeError */
export function writeAddress(m: MessageWriter, ifindex: number, cidr: string, o: AddressOptions): void {
  const { ip, prefix } = parseCidr(cidr);
  const family = familyOf(ip);
  const bytes = ipToBytes(ip);
  m.body(ifaddrmsg(family, ifindex, prefix, SCOPES[o.scope ?? "global"]));
  m.bytes(IFA_LOCAL, bytes).bytes(IFA_ADDRESS, bytes);
  const broadcast = o.broadcast === undefined ? lastOf(bytes, prefix) : o.broadcast;
  if (family === AF_INET && broadcast !== null) {
    m.bytes(IFA_BROADCAST, typeof broadcast === "string" ? ipToBytes(broadcast) : broadcast);
  }
  let flags = IFA_F_PERMANENT;
  if (o.noPrefixRoute) flags |= IFA_F_NOPREFIXROUTE;
  if (family === AF_INET6 && !o.duplicateDetection) flags |= IFA_F_NODAD;
  m.u32(IFA_FLAGS, flags);
}

export function writeDeleteAddress(m: MessageWriter, ifindex: number, cidr: string): void {
  const { ip, prefix } = parseCidr(cidr);
  const bytes = ipToBytes(ip);
  m.body(ifaddrmsg(familyOf(ip), ifindex, prefix, 0))
    .bytes(IFA_LOCAL, bytes)
    .bytes(IFA_ADDRESS, bytes);
}

export function writeGetAddresses(m: MessageWriter, ifindex = 0): void {
  m.body(ifaddrmsg(0, ifindex, 0, 0));
}

export function readAddress({ type, payload }: Message, nameOf: (ifindex: number) => string): Address | undefined {
  if (type !== RTM_NEWADDR) return undefined;
  const family = payload.readUInt8(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined; // AF_UNSPEC also asks MCTP and the like
  const prefix = payload.readUInt8(1);
  const ifindex = payload.readUInt32LE(4);
  const a = new Attributes(payload.subarray(8));
  const bytes = a.bytes(IFA_LOCAL) ?? a.bytes(IFA_ADDRESS); // LOCAL differs from ADDRESS on point-to-point links; IPv6 has only ADDRESS
  if (bytes === undefined) return undefined;
  const flags = a.u32(IFA_FLAGS) ?? payload.readUInt8(2);
  const broadcast = a.bytes(IFA_BROADCAST);
  const ip = bytesToIp(bytes);
  return {
    ifindex,
    ifname: nameOf(ifindex),
    family: family === AF_INET ? 4 : 6,
    cidr: `${ip}/${prefix}`,
    ip,
    prefix,
    scope: scopeName(payload.readUInt8(3)),
    broadcast: broadcast === undefined ? undefined : bytesToIp(broadcast),
    noPrefixRoute: (flags & IFA_F_NOPREFIXROUTE) !== 0,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
  };
}

function ifaddrmsg(family: number, ifindex: number, prefix: number, scope: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.set([family, prefix, 0, scope]); // flags go in IFA_FLAGS, which has room for all of them
  bytes.writeUInt32LE(ifindex, 4);
  return bytes;
}

function lastOf(ip: Uint8Array, prefix: number): Uint8Array | null {
  if (ip.length !== 4 || prefix > 30) return null;
  const mask = 0xffffffff >>> prefix; // prefix 0 shifts by nothing: all ones
  return Uint8Array.from(ip, (byte, i) => byte | ((mask >>> (24 - 8 * i)) & 0xff));
}
