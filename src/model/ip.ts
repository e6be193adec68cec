// IP addresses and prefixes as numbers: parsing, formatting, containment and arithmetic, for both families. Pure.
import { isIPv4, isIPv6 } from "node:net";
import { SkepError } from "./errors.ts";

export type Family = 4 | 6;
const BITS = { 4: 32, 6: 128 } as const;

export interface Ip {
  readonly family: Family;
  readonly value: bigint;
}

/** A network: `base` has no bit set below the prefix. */
export interface Prefix {
  readonly family: Family;
  readonly base: bigint;
  readonly length: number;
}

/** @throws SkepError "invalid" when `text` is no IPv4 or IPv6 address. */
export function parseIp(text: string): Ip {
  if (isIPv4(text)) {
    let value = 0n;
    for (const part of text.split(".")) value = (value << 8n) | BigInt(part);
    return { family: 4, value };
  }
  if (isIPv6(text) && !text.includes("%")) return { family: 6, value: parseV6(text) };
  throw new SkepError("invalid", `invalid IP address: ${text}`);
}

function parseV6(text: string): bigint {
  let s = text;
  const v4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(s);
  if (v4) {
    const n = parseIp(v4[2]!).value;
    s = `${v4[1]}${(n >> 16n).toString(16)}:${(n & 0xffffn).toString(16)}`;
  }
  const [head = "", tail] = s.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const middle = Array<string>(tail === undefined ? 0 : 8 - left.length - right.length).fill("0");
  let value = 0n;
  for (const group of [...left, ...middle, ...right]) value = (value << 16n) | BigInt(`0x${group}`);
  return value;
}

/** The usual text of an address; IPv6 compressed as in RFC 5952. */
export function formatIp(ip: Ip): string {
  if (ip.family === 4) return [24n, 16n, 8n, 0n].map((s) => (ip.value >> s) & 0xffn).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => ((ip.value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  let best = { at: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === "0") n++;
    if (n > best.length) best = { at: i, length: n };
  }
  if (best.at < 0) return groups.join(":");
  return `${groups.slice(0, best.at).join(":")}::${groups.slice(best.at + best.length).join(":")}`;
}

/** Parses "10.0.1.7/24" into the address and its network. @throws SkepError "invalid" */
export function parseCidr(text: string): { readonly ip: Ip; readonly prefix: Prefix } {
  const slash = text.lastIndexOf("/");
  const bits = text.slice(slash + 1);
  if (slash < 0 || !/^\d{1,3}$/.test(bits)) throw new SkepError("invalid", `invalid CIDR address: ${text}`);
  const ip = parseIp(text.slice(0, slash));
  const length = Number(bits);
  if (length > BITS[ip.family]) throw new SkepError("invalid", `invalid CIDR address: ${text}`);
  return { ip, prefix: prefixOf(ip, length) };
}

/** The network of that length that an address is in. */
export function prefixOf(ip: Ip, length: number): Prefix {
  const host = BigInt(BITS[ip.family] - length);
  return { family: ip.family, base: (ip.value >> host) << host, length };
}

export function formatPrefix(p: Prefix): string {
  return `${formatIp({ family: p.family, value: p.base })}/${p.length}`;
}

/** The number of addresses in a prefix. */
export function sizeOf(p: Prefix): bigint {
  return 1n << BigInt(BITS[p.family] - p.length);
}

/** The last address of a prefix (IPv4: the broadcast address). */
export function lastOf(p: Prefix): bigint {
  return p.base + sizeOf(p) - 1n;
}

export function contains(p: Prefix, ip: Ip): boolean {
  return p.family === ip.family && ip.value >= p.base && ip.value <= lastOf(p);
}

/** Whether two prefixes share an address. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.family === b.family && a.base <= lastOf(b) && b.base <= lastOf(a);
}

/** "10.0.1.5/24" → "10.0.1.5". */
export function addressOf(cidr: string): string {
  const slash = cidr.indexOf("/");
  return slash < 0 ? cidr : cidr.slice(0, slash);
}

/**
 * The MAC address that Docker gives an endpoint: 02:42 and the IPv4 address in hex (libnetwork, netutils.GenerateMACFromIP). An IPv6-only
 * endpoint gets the last four bytes of its address.
 */
export function macOf(address: string): string {
  const n = parseIp(addressOf(address)).value & 0xffffffffn;
  const bytes = [24n, 16n, 8n, 0n].map((s) => ((n >> s) & 0xffn).toString(16).padStart(2, "0"));
  return `02:42:${bytes.join(":")}`;
}
