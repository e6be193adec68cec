// Looks for what a daemon may have left on the host after `down --purge`: the other half of the promise that nothing stays behind.
// Looks only at what is recognisably ours, since on a busy host other things come and go meanwhile.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { DaemonConfig } from "../daemon/config.ts";
import { storageBeside } from "./own-files.ts";

/** Names on the host that skep could add to: links, and nftables tables. */
export interface HostMarks {
  readonly links: ReadonlySet<string>;
  readonly tables: ReadonlySet<string>;
}

/** What is on the host now. */
export function hostMarks(): HostMarks {
  return {
    links: new Set(readdirSync("/sys/class/net")),
    tables: new Set(lines(execFileSync("nft", ["list", "tables"], { encoding: "utf8" }))),
  };
}

/** Everything of a daemon with this config that is still there, in words; empty if there is nothing. */
export function leftovers(before: HostMarks, config: DaemonConfig): string[] {
  const after = hostMarks();
  const roots = [config.dataRoot, config.execRoot, ...Object.values(storageBeside(config))];
  const isOurs = (path: string): boolean => roots.some((root) => path === root || path.startsWith(`${root}/`));
  return [
    ...roots
      .filter((root) => existsSync(root))
      .map((root) => `directory ${root} (${readdirSync(root).join(", ") || "empty"})`),
    ...lines(readFileSync("/proc/self/mounts", "utf8"))
      .map((line) => line.split(" ")[1] ?? "")
      .filter(isOurs)
      .map((path) => `mount ${path}`),
    ...processes()
      .filter(({ words }) => words.some((word) => isOurs(word.replace(/^(--[\w-]+=)?(unix:\/\/)?/, ""))))
      .map(({ pid, words }) => `process ${pid} (${words.join(" ")})`),
    ...[...after.links]
      .filter((link) => !before.links.has(link) && link.includes("gwbridge"))
      .map((link) => `link ${link}`),
    ...[...after.tables]
      .filter((table) => !before.tables.has(table) && /skep/.test(table))
      .map((table) => `nftables ${table}`),
  ];
}

function processes(): { pid: number; words: string[] }[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .flatMap((pid) => {
      try {
        return [{ pid, words: readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean) }];
      } catch {
        return []; // ended while we looked: not left behind
      }
    });
}

function lines(text: string): string[] {
  return text.split("\n").filter(Boolean);
}
