// The connection tracking table of a namespace (ctnetlink): entries listed, and those that lead to a given place deleted.
// Numbers: include/uapi/linux/netfilter/nfnetlink_conntrack.h, nfnetlink.h.
import { isErrno } from "./errno.ts";
import { bytesToIp, familyOf, ipToBytes } from "./ip.ts";
import { AF_INET, AF_INET6 } from "./libc.ts";
import { Attributes, type Message, type MessageWriter } from "./netlink-codec.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "./netlink-socket.ts";
import type { NetnsRef } from "./netns.ts";

const SUBSYSTEM = 1 << 8; // NFNL_SUBSYS_CTNETLINK
const IPCTNL_MSG_CT_NEW = SUBSYSTEM | 0;
const IPCTNL_MSG_CT_GET = SUBSYSTEM | 1;
const IPCTNL_MSG_CT_DELETE = SUBSYSTEM | 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_MARK = 8;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP = { src: [1, 3], dst: [2, 4] } as const; // IPv4, IPv6
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;

/** Protocols by number, as far as they have a name here. */
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;
export type Protocol = keyof typeof PROTOCOLS;

/** One direction of a tracked connection. Ports are undefined for protocols without. */
export interface Tuple {
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  readonly srcPort: number | undefined;
  readonly dstPort: number | undefined;
}

/** A tracked connection: how its first packet looked, and how an answer looks (which is where NAT shows). */
export interface Connection {
  readonly original: Tuple;
  readonly reply: Tuple;
  readonly mark: number;
}

/** Everything that is given must fit. */
export interface ConnectionFilter {
  /** Where the client aimed: a service's VIP. */
  readonly dst?: string;
  readonly dstPort?: number;
  /** Who really answers, after NAT: a backend. */
  readonly replySrc?: string;
  readonly replySrcPort?: number;
  readonly protocol?: Protocol;
}

interface Entry extends Connection {
  readonly family: number;
  // copies of what the kernel said, to name the very same entry when deleting
  readonly key: readonly (readonly [type: number, value: Buffer])[];
}

/** The connections that fit, of one moment. @throws KernelError */
export function connections(netns: NetnsRef, filter: ConnectionFilter = {}): Connection[] {
  using socket = NetlinkSocket.open(NETLINK_NETFILTER, netns);
  return list(socket, filter).map(({ original, reply, mark }) => ({ original, reply, mark }));
}

/**
 * Deletes the connections that fit, so that the next packet of each is judged anew (or refused). Answers how many there were. Those that end
 * meanwhile are not counted. An empty filter deletes all.
 * @throws KernelError
 */
export function flushConntrack(netns: NetnsRef, filter: ConnectionFilter): number {
  using socket = NetlinkSocket.open(NETLINK_NETFILTER, netns);
  let deleted = 0;
  for (const entry of list(socket, filter)) if (remove(socket, entry)) deleted++;
  return deleted;
}

function list(socket: NetlinkSocket, filter: ConnectionFilter): Entry[] {
  const ip = filter.replySrc ?? filter.dst;
  const families = ip === undefined ? [AF_INET, AF_INET6] : [familyOf(ip)];
  const want = canonical(filter);
  return families.flatMap((family) =>
    socket.dump(
      IPCTNL_MSG_CT_GET,
      (m) => m.body(nfgenmsg(family)),
      "list tracked connections",
      (m) => {
        const entry = read(m, family);
        return entry !== undefined && fits(entry, want) ? entry : undefined;
      },
    ),
  );
}

function remove(socket: NetlinkSocket, { family, key }: Entry): boolean {
  const fill = (m: MessageWriter): void => {
    m.body(nfgenmsg(family));
    for (const [type, value] of key) m.bytes(type, value);
  };
  try {
    socket.request(IPCTNL_MSG_CT_DELETE, 0, fill, "delete a tracked connection");
    return true;
  } catch (e) {
    if (isErrno(e, "ENOENT")) return false; // it ended by itself
    throw e;
  }
}

function fits({ original, reply }: Connection, f: ConnectionFilter): boolean {
  return (
    (f.dst === undefined || original.dst === f.dst) &&
    (f.dstPort === undefined || original.dstPort === f.dstPort) &&
    (f.replySrc === undefined || reply.src === f.replySrc) &&
    (f.replySrcPort === undefined || reply.srcPort === f.replySrcPort) &&
    (f.protocol === undefined || original.protocol === PROTOCOLS[f.protocol])
  );
}

function canonical(filter: ConnectionFilter): ConnectionFilter {
  const { dst, replySrc } = filter;
  return {
    ...filter,
    ...(dst !== undefined && { dst: bytesToIp(ipToBytes(dst)) }),
    ...(replySrc !== undefined && { replySrc: bytesToIp(ipToBytes(replySrc)) }),
  };
}

function read({ type, payload }: Message, family: number): Entry | undefined {
  if (type !== IPCTNL_MSG_CT_NEW || payload.readUInt8(0) !== family) return undefined;
  const a = new Attributes(payload.subarray(4));
  const [original, reply] = [a.nested(CTA_TUPLE_ORIG), a.nested(CTA_TUPLE_REPLY)];
  if (original === undefined || reply === undefined) return undefined;
  const key = [CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID].flatMap((attribute) => {
    const value = a.bytes(attribute);
    const nested = attribute === CTA_TUPLE_ORIG ? NLA_F_NESTED : 0;
    return value === undefined ? [] : [[attribute | nested, Buffer.from(value)] as const];
  });
  return { original: readTuple(original), reply: readTuple(reply), mark: a.u32be(CTA_MARK) ?? 0, family, key };
}

const NLA_F_NESTED = 0x8000;

function readTuple(tuple: Attributes): Tuple {
  const ip = tuple.nested(CTA_TUPLE_IP);
  const proto = tuple.nested(CTA_TUPLE_PROTO);
  const address = ([v4, v6]: readonly [number, number]): string => {
    const bytes = ip?.bytes(v4) ?? ip?.bytes(v6);
    return bytes === undefined ? "" : bytesToIp(bytes);
  };
  return {
    src: address(CTA_IP.src),
    dst: address(CTA_IP.dst),
    protocol: proto?.u8(CTA_PROTO_NUM) ?? 0,
    srcPort: proto?.u16be(CTA_PROTO_SRC_PORT),
    dstPort: proto?.u16be(CTA_PROTO_DST_PORT),
  };
}

/** struct nfgenmsg */
function nfgenmsg(family: number): Uint8Array {
  return Uint8Array.of(family, 0, 0, 0);
}
