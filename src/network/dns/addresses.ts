// Addresses as DNS has them: the bytes of A and AAAA records, and the names under which pointers are found.

import { isIP } from "node:net";
import { ipToBytes } from "../../kernel/index.ts";
import { SkepError } from "../../model/errors.ts";
import { type Ip, parseIp } from "../../model/ip.ts";

export const REVERSE_V4 = ".in-addr.arpa";
export const REVERSE_V6 = ".ip6.arpa";

/**
 * The bytes of an address as a record carries them, 4 or 16; a prefix length (`10.0.1.2/24`, as the API writes VIPs) is dropped.
 * @throws SkepError "invalid" when it is no address, or one of a single link (`fe80::1%eth0`)
 */
export function packAddress(text: string): Uint8Array {
  const address = text.split("/", 1)[0] ?? "";
  if (isIP(address) === 0 || address.includes("%")) {
    throw new SkepError("invalid", `cannot put ${text} into the DNS table: no IP address`);
  }
  return ipToBytes(address);
}

/** The address that a reverse name is of; undefined when it is not the name of one whole address. */
export function addressOfReverse(name: string): Ip | undefined {
  const v4 = name.endsWith(REVERSE_V4);
  const parts = name
    .slice(0, v4 ? -REVERSE_V4.length : -REVERSE_V6.length)
    .split(".")
    .reverse();
  const text = v4 ? parts.join(".") : parts.length === 32 ? parts.join("").replace(/(.{4})(?=.)/g, "$1:") : "";
  return isIP(text) === (v4 ? 4 : 6) ? parseIp(text) : undefined;
}

/** The name under which an address has its PTR: `4.1.0.10.in-addr.arpa`. @throws SkepError "invalid" */
export function reverseName(address: string): string {
  const bytes = packAddress(address);
  if (bytes.length === 4) return [...bytes].reverse().join(".") + REVERSE_V4;
  const nibbles = [...bytes].flatMap((byte) => [byte >> 4, byte & 15]).reverse();
  return nibbles.map((nibble) => nibble.toString(16)).join(".") + REVERSE_V6;
}
