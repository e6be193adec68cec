// The balancer as nftables text: table `ip skep` (and `ip6 skep`) of a balancer's namespace. Pure. nft.ts runs it, nft-read.ts reads it back.
//
// How a packet goes: the first one of a connection to a VIP gets the service's mark (map marks) and goes to the service's chain (map
// services), which picks a replica and rewrites the destination; postrouting rewrites the source. Both are NAT chains, which the kernel asks
// only about first packets: an established connection passes no rule at all. What still arrives at the VIP itself (chain input) has no
// replica to go to, or belongs to no connection.
import { createHash } from "node:crypto";
import { isIPv4 } from "node:net";
import type { VirtualService } from "./driver.ts";
import { slotsOf } from "./slots.ts";

export const TABLE = "skep";
/** nft's limit for a comment, in bytes, with the final NUL (NFTNL_UDATA_COMMENT_MAXLEN). */
const MAX_COMMENT = 127;
/** Elements in one statement: keeps lines readable when a script fails. */
const CHAIN_PREFIX = "service-";

/** The families of nft tables. */
export type Family = "ip" | "ip6";
export const FAMILIES: readonly Family[] = ["ip", "ip6"];

export function familyOf(address: string): Family {
  return isIPv4(address) ? "ip" : "ip6";
}

export function chainOf(mark: number): string {
  return `${CHAIN_PREFIX}${mark}`;
}

/** The mark that a chain is for; undefined for the base chains. */
export function markOfChain(chain: string): number | undefined {
  const mark = chain.startsWith(CHAIN_PREFIX) ? Number(chain.slice(CHAIN_PREFIX.length)) : Number.NaN;
  return Number.isInteger(mark) ? mark : undefined;
}

/**
 * Table, maps and base chains; run again it replaces the base chains' rules in one step and leaves the services alone.
 * @param source what replicas see as the client: the balancer's own address
 */
export function baseRules(family: Family, source: string): string {
  return baseText(family, source, `the balancer's own address (${baseVersion(family, source)})`);
}

/** Part of the comment of the source NAT rule: says which text the base chains were made from. */
export function baseVersion(family: Family, source: string): string {
  return `base ${createHash("sha256")
    .update(baseText(family, source, ""))
    .digest("hex")
    .slice(0, 8)}`;
}

function baseText(family: Family, source: string, comment: string): string {
  const v4 = family === "ip";
  const chains = ["prerouting", "input", "postrouting"].map((c) => `flush chain ${family} ${TABLE} ${c}\n`);
  return `table ${family} ${TABLE} {
  map marks { type ipv${v4 ? 4 : 6}_addr : mark; }
  map services { type mark : verdict; }
  chain prerouting { type nat hook prerouting priority dstnat; policy accept; }
  chain input { type filter hook input priority filter; policy accept; }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; }
}
${chains.join("")}table ${family} ${TABLE} {
  chain prerouting {
    meta l4proto ${v4 ? "icmp" : "ipv6-icmp"} accept comment "the alias answers a ping itself"
    meta mark set ${family} daddr map @marks
    tcp flags & (fin|syn|rst|ack) != syn accept comment "no connection starts like this"
    meta mark vmap @services
  }
  chain input {
    ct state invalid drop comment "no reset into a stream for a stray packet"
    meta l4proto ${v4 ? "icmp" : "ipv6-icmp"} accept
    meta mark != 0 meta l4proto tcp reject with tcp reset
    meta mark != 0 reject comment "no replica: refused at once"
  }
  chain postrouting {
    ct status dnat snat to ${source} comment ${quote(comment)}
  }
}
`;
}

/** Whether the service has a VIP of that family. */
export function hasFamily(service: VirtualService, family: Family): boolean {
  return service.vips.some((vip) => familyOf(vip) === family);
}

/** Adds a service, or changes it, of which the kernel has `oldVips`. Only its own chain and elements are named. */
export function serviceRules(family: Family, service: VirtualService, oldVips: readonly string[] | undefined): string {
  const mark = hex(service.mark);
  const chain = chainOf(service.mark);
  const vips = service.vips.filter((vip) => familyOf(vip) === family);
  const comment = quote(service.name);
  const table = `${family} ${TABLE}`;
  const gone = (oldVips ?? []).filter((vip) => !vips.includes(vip));
  const added = vips.filter((vip) => !oldVips?.includes(vip));
  const lines = [oldVips === undefined ? `add chain ${table} ${chain}` : `flush chain ${table} ${chain}`];
  lines.push(`add rule ${table} ${chain} counter ${pick(family, service)}`);
  for (const vip of gone) lines.push(`delete element ${table} marks { ${vip} }`);
  for (const vip of added) lines.push(`add element ${table} marks { ${vip} comment ${comment} : ${mark} }`);
  if (oldVips === undefined) {
    lines.push(`add element ${table} services { ${mark} comment ${comment} : goto ${chain} }`);
  }
  return `${lines.join("\n")}\n`;
}

/** Takes a service out. */
export function removeServiceRules(family: Family, mark: number, vips: readonly string[]): string {
  const table = `${family} ${TABLE}`;
  const lines = vips.map((vip) => `delete element ${table} marks { ${vip} }`);
  lines.push(`delete element ${table} services { ${hex(mark)} }`);
  lines.push(`flush chain ${table} ${chainOf(mark)}`, `delete chain ${table} ${chainOf(mark)}`);
  return `${lines.join("\n")}\n`;
}

/** What identifies a service's rules: two services with the same shape need no change in the kernel. */
export function shapeOf(family: Family, service: VirtualService): string {
  const slots = slotsOf(service.servers.filter((s) => familyOf(s.address) === family));
  const vips = service.vips.filter((vip) => familyOf(vip) === family).sort();
  return JSON.stringify([vips, slots.length > 1 ? service.scheduler : "rr", slots.map((s) => s.address)]);
}

function pick(family: Family, service: VirtualService): string {
  const vips = service.vips.filter((vip) => familyOf(vip) === family);
  const title = `${service.name}, VIP ${vips.join(" ")}`;
  const slots = slotsOf(service.servers.filter((s) => familyOf(s.address) === family));
  if (slots.length === 0) return `comment ${quote(`${title}: no replica`)}`;
  const map = slots.map((s, i) => `${i} comment ${quote(s.name)} : ${s.address}`).join(", ");
  return `dnat to ${chooser(family, service, slots.length)} map { ${map} } comment ${quote(title)}`;
}

function chooser(family: Family, service: VirtualService, count: number): string {
  if (service.scheduler === "sh" && count > 1)
    return `jhash ${family} saddr mod ${count} seed 0x${service.mark.toString(16)}`;
  if (service.scheduler === "random" && count > 1) return `numgen random mod ${count}`;
  return `numgen inc mod ${count}`;
}

function hex(mark: number): string {
  return `0x${mark.toString(16).padStart(8, "0")}`;
}

// nft has no escapes in strings. Names of services and tasks hold neither quotes nor controls; whatever else comes is made harmless.
function quote(text: string): string {
  return `"${text.replace(/[^ -!#-~]/g, "?").slice(0, MAX_COMMENT)}"`;
}
