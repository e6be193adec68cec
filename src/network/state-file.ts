// JSON files under the exec root for what the kernel cannot tell us after a crash. A file is replaced whole, by rename, so that a reader
// sees an old or a new one, never half of one. The exec root is memory (tmpfs) and ends with the kernel's state, so nothing is synced.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const PRIVATE = 0o600;

/** The parsed file; undefined when it is missing or is no JSON (a machine that died while it was first written). */
export function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as T;
  } catch (e) {
    if (e instanceof SyntaxError || (e as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw e;
  }
}

/** Replaces the file, making its directory if need be. */
export function writeJson(path: string, value: unknown): void {
  const next = `${path}.new`;
  const text = JSON.stringify(value);
  try {
    writeFileSync(next, text, { mode: PRIVATE });
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(next, text, { mode: PRIVATE });
  }
  renameSync(next, path);
}
