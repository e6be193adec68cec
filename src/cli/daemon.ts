// `skep daemon`: the daemon in the foreground. Here: that it is the only one on its roots, and that the other commands can find it.
// The daemon itself is the daemon room.

import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type DaemonConfig, daemonArgs } from "../daemon/config.ts";
import { takeLock } from "./lock.ts";
import { filesOf } from "./running.ts";

/** The part of the daemon room that the command line uses. */
export interface DaemonRoom {
  /** Runs until SIGTERM or SIGINT; resolves when everything is stopped. */
  runDaemon(config: DaemonConfig): Promise<void>;
  /** Removes every task, network and file that a daemon with this config made. The daemon must not run. */
  purge(config: DaemonConfig): Promise<void>;
}

/** Loads the daemon room: a third of a second that only those who need it should spend. */
export async function loadDaemonRoom(): Promise<DaemonRoom> {
  return await import("../daemon/index.ts");
}

/**
 * Runs the daemon until it is told to stop.
 *
 * @throws SkepError "conflict" when another daemon has one of the roots
 */
export async function daemon(config: DaemonConfig, load = loadDaemonRoom): Promise<void> {
  const release = takeRoots(config);
  const files = filesOf(config);
  try {
    write(files.flags, JSON.stringify(daemonArgs(config)));
    write(files.pid, `${process.pid}\n`);
    const { runDaemon } = await load();
    await runDaemon(config);
  } finally {
    rmSync(files.pid, { force: true });
    release();
  }
}

/**
 * Takes the locks of both roots, for a daemon or for whoever must be sure that none starts meanwhile.
 *
 * @returns what gives them back
 * @throws SkepError "conflict" when another process has one of them
 */
export function takeRoots(config: DaemonConfig): () => void {
  const exec = takeLock(config.execRoot);
  try {
    const data = takeLock(config.dataRoot);
    return () => {
      data.release();
      exec.release();
    };
  } catch (error) {
    exec.release();
    throw error;
  }
}

/** Writes a file so that a reader sees the old one or the new one, never half of it. */
function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, text, { mode: 0o644 });
  renameSync(`${file}.new`, file);
}
