// `skep down`: stops the daemon. With `purge`, removes what it made as well; that is the daemon room's work, done here with the
// daemon's locks held, so that none starts in the middle of it.

import { SkepError } from "../model/errors.ts";
import { loadDaemonRoom, takeRoots } from "./daemon.ts";
import type { RootOptions } from "./flags.ts";
import { removeOwnFiles } from "./own-files.ts";
import { configOn, isRunning, pidOf, waitUntil } from "./running.ts";

/** Longer than any request that the daemon finishes before it goes. */
const STOP_TIMEOUT_MS = 60_000;

export interface DownOptions {
  readonly say: (line: string) => void;
  readonly purge: boolean;
  readonly load?: typeof loadDaemonRoom;
}

/**
 * Stops the daemon on these roots, if one runs, and resolves when it is gone. Tasks keep running unless `purge` is given. May be repeated.
 *
 * @throws SkepError "timeout" when it does not stop
 */
export async function down(roots: RootOptions, { say, purge, load = loadDaemonRoom }: DownOptions): Promise<void> {
  const config = configOn(roots);
  if (!isRunning(config)) {
    say(`skep is not running on ${config.execRoot}`);
  } else {
    // The pid file comes a moment after the lock.
    await waitUntil(() => pidOf(config) !== undefined || !isRunning(config), STOP_TIMEOUT_MS);
    const pid = pidOf(config);
    if (pid !== undefined) terminate(pid);
    const gone = (): boolean => !isRunning(config) || (pidOf(config) ?? pid) !== pid;
    if (!(await waitUntil(gone, STOP_TIMEOUT_MS))) {
      throw new SkepError(
        "timeout",
        `the daemon (pid ${pid}) did not stop within ${STOP_TIMEOUT_MS / 1000} s of SIGTERM`,
      );
    }
    say(purge ? "skep is stopped" : "skep is stopped; its tasks keep running, and `skep up` finds them again");
  }
  if (!purge) return;
  const release = takeRoots(config);
  try {
    await (await load()).purge(config);
    removeOwnFiles(config);
  } finally {
    release();
  }
  say("everything skep made is removed");
}

function terminate(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch (error) {
    // Gone between the look and the signal: what was wanted.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
