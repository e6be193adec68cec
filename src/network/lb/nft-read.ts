// A balancer's table read back from nft's JSON (libnftables-json(5)): what the kernel has, for people and tests. nft-rules.ts wrote it.
import type { RealServer, Scheduler, VirtualService } from "./driver.ts";
import { type Family, markOfChain } from "./nft-rules.ts";

/** What one family's table holds. */
export interface TableState {
  readonly source: string | undefined;
  readonly services: readonly VirtualService[];
}

type Json = unknown;

/** Reads the answer to `list table <family> skep`. Rules that are not ours, and half a service (which no transaction leaves), are left out. */
export function readTable(family: Family, listing: Json): TableState {
  let source: string | undefined;
  const vips = new Map<number, string[]>();
  const names = new Map<number, string>();
  const servers = new Map<number, { scheduler: Scheduler; servers: RealServer[] }>();
  for (const item of list(at(listing, "nftables"))) {
    const map = at(item, "map");
    if (at(map, "name") === "marks" && at(map, "family") === family) readMarks(list(at(map, "elem")), vips, names);
    const rule = at(item, "rule");
    if (rule === undefined) continue;
    const chain = String(at(rule, "chain"));
    const mark = markOfChain(chain);
    if (mark !== undefined) servers.set(mark, readPick(list(at(rule, "expr"))));
    if (chain === "postrouting") {
      for (const e of list(at(rule, "expr"))) source = text(at(at(e, "snat"), "addr")) ?? source;
    }
  }
  const services = [...servers].map(([mark, picked]) => ({
    mark,
    name: names.get(mark) ?? "",
    vips: vips.get(mark) ?? [],
    ...picked,
  }));
  return { source, services };
}

function readMarks(elements: readonly Json[], vips: Map<number, string[]>, names: Map<number, string>): void {
  for (const element of elements) {
    const [key, value] = list(element);
    const elem = at(key, "elem");
    const vip = text(elem === undefined ? key : at(elem, "val"));
    if (vip === undefined || typeof value !== "number") continue;
    vips.set(value, [...(vips.get(value) ?? []), vip]);
    names.set(value, text(at(elem, "comment")) ?? "");
  }
}

/** The statement that picks: `dnat to <chooser> map { 0 : address, … }`. Turns of one address are summed up as its weight. */
function readPick(statements: readonly Json[]): { scheduler: Scheduler; servers: RealServer[] } {
  const found = new Map<string, RealServer>();
  let scheduler: Scheduler = "rr";
  for (const statement of statements) {
    const map = at(at(at(statement, "dnat"), "addr"), "map");
    if (map === undefined) continue;
    if (at(at(map, "key"), "jhash") !== undefined) scheduler = "sh";
    else if (at(at(at(map, "key"), "numgen"), "mode") === "random") scheduler = "random";
    for (const pair of list(at(at(map, "data"), "set"))) {
      const [key, address] = list(pair);
      if (typeof address !== "string") continue;
      const name = text(at(at(key, "elem"), "comment")) ?? "";
      found.set(address, { address, name, weight: (found.get(address)?.weight ?? 0) + 1 });
    }
  }
  return { scheduler, servers: [...found.values()] };
}

function at(value: Json, key: string): Json {
  return typeof value === "object" && value !== null ? (value as Record<string, Json>)[key] : undefined;
}

function list(value: Json): readonly Json[] {
  return Array.isArray(value) ? value : [];
}

function text(value: Json): string | undefined {
  return typeof value === "string" ? value : undefined;
}
