// The mount that Podman leaves behind: it mounts its storage onto itself (STORAGE/overlay) when it starts, and not away when it ends. What our
// service mounted so is written down when it starts, and taken away when it is stopped for good; what was there before stays.
import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const RECORD = "storage-mounts";
/** Podman's storage drivers that mount their directory: containers-storage.conf(5). */
const DRIVERS = new Set(["overlay", "btrfs", "zfs", "devicemapper"]);

/** All mount points of this mount namespace. */
export async function mountPoints(): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.filter((line) => line !== "").map((line) => line.split(" ")[4] ?? "");
}

/** Where Podman's own storage is, unless its configuration says otherwise: /var/lib/containers/storage, or below a home directory. */
const DEFAULT_ROOT = /\/containers\/storage$/;

/**
 * Writes down which mounts of this storage have come since `before`; earlier notes stay.
 * @param root of separate storage; absent for Podman's default one
 */
export async function noteStorageMounts(
  stateDir: string,
  root: string | undefined,
  before: readonly string[],
): Promise<void> {
  const known = new Set(before);
  const isOurs = (at: string) => (root === undefined ? DEFAULT_ROOT.test(dirname(at)) : dirname(at) === root);
  const added = (await mountPoints()).filter((at) => !known.has(at) && isOurs(at) && DRIVERS.has(basename(at)));
  if (added.length === 0) return;
  const noted = new Set([...(await readNotes(stateDir)), ...added]);
  await writeFile(join(stateDir, RECORD), [...noted].join("\n"));
}

/** Takes away what was written down, except where a container is still mounted below it. Repeatable. */
export async function removeStorageMounts(stateDir: string): Promise<void> {
  const inUse: string[] = [];
  for (const at of await readNotes(stateDir)) {
    const mounts = await mountPoints();
    if (mounts.some((other) => other.startsWith(`${at}/`))) inUse.push(at);
    else if (mounts.includes(at)) await run("umount", [at]);
  }
  if (inUse.length > 0) await writeFile(join(stateDir, RECORD), inUse.join("\n"));
  else await rm(join(stateDir, RECORD), { force: true });
}

async function readNotes(stateDir: string): Promise<string[]> {
  try {
    return (await readFile(join(stateDir, RECORD), "utf8")).split("\n").filter((line) => line !== "");
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw e;
  }
}
