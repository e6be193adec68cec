// Holds docs/errors.md and the code table in src/model/errors.ts to each other, both ways: every code has a row, with its status, and
// every row is a code. Prints each difference; exit code 1 if there is any.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { STATUS } from "../src/model/errors.ts";

const page = readFileSync(join(import.meta.dirname, "../docs/errors.md"), "utf8");
const rows = new Map(
  [...page.matchAll(/^\|\s*`(\w+)`\s*\|\s*(\d+)\s*\|/gm)].map((m) => [m[1] ?? "", Number(m[2])] as const),
);

const differences: string[] = [];
for (const [code, status] of Object.entries(STATUS)) {
  const documented = rows.get(code);
  if (documented === undefined) differences.push(`docs/errors.md has no row for \`${code}\``);
  else if (documented !== status)
    differences.push(`docs/errors.md says \`${code}\` is ${documented}; the code says ${status}`);
}
for (const code of rows.keys()) {
  if (!(code in STATUS))
    differences.push(`docs/errors.md has a row for \`${code}\`, which src/model/errors.ts does not know`);
}

for (const difference of differences) console.error(difference);
process.exitCode = differences.length > 0 ? 1 : 0;
