// Processes around containers that outlive what they are for: conmons and cleanups of Podman. Found by their arguments, which name the exit
// directory and with it the Podman that they belong to; nobody else's are touched.
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Log } from "../model/log.ts";
import { argvOf, isAlive, send } from "./podman-host.ts";
import type { ContainerSummary } from "./port.ts";

const run = promisify(execFile);
const POLL_MS = 15;
const CLEANUP_TIMEOUT_MS = 5_000;

interface Running {
  readonly pid: number;
  readonly argv: readonly string[];
}

/**
 * Ends what a killed Podman service leaves: it dies between starting a container's process and writing that down, and from then on runc and
 * conmon hold a container that Podman believes was never started; it cannot be started ("already exists") and is not removed with its
 * record. These are the containers older than the service that the service takes for not started, or does not know. A younger one may be
 * about to be started, and is left alone. Repeatable.
 */
export async function endOrphans(
  exitDir: string,
  servicePid: number,
  containers: readonly ContainerSummary[],
  log: Log,
): Promise<void> {
  const started = new Set(containers.filter((c) => c.state !== "created").map((c) => c.id));
  const serviceStart = await startTimeOf(servicePid);
  for (const { pid, argv } of await processes((p) => isConmonOf(p, exitDir))) {
    const [id, runtime] = [after(argv, "-c"), after(argv, "-r")];
    if (id === undefined || runtime === undefined || started.has(id)) continue;
    if ((await startTimeOf(pid)) >= serviceStart) continue;
    log.warn({ container: id, pid }, "ending a container that podman's service left half started");
    await run(runtime, ["delete", "--force", id]);
  }
}

/**
 * For when the service is gone and nobody will ask any more. Ends the conmons of exec sessions that are over (each waits five minutes for
 * somebody to ask how its session ended, and then writes into storage that may be gone), and waits for Podman's cleanups after containers
 * that have just ended (each mounts the storage once more). At most five seconds. Repeatable.
 */
export async function settle(exitDir: string): Promise<void> {
  const tmpdir = dirname(exitDir);
  for (const { pid } of await processes((p) => isExecOf(p, tmpdir))) if (await isChildless(pid)) send(pid, "SIGKILL");
  const isEnding = async (p: Running) =>
    (isConmonOf(p, exitDir) && (await isChildless(p.pid))) || isCleanupOf(p, tmpdir);
  for (const deadline = Date.now() + CLEANUP_TIMEOUT_MS; Date.now() < deadline; await delay(POLL_MS)) {
    if ((await processes(isEnding)).length === 0) return;
  }
}

function isConmonOf({ argv }: Running, exitDir: string): boolean {
  return argv[0]?.endsWith("conmon") === true && !argv.includes("-e") && after(argv, "--exit-dir") === exitDir;
}

function isExecOf({ argv }: Running, tmpdir: string): boolean {
  return argv[0]?.endsWith("conmon") === true && argv.includes("-e") && argv.includes(tmpdir);
}

function isCleanupOf({ argv }: Running, tmpdir: string): boolean {
  return argv[0]?.endsWith("podman") === true && argv.includes("cleanup") && argv.includes(tmpdir);
}

async function processes(isWanted: (p: Running) => boolean | Promise<boolean>): Promise<Running[]> {
  const wanted: Running[] = [];
  for (const entry of await readdir("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const found = { pid, argv: await argvOf(pid) };
    if (await isWanted(found)) wanted.push(found);
  }
  return wanted;
}

function after(argv: readonly string[], flag: string): string | undefined {
  const at = argv.indexOf(flag);
  return at < 0 ? undefined : argv[at + 1];
}

async function isChildless(pid: number): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim() === "" && (await isAlive(pid));
  } catch {
    return false; // it ended by itself just now
  }
}

/** Clock ticks since boot at which a process started, field 22 of proc_pid_stat(5); never for one that is gone. */
async function startTimeOf(pid: number): Promise<number> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return Number.POSITIVE_INFINITY; // it ended by itself just now
  }
}
