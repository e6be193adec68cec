// The embedded backend: what it gives back, whom it refuses. Survival of kill -9 is in ../durability.test.ts.
import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { hasCode } from "../../model/errors.ts";
import { type ConfigId, newId } from "../../model/ids.ts";
import { Store } from "../store.ts";
import { SqliteBackend } from "./sqlite.ts";

function aPath(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "skep-store-"));
  t.after(() => rmSync(dir, { recursive: true }));
  return join(dir, "deep", "skep.db");
}

const put = (store: Store, Name: string) =>
  store.update((tx) =>
    tx.create<"config">({ kind: "config", id: newId<ConfigId>(), spec: { Name, Labels: { ä: "ö" } } }),
  );

test("opened again, a store has the same objects, revision and versions", async (t) => {
  const path = aPath(t);
  const store = await Store.open(SqliteBackend.open(path));
  const [a, b] = [await put(store, "a"), await put(store, "b")];
  await store.update((tx) => tx.remove("config", a.id));
  await store.close();
  const again = await Store.open(SqliteBackend.open(path));
  equal(again.view.revision, 3);
  deepEqual(again.view.all("config"), [b]);
  equal((await put(again, "c")).version, 4);
  await again.close();
});

test("wiped, nothing is left, but the revision goes on", async (t) => {
  const path = aPath(t);
  const store = await Store.open(SqliteBackend.open(path));
  await put(store, "a");
  await store.wipe();
  await store.close();
  const again = await Store.open(SqliteBackend.open(path));
  deepEqual(again.view.all("config"), []);
  equal(again.view.revision, 2);
  await again.close();
});

test("a second daemon on the same file is refused", async (t) => {
  const path = aPath(t);
  const store = await Store.open(SqliteBackend.open(path));
  await put(store, "a");
  throws(
    () => SqliteBackend.open(path),
    (e) => hasCode(e, "unavailable") && /in use by another skep daemon/.test(e.message),
  );
  await put(store, "b");
  await store.close();
});

test("a file of a newer skep is not touched", async (t) => {
  const path = aPath(t);
  await (await Store.open(SqliteBackend.open(path))).close();
  const db = new DatabaseSync(path);
  db.exec("PRAGMA user_version = 99");
  db.close();
  throws(
    () => SqliteBackend.open(path),
    (e) => hasCode(e, "unavailable") && /newer skep/.test(e.message),
  );
});

test("a commit that cannot be stored is refused whole", async (t) => {
  const path = aPath(t);
  const backend = SqliteBackend.open(path);
  const store = await Store.open(backend);
  await put(store, "a");
  await backend.close();
  await rejects(put(store, "b"), (e) => hasCode(e, "unavailable"));
  equal(store.view.all("config").length, 1);
});
