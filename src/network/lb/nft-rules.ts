// The balancer as nftables text: table `ip skep` (and `ip6 skep`) of a balancer's namespace. Pure. nft.ts runs it, nft-read.ts reads it back.
//
// How a packet goes: the first one of a connection to a VIP gets the service's mark (map marks) and goes to the service's chain (map
// services), which picks a replica and rewrites the destination; postrouting rewrites the source. Both are NAT chains, which the kernel asks
// only about first packets: an established connection passes no rule at all. What still arrives at the VIP itself (chain input) has no
// replica to go to and is refused, or belongs to no connection: then it is dropped (moby#40374), unless its replica is known to have gone.
import { createHash } from "node:crypto";
import { isIPv4 } from "node:net";
import type { RealServer, VirtualService } from "./driver.ts";
import { slotsOf } from "./slots.ts";

export const TABLE = "skep";
/** The set of streams whose replica has gone. */
export const ENDED = "ended";
/** nft's limit for a comment, in bytes, with the final NUL (NFTNL_UDATA_COMMENT_MAXLEN). */
const MAX_COMMENT = 127;
/** Hex digits of a digest. */
const DIGEST = 12;
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
  const addr = v4 ? "ipv4_addr" : "ipv6_addr";
  const chains = ["prerouting", "input", "postrouting"].map((c) => `flush chain ${family} ${TABLE} ${c}\n`);
  return `table ${family} ${TABLE} {
  map marks { type ${addr} : mark; }
  map services { type mark : verdict; }
  set ${ENDED} { type ${addr} . inet_service . ${addr} . inet_service; size 65536; flags timeout; timeout 1h; }
  chain prerouting { type nat hook prerouting priority dstnat; policy accept; }
  chain input { type filter hook input priority filter; policy accept; }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; }
}
${chains.join("")}table ${family} ${TABLE} {
  chain prerouting {
    meta l4proto ${v4 ? "icmp" : "ipv6-icmp"} accept comment "the alias answers a ping itself"
    meta mark set ${family} daddr map @marks
    meta mark vmap @services
  }
  chain input {
    ${family} saddr . tcp sport . ${family} daddr . tcp dport @${ENDED} reject with tcp reset comment "its replica has gone"
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
  lines.push(`add rule ${table} ${chain} counter ${statement(family, pickOf(family, service))}`);
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

/** How a service's chain picks: the one rule that is in it. */
export interface Pick {
  /** A replica for each turn; none: the rule only counts, and the connection is refused. */
  readonly slots: readonly RealServer[];
  readonly chooser: "inc" | "random" | "hash";
  /** Of the hash. */
  readonly seed: number;
  /** For people, and with the digest of what the rule was made from. */
  readonly comment: string;
}

export function pickOf(family: Family, service: VirtualService): Pick {
  const slots = slotsOf(service.servers.filter((s) => familyOf(s.address) === family));
  const several = slots.length > 1 ? service.scheduler : "rr";
  const vips = service.vips.filter((vip) => familyOf(vip) === family);
  const none = slots.length === 0 ? ": no replica" : "";
  const made = `(${digestOf(family, service)})`;
  const title = plain(`${service.name}, VIP ${vips.join(" ")}${none}`).slice(0, MAX_COMMENT - made.length - 1);
  return {
    slots: slots.map((s) => ({ ...s, name: plain(s.name).slice(0, MAX_COMMENT) })),
    chooser: several === "sh" ? "hash" : several === "random" ? "random" : "inc",
    seed: service.mark,
    comment: `${title} ${made}`,
  };
}

/**
 * What a service's rules were made from, in short: two services with the same digest need no change in the kernel. It stands in the rule's
 * comment, and so tells a later daemon what the kernel has.
 */
export function digestOf(family: Family, service: VirtualService): string {
  const slots = slotsOf(service.servers.filter((s) => familyOf(s.address) === family));
  const vips = service.vips.filter((vip) => familyOf(vip) === family).sort();
  const shape = [vips, slots.length > 1 ? service.scheduler : "rr", slots.map((s) => s.address)];
  return `rules ${createHash("sha256").update(JSON.stringify(shape)).digest("hex").slice(0, DIGEST)}`;
}

/** The digest that stands in a comment. */
export function digestIn(comment: string): string {
  return /rules [0-9a-f]{12}(?=\)$)/.exec(comment)?.[0] ?? "";
}

/** The base rules' version that stands in a comment. */
export function versionIn(comment: string): string {
  return /base [0-9a-f]{8}(?=\)$)/.exec(comment)?.[0] ?? "";
}

function statement(family: Family, { slots, chooser, seed, comment }: Pick): string {
  if (slots.length === 0) return `comment ${quote(comment)}`;
  const map = slots.map((s, i) => `${i} comment ${quote(s.name)} : ${s.address}`).join(", ");
  const choose = {
    inc: `numgen inc mod ${slots.length}`,
    random: `numgen random mod ${slots.length}`,
    hash: `jhash ${family} saddr mod ${slots.length} seed 0x${seed.toString(16)}`,
  };
  return `dnat to ${choose[chooser]} map { ${map} } comment ${quote(comment)}`;
}

function hex(mark: number): string {
  return `0x${mark.toString(16).padStart(8, "0")}`;
}

function quote(text: string): string {
  return `"${plain(text).slice(0, MAX_COMMENT)}"`;
}

// nft has no escapes in strings. Names of services and tasks hold neither quotes nor controls; whatever else comes is made harmless.
function plain(text: string): string {
  return text.replace(/[^ -!#-~]/g, "?");
}
