// A process for durability.test.ts: writes to a store as fast as it can, and says each commit's number when it was acknowledged.
// Arguments: the file. On stdout a line a commit: "<number>".
import { writeSync } from "node:fs";
import { type ConfigId, newId } from "../../model/ids.ts";
import { SqliteBackend } from "../backends/sqlite.ts";
import { Store } from "../store.ts";

const STDOUT = 1;
/** Each commit makes this many objects and takes away those of an earlier one: all or nothing must be seen of it. */
const PER_COMMIT = 3;
/** Commits whose objects stay. */
const KEPT = 20;

const store = await Store.open(SqliteBackend.open(process.argv[2]!));
for (let n = store.view.revision + 1; ; n++) {
  await store.update((tx) => {
    for (let i = 0; i < PER_COMMIT; i++) {
      tx.create<"config">({
        kind: "config",
        id: newId<ConfigId>(),
        spec: { Name: `${n}`, Labels: { pad: "x".repeat(n % 5_000) } },
      });
    }
    for (const old of tx.byName("config", `${n - KEPT}`)) tx.remove("config", old.id);
  });
  writeSync(STDOUT, `${n}\n`); // straight to the pipe: it is not lost with the process
}
