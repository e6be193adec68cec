// Whether node_modules holds what package-lock.json says: exit code 0 or 1. npm writes what it installed into
// node_modules/.package-lock.json; a package that is absent there must be one for another kind of machine (optional).

import { readFileSync } from "node:fs";

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly optional?: boolean;
}

const root = new URL("../", import.meta.url);
const wanted = packagesOf("package-lock.json");
const installed = packagesOf("node_modules/.package-lock.json");

const differs = Object.entries(wanted).some(([path, want]) => {
  if (path === "") return false; // the project itself
  const have = installed[path];
  return have ? have.version !== want.version || have.integrity !== want.integrity : want.optional !== true;
});
const surplus = Object.keys(installed).some((path) => !(path in wanted));
process.exitCode = differs || surplus ? 1 : 0;

function packagesOf(file: string): Record<string, Locked> {
  return (JSON.parse(readFileSync(new URL(file, root), "utf8")) as { packages: Record<string, Locked> }).packages;
}
