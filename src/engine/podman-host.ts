// What the host tells about Podman: which process serves a socket, which OCI runtime works here, where conmon leaves exit codes. Reads /proc
// and a few files, changes nothing.
import { constants } from "node:fs";
import { access, readdir, readFile, readlink, statfs } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** statfs(2): linux/magic.h, CGROUP2_SUPER_MAGIC and OVERLAYFS_SUPER_MAGIC. */
const CGROUP2_MAGIC = 0x63677270;
const OVERLAYFS_MAGIC = 0x794c7630;

/**
 * The pid of `podman system service` on this socket, started by whomever; `undefined` when there is none to be seen. One in another mount
 * namespace (a container, say) has another socket under the same path.
 */
export async function findService(socketPath: string): Promise<number | undefined> {
  const ours = await mountNamespace("self");
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const argv = await argvOf(Number(entry));
    if (argv.includes("service") && argv.includes(`unix://${socketPath}`) && /podman$/.test(argv[0] ?? "")) {
      if ((await mountNamespace(entry)) === ours) return Number(entry);
    }
  }
  return undefined;
}

async function mountNamespace(pid: string): Promise<string> {
  return readlink(`/proc/${pid}/ns/mnt`).catch(() => ""); // it ended meanwhile
}

/** A process's argument list; empty when it is gone. */
export async function argvOf(pid: number): Promise<string[]> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1);
  } catch {
    return []; // it ended between being listed and being read
  }
}

/** The directory in which the conmon of pid file `conmonPidFile` writes its container's exit code. */
export async function exitDirOf(conmonPidFile: string): Promise<string | undefined> {
  let pid: number;
  try {
    pid = Number(await readFile(conmonPidFile, "utf8"));
  } catch {
    return undefined; // not running any more: another container will tell
  }
  const argv = await argvOf(pid);
  const at = argv.indexOf("--exit-dir");
  return at < 0 ? undefined : argv[at + 1];
}

/**
 * The OCI runtime to use: crun where cgroup v2 is the only hierarchy (it is the faster one), runc elsewhere, since crun refuses hybrid
 * set-ups. `undefined` leaves the choice to Podman.
 */
export async function chooseRuntime(): Promise<string | undefined> {
  const unified = (await statfs("/sys/fs/cgroup")).type === CGROUP2_MAGIC;
  for (const name of unified ? ["crun", "runc"] : ["runc", "crun"]) {
    if (await onPath(name)) return name;
  }
  return undefined;
}

/**
 * The storage driver for storage of our own. Podman's own choice is not the same twice on an overlay file system (inside a container): it
 * tries overlay, cannot, takes vfs, and at the next start finds what it tried first.
 */
export async function chooseStorageDriver(root: string): Promise<"overlay" | "vfs"> {
  if (await exists(join(root, "vfs-layers"))) return "vfs";
  if (await exists(join(root, "overlay-layers"))) return "overlay";
  return (await statfs(root)).type === OVERLAYFS_MAGIC ? "vfs" : "overlay";
}

/** Whether systemd runs this host: else Podman must manage cgroups and events by itself. */
export async function hasSystemd(): Promise<boolean> {
  return exists("/run/systemd/system");
}

/** Whether the process is alive and belongs to this container: its control group is named after it, so a reused pid is told apart. */
export async function isProcessOf(pid: number, containerId: string): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/cgroup`, "utf8")).includes(containerId) && (await isAlive(pid));
  } catch {
    return false; // no such process
  }
}

/** Sends a signal; a process that has ended is fine. */
export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ESRCH") throw e; // ESRCH: it ended by itself
  }
}

/** Whether the process still exists and is not a zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
  } catch {
    return false; // no such process
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function onPath(program: string): Promise<boolean> {
  const dirs = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  for (const dir of dirs) {
    const runs = await access(join(dir, program), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return true;
  }
  return false;
}
