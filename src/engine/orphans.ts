// What a killed Podman service leaves: it dies between starting a container's process and writing that down, and from then on runc and conmon
// hold a container that Podman believes was never started; it cannot be started ("already exists") and is not removed with its record.
// Such ones are ended here, by the runtime itself.
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { Log } from "../model/log.ts";
import { argvOf } from "./podman-host.ts";
import type { ContainerSummary } from "./port.ts";

const run = promisify(execFile);

/**
 * Ends every container of this exit directory that is older than the service, and that the service takes for not started or does not know.
 * A younger one may be about to be started, and is left alone. Repeatable.
 */
export async function endOrphans(
  exitDir: string,
  servicePid: number,
  containers: readonly ContainerSummary[],
  log: Log,
): Promise<void> {
  const started = new Set(containers.filter((c) => c.state !== "created").map((c) => c.id));
  const serviceStart = await startTimeOf(servicePid);
  for (const entry of await readdir("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const argv = await argvOf(pid);
    const after = (flag: string) => argv[argv.indexOf(flag) + 1];
    if (!argv[0]?.endsWith("conmon") || !argv.includes("--exit-dir") || after("--exit-dir") !== exitDir) continue;
    const [id, runtime] = [after("-c"), after("-r")];
    if (id === undefined || runtime === undefined || started.has(id)) continue;
    // conmon of an exec session: its container is in `started`, or is an orphan of its own.
    if (argv.includes("-e") || (await startTimeOf(pid)) >= serviceStart) continue;
    log.warn({ container: id, pid }, "ending a container that podman's service left half started");
    await run(runtime, ["delete", "--force", id]);
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
