// Holds the rooms' directions (docs: CONTRIBUTING.md, "Rooms"): reads the imports of every file in src/ and prints each that
// goes against an arrow, past a room's front door, or round in a circle. Exit code 1 if there is any.
// The rules are in rooms.ts; this file finds files and prints.

import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { violationsOf } from "./rooms.ts";

const root = process.argv[2] ?? join(import.meta.dirname, "..");
const sources = new Map(
  globSync("src/**/*.ts", { cwd: root }).map((path) => [path, readFileSync(join(root, path), "utf8")] as const),
);
const violations = violationsOf(sources);
for (const violation of violations) console.error(violation);
process.exitCode = violations.length > 0 ? 1 : 0;
