// Resource limits (ulimits) that can really be set: without CAP_SYS_RESOURCE nobody raises a hard limit, and runc refuses a container whose
// limits lie above Podman's own. Podman's defaults (1048576 open files and processes) do.
import { readFile } from "node:fs/promises";
import type { Ulimit } from "./container-spec.ts";

/** Podman's spec counts unlimited as this; also what a process with CAP_SYS_RESOURCE may set. */
const UNLIMITED = Number.MAX_SAFE_INTEGER;
const CAP_SYS_RESOURCE = 24n;

/** The highest hard limit that may be asked for, by ulimit name; `undefined` when there is none. */
export type Ceilings = ReadonlyMap<string, number> | undefined;

/** As /proc/PID/limits names them, and as Docker and Podman do. */
const NAMES = new Map([
  ["Max cpu time", "cpu"],
  ["Max file size", "fsize"],
  ["Max data size", "data"],
  ["Max stack size", "stack"],
  ["Max core file size", "core"],
  ["Max resident set", "rss"],
  ["Max processes", "nproc"],
  ["Max open files", "nofile"],
  ["Max locked memory", "memlock"],
  ["Max address space", "as"],
  ["Max file locks", "locks"],
  ["Max pending signals", "sigpending"],
  ["Max msgqueue size", "msgqueue"],
  ["Max nice priority", "nice"],
  ["Max realtime priority", "rtprio"],
  ["Max realtime timeout", "rttime"],
]);

/** What the process `pid` (Podman's service) can give its containers. */
export async function ceilingsOf(pid: number | "self"): Promise<Ceilings> {
  const [status, limits] = await Promise.all([
    readFile(`/proc/${pid}/status`, "utf8"),
    readFile(`/proc/${pid}/limits`, "utf8"),
  ]);
  return mayRaise(status) ? undefined : parseLimits(limits);
}

/** The hard limits in the text of /proc/PID/limits. */
export function parseLimits(text: string): ReadonlyMap<string, number> {
  const ceilings = new Map<string, number>();
  for (const line of text.split("\n")) {
    const name = NAMES.get(line.slice(0, 26).trim());
    const hard = line.slice(26).trim().split(/\s+/)[1];
    if (name !== undefined && hard !== undefined) ceilings.set(name, hard === "unlimited" ? UNLIMITED : Number(hard));
  }
  return ceilings;
}

/**
 * The limits to ask Podman for: the wanted ones cut to the ceilings, and the two that Podman would otherwise set too high. Nothing is
 * added where limits may be raised.
 */
export function settableUlimits(wanted: readonly Ulimit[], ceilings: Ceilings): Ulimit[] {
  if (ceilings === undefined) return [...wanted];
  const cut = wanted.map((u) => {
    const ceiling = ceilings.get(u.name) ?? UNLIMITED;
    const hard = u.hard < 0 || u.hard > ceiling ? ceiling : u.hard;
    return { name: u.name, soft: u.soft < 0 || u.soft > hard ? hard : u.soft, hard };
  });
  for (const name of ["nofile", "nproc"]) {
    const ceiling = ceilings.get(name);
    if (ceiling === undefined || ceiling === UNLIMITED || cut.some((u) => u.name === name)) continue;
    cut.push({ name, soft: ceiling, hard: ceiling });
  }
  return cut;
}

function mayRaise(status: string): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1];
  return effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}
