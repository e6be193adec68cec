// Takes away what the command line itself keeps on a daemon's roots, and the demo's Podman storage, when everything is to go.
// The daemon room's purge has been here before and removed the tasks, networks and state.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DaemonConfig } from "../daemon/config.ts";
import { LOCK_FILE } from "./lock.ts";
import { filesOf } from "./running.ts";

/** Removes them, and then the roots if nobody has anything else there. Harmless twice. */
export function removeOwnFiles(config: DaemonConfig): void {
  const roots = [config.dataRoot, config.execRoot];
  for (const dir of ownStorage(config)) {
    endMonitorsOf(dir);
    unmountBelow(dir);
    rmSync(dir, { recursive: true, force: true });
  }
  const files = filesOf(config);
  // The locks are still held; SQLite, which holds them, has an (empty) journal beside each.
  const locks = roots.flatMap((root) => [join(root, LOCK_FILE), join(root, `${LOCK_FILE}-journal`)]);
  const own = [files.pid, files.flags, files.log, `${files.log}.1`, ...locks];
  for (const file of own) rmSync(file, { force: true });
  for (const root of roots) removeIfEmpty(root);
}

/**
 * Where the demo has Podman keep its things: beside the roots, not in them, since purge empties the roots and Podman mounts its storage
 * onto itself.
 */
export function storageBeside(config: DaemonConfig): { root: string; runRoot: string } {
  return { root: `${config.dataRoot}-podman`, runRoot: `${config.execRoot}-podman` };
}

/** The storage of the Podman that skep starts, if the demo chose it or it is inside the roots. Elsewhere it may be somebody's. */
function ownStorage(config: DaemonConfig): string[] {
  const { podman, dataRoot, execRoot } = config;
  if (podman.kind !== "own" || !podman.storage) return [];
  const beside = Object.values(storageBeside(config));
  return Object.values(podman.storage).filter(
    (dir) => beside.includes(dir) || [dataRoot, execRoot].some((ours) => dir.startsWith(`${ours}/`)),
  );
}

/**
 * Podman keeps a conmon for each `exec` of the last five minutes, to tidy up after it. Left alone, it would start a podman on this
 * storage when there is none any more, and so make it again.
 */
function endMonitorsOf(dir: string): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const [program = "", ...args] = wordsOf(Number(pid));
    if (!program.endsWith("conmon") || !args.some((word) => word.startsWith(`${dir}/`))) continue;
    kill(Number(pid));
  }
}

function wordsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // ended while we looked
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error; // ended by itself
  }
}

/** Podman mounts its storage onto itself and leaves that when it ends; a mount must not be walked into by rm. */
function unmountBelow(dir: string): void {
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) =>
      (line.split(" ")[1] ?? "").replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
    )
    .filter((path) => path === dir || path.startsWith(`${dir}/`));
  for (const path of mounts.reverse()) execFileSync("umount", [path]);
}

function removeIfEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // Gone, in use by somebody else, or a mount point that was given to us: all fine.
    if (code !== "ENOENT" && code !== "ENOTEMPTY" && code !== "EBUSY") throw error;
  }
}
