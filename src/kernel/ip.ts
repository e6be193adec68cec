// IP and link-layer addresses between text and the bytes that the kernel speaks. Knows nothing of netlink.
import { isIP } from "node:net";
import { AF_INET, AF_INET6 } from "./libc.ts";

/** An address with its prefix length, apart: `10.0.1.4/24`. */
export interface Cidr {
  readonly ip: string;
  readonly prefix: number;
}

/** AF_INET or AF_INET6, by the look of the address. @throws TypeError when it is neither */
export function familyOf(ip: string): number {
  const version = isIP(ip);
  if (version === 4) return AF_INET;
  if (version === 6) return AF_INET6;
  throw new TypeError(`not an IP address: ${ip}`);
}

/** The address in network byte order: 4 or 16 bytes. @throws TypeError */
export function ipToBytes(ip: string): Uint8Array {
  if (familyOf(ip) === AF_INET) return Uint8Array.from(ip.split("."), Number);
  const bytes = new Uint8Array(16);
  const [head = "", tail] = withoutDottedTail(ip.split("%")[0]!).split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  for (const [i, group] of front.entries()) put(bytes, i, group);
  for (const [i, group] of back.entries()) put(bytes, 8 - back.length + i, group);
  return bytes;
}

/** The text of 4 or 16 bytes; IPv6 in the shortest form (RFC 5952). */
export function bytesToIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let [start, length] = [-1, 1]; // a single zero group is not shortened
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > length) [start, length] = [i, n];
    if (n > 0) i += n - 1;
  }
  const hex = groups.map((g) => g.toString(16));
  if (start === -1) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** Splits `10.0.1.4/24`; without a prefix it is a single host (/32, /128). @throws TypeError */
export function parseCidr(cidr: string): Cidr {
  const [ip = "", prefix, ...rest] = cidr.split("/");
  const bits = familyOf(ip) === AF_INET ? 32 : 128;
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  if (rest.length > 0 || length < 0 || length > bits)
    throw new TypeError(`not an address with a prefix length: ${cidr}`);
  return { ip, prefix: length };
}

/** The same address however it was written: `fd00:0::1/64` and `fd00::1/64` give one text. @throws TypeError */
export function canonicalCidr(cidr: string): string {
  const { ip, prefix } = parseCidr(cidr);
  return `${bytesToIp(ipToBytes(ip))}/${prefix}`;
}

/** The six bytes of `02:42:0a:00:01:04`. @throws TypeError */
export function macToBytes(mac: string): Uint8Array {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) throw new TypeError(`not a MAC address: ${mac}`);
  return Uint8Array.from(mac.split(":"), (byte) => Number.parseInt(byte, 16));
}

/** Bytes as lower-case hex pairs with colons. */
export function bytesToMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** A `sockaddr_in` or `sockaddr_in6` for bind, connect and sendto. @throws TypeError */
export function sockaddr(ip: string, port: number): Uint8Array {
  const family = familyOf(ip);
  const bytes = new Uint8Array(family === AF_INET ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port, false);
  bytes.set(ipToBytes(ip), family === AF_INET ? 4 : 8);
  return bytes;
}

// ::ffff:10.0.0.1 is written with its last two groups in IPv4 form
function withoutDottedTail(ip: string): string {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(ip);
  if (dotted === null) return ip;
  const [a, b, c, d] = dotted.slice(2).map(Number) as [number, number, number, number];
  return `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

function put(bytes: Uint8Array, group: number, hex: string): void {
  const value = Number.parseInt(hex, 16);
  bytes[2 * group] = value >> 8;
  bytes[2 * group + 1] = value & 0xff;
}
