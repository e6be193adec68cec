// Prints every relative link of the repository's Markdown files that leads nowhere. Exit code 1 if there is any.
// What a broken link is, is in links.ts; this file finds files and prints.

import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brokenLinks } from "./links.ts";

const root = process.argv[2] ?? join(import.meta.dirname, "..");
const pages = new Map(
  globSync("**/*.md", { cwd: root, exclude: (name) => name === "node_modules" || name.startsWith(".") }).map(
    (path) => [path, readFileSync(join(root, path), "utf8")] as const,
  ),
);
const broken = brokenLinks(pages, (path) => existsSync(join(root, path)));
for (const line of broken) console.error(line);
process.exitCode = broken.length > 0 ? 1 : 0;
