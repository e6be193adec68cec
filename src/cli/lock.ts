// One daemon per directory. The lock is a kernel file lock, taken through SQLite because Node has no call for one: it is
// atomic, and the kernel drops it the moment its holder dies, however it dies. So "the lock is held" is what "running" means everywhere
// here, and a pid file left by kill -9 misleads nobody.

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SkepError } from "../model/errors.ts";

/** The file in a root that is locked. */
export const LOCK_FILE = "skep.lock";

/** How long a taker waits: longer than a look by `status` holds its shared lock, too short for a person to notice. */
const TAKE_WAIT_MS = 500;

export interface Lock {
  /** Gives the lock back. Harmless twice. */
  release(): void;
}

/**
 * Takes the lock of a directory, making the directory if need be.
 *
 * @throws SkepError "conflict" when another process holds it
 */
export function takeLock(dir: string): Lock {
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  const db = new DatabaseSync(join(dir, LOCK_FILE), { timeout: TAKE_WAIT_MS });
  try {
    db.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    if (isBusy(error)) throw new SkepError("conflict", `another skep daemon already uses ${dir}`, { dir }, error);
    throw error;
  }
  return {
    release: () => {
      if (db.isOpen) db.close();
    },
  };
}

/** Whether a daemon holds the lock of a directory. Takes nothing but a moment's shared lock. */
export function isLocked(dir: string): boolean {
  const file = join(dir, LOCK_FILE);
  if (!existsSync(file)) return false;
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    db.prepare("SELECT count(*) FROM sqlite_master").get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw error;
  } finally {
    db.close();
  }
}

/** SQLITE_BUSY, of https://www.sqlite.org/rescode.html */
function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === 5;
}
