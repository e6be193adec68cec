import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { isNetns, removeNetnsDir } from "../kernel/index.ts";
import { Namespaces } from "./namespaces.ts";

function world(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), "skep-ledger-"));
  const [dir, records] = [join(root, "netns"), join(root, "network", "netns")] as const;
  const seen: string[] = [];
  const view = { add: (path: string) => seen.push(`+${path}`), remove: (path: string) => seen.push(`-${path}`) };
  const make = (): Namespaces => new Namespaces({ dir, records, view });
  t.after(() => {
    for (const path of make().all()) make().delete(path);
    removeNetnsDir(dir);
    rmSync(root, { recursive: true });
  });
  return { dir, records, make, seen };
}

test("what is made is on file, also for a successor, until it is deleted; twice is as once", (t) => {
  const { dir, make, seen } = world(t);
  const path = join(dir, "1-abc");
  deepEqual(make().all(), []);
  for (let i = 0; i < 2; i++) make().create(path);
  ok(isNetns(path));
  deepEqual(make().all(), [path]);
  for (let i = 0; i < 2; i++) make().delete(path);
  equal(isNetns(path), false);
  deepEqual(make().all(), []);
  deepEqual(seen, [`+${path}`, `+${path}`, `-${path}`, `-${path}`]);
});

test("on file comes first: what cannot be made, or was not when the daemon died, is known and can be cleared away", (t) => {
  const { dir, records, make } = world(t);
  mkdirSync(join(dir, "in-the-way"), { recursive: true });
  throws(() => make().create(join(dir, "in-the-way")));
  deepEqual(make().all(), [join(dir, "in-the-way")]);
  rmSync(join(dir, "in-the-way"), { recursive: true });
  writeFileSync(join(records, "lb_died"), "");
  for (const path of make().all()) make().delete(path);
  deepEqual(make().all(), []);
});
