// Routes as rtnetlink has them: what we ask for and what we read. rtnetlink.ts sends the messages.
// Numbers: include/uapi/linux/rtnetlink.h.
import { bytesToIp, familyOf, ipToBytes, parseCidr } from "./ip.ts";
import { AF_INET, AF_INET6 } from "./libc.ts";
import { Attributes, type Message, type MessageWriter } from "./netlink-codec.ts";
import { SCOPES, type Scope, scopeName } from "./rt-address.ts";

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_TABLE = 15;
const RTM_F_CLONED = 0x200;
const RTNH_F_ONLINK = 4;
const RTPROT_BOOT = 3; // what `ip route add` and Docker use: set by an administrator, not a routing daemon
const TYPES = {
  unspec: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
} as const;

export type RouteType = keyof typeof TYPES;

export interface Route {
  readonly family: 4 | 6;
  /** `10.0.1.0/24`; `default` for 0.0.0.0/0 and ::/0. */
  readonly dst: string;
  readonly via: string | undefined;
  readonly dev: string | undefined;
  readonly ifindex: number | undefined;
  readonly src: string | undefined;
  readonly table: number;
  readonly metric: number | undefined;
  readonly scope: Scope;
  readonly type: RouteType | `type ${number}`;
  /** Who made it, by number: 2 the kernel (with an address), 3 `ip`, 4 static… */
  readonly protocol: number;
}

export interface RouteSpec {
  /** `10.0.1.0/24`, an address alone for one host, or `default` (of the family of `via`, `src` or `family`; else IPv4). */
  readonly dst: string;
  readonly via?: string | undefined;
  /** Interface, by name or index. */
  readonly dev?: string | number | undefined;
  readonly src?: string | undefined;
  readonly table?: number | undefined;
  readonly metric?: number | undefined;
  /** Default: `global` with a gateway, `link` without. */
  readonly scope?: Scope | undefined;
  readonly type?: RouteType | undefined;
  /** The gateway is taken to be on this link though no route says so. */
  readonly onlink?: boolean | undefined;
  readonly family?: 4 | 6 | undefined;
}

/** struct rtmsg and attributes. `forDelete` leaves open (as a wildcard) what the spec does not say. @throws TypeError */
export function writeRoute(m: MessageWriter, spec: RouteSpec, ifindex: number | undefined, forDelete: boolean): void {
  const toAll = spec.dst === "default";
  const dst = toAll ? undefined : parseCidr(spec.dst);
  const family = dst === undefined ? familyOfDefault(spec) : familyOf(dst.ip);
  const table = spec.table ?? RT_TABLE_MAIN;
  const type = spec.type ?? "unicast";
  const scope = spec.scope ?? defaultScope(spec, type);
  const body = Buffer.alloc(12);
  body.set([family, dst?.prefix ?? 0, 0, 0, table < 256 ? table : 0]);
  body.writeUInt8(forDelete ? 0 : RTPROT_BOOT, 5);
  body.writeUInt8(forDelete && spec.scope === undefined ? SCOPES.nowhere : SCOPES[scope], 6);
  body.writeUInt8(forDelete && spec.type === undefined ? TYPES.unspec : TYPES[type], 7);
  body.writeUInt32LE(spec.onlink ? RTNH_F_ONLINK : 0, 8);
  m.body(body);
  // the kernel refuses bits beyond the prefix
  if (dst !== undefined) m.bytes(RTA_DST, ipToBytes(dst.ip));
  if (spec.via !== undefined) m.bytes(RTA_GATEWAY, ipToBytes(spec.via));
  if (ifindex !== undefined) m.u32(RTA_OIF, ifindex);
  if (spec.src !== undefined) m.bytes(RTA_PREFSRC, ipToBytes(spec.src));
  if (spec.metric !== undefined) m.u32(RTA_PRIORITY, spec.metric);
  m.u32(RTA_TABLE, table);
}

export function writeGetRoutes(m: MessageWriter, family: number): void {
  const body = Buffer.alloc(12);
  body.writeUInt8(family, 0);
  m.body(body);
}

export function readRoute({ type, payload }: Message, nameOf: (ifindex: number) => string): Route | undefined {
  if (type !== RTM_NEWROUTE) return undefined;
  const family = payload.readUInt8(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  if ((payload.readUInt32LE(8) & RTM_F_CLONED) !== 0) return undefined; // a cached exception, not a route
  const a = new Attributes(payload.subarray(12));
  const prefix = payload.readUInt8(1);
  const dst = a.bytes(RTA_DST);
  const ifindex = a.u32(RTA_OIF);
  const number = payload.readUInt8(7);
  return {
    family: family === AF_INET ? 4 : 6,
    dst: dst === undefined ? "default" : `${bytesToIp(dst)}/${prefix}`,
    via: text(a.bytes(RTA_GATEWAY)),
    dev: ifindex === undefined ? undefined : nameOf(ifindex),
    ifindex,
    src: text(a.bytes(RTA_PREFSRC)),
    table: a.u32(RTA_TABLE) ?? payload.readUInt8(4),
    metric: a.u32(RTA_PRIORITY),
    scope: scopeName(payload.readUInt8(6)),
    type: typeName(number) ?? `type ${number}`,
    protocol: payload.readUInt8(5),
  };
}

function familyOfDefault({ via, src, family }: RouteSpec): number {
  const hint = via ?? src;
  if (hint !== undefined) return familyOf(hint);
  return family === 6 ? AF_INET6 : AF_INET;
}

// as iproute2 chooses: a local route is the host's, one without a gateway reaches only the link
function defaultScope(spec: RouteSpec, type: RouteType): Scope {
  if (type === "local") return "host";
  return type === "unicast" && spec.via === undefined ? "link" : "global";
}

function typeName(number: number): RouteType | undefined {
  for (const [name, value] of Object.entries(TYPES)) if (value === number) return name as RouteType;
  return undefined;
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : bytesToIp(bytes);
}
