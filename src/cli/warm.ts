// Loads all of skep's code once, so that Node's compile cache holds it, types stripped, and ends. bin/skep runs this before the daemon
// when code has changed: a daemon that finds everything in the cache never loads the TypeScript parser, which is 30 MB of memory
// less for as long as it lives, and starts in half the time. Nothing in src/ does anything when it is imported.

import { globSync } from "node:fs";
import { join } from "node:path";

const src = join(import.meta.dirname, "..");
const files = globSync("**/*.ts", { cwd: src }).filter(
  (file) => !/(\.test\.ts|\/testing\/.*|^cli\/(main|warm)\.ts)$/.test(file),
);
// A file that does not load is the daemon's to report, when it needs it.
await Promise.allSettled(files.map((file) => import(join(src, file))));
