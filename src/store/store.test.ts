// Transactions, versions and watches, on the in-memory backend. Durability is in durability.test.ts.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../model/clock.ts";
import { hasCode, SkepError } from "../model/errors.ts";
import { type ConfigId, newId, type ServiceId, type TaskId } from "../model/ids.ts";
import type { Config, Task } from "../model/objects.ts";
import { type Commit, MemoryBackend } from "./backend.ts";
import { type Fresh, Store, type Tx } from "./store.ts";

const code = (c: Parameters<typeof hasCode>[1]) => (e: unknown) => hasCode(e, c);
const open = (clock = new FakeClock()) => Store.open(new MemoryBackend(), clock);

function aConfig(name: string, id = newId<ConfigId>()): Fresh<Config> {
  return { kind: "config", id, spec: { Name: name, Labels: {} } };
}

function aTask(more: Partial<Fresh<Task>> = {}): Fresh<Task> {
  return {
    kind: "task",
    id: newId<TaskId>(),
    serviceName: "web",
    serviceLabels: {},
    spec: {},
    specVersion: 1,
    networks: [],
    status: { timestamp: "", state: "running", message: "" },
    desiredState: "running",
    ...more,
  };
}

const put = (store: Store, name: string) => store.update((tx) => tx.create<"config">(aConfig(name)));
const rename = (config: Config, Name: string): Config => ({ ...config, spec: { ...config.spec, Name } });

test("what a transaction made is there, with version and times, and frozen", async () => {
  const store = await open();
  const config = await put(store, "a");
  equal(store.view.revision, 1);
  equal(store.view.get("config", config.id), config);
  equal(config.version, 1);
  equal(config.createdAt, "2026-01-01T00:00:00.000000000Z");
  throws(() => Object.assign(config.spec, { Name: "b" }), TypeError);
  deepEqual(store.view.byName("config", "a"), [config]);
});

test("a transaction sees its own writes, and nobody else does before it is done", async () => {
  const store = await open();
  await store.update((tx) => {
    const { id } = tx.create<"config">(aConfig("a"));
    equal(tx.get("config", id)?.spec.Name, "a");
    tx.update(rename(tx.get("config", id)!, "b"));
    equal(tx.byName("config", "b").length, 1);
    equal(tx.byName("config", "a").length, 0);
  });
  equal(store.view.byName("config", "b").length, 1);
  equal(store.view.revision, 1);
});

test("a transaction that throws has changed nothing, and the next one runs", async () => {
  const store = await open();
  const config = await put(store, "a");
  const failing = store.update((tx) => {
    tx.update(rename(config, "b"));
    tx.create<"config">(aConfig("c"));
    tx.remove("config", config.id);
    throw new SkepError("invalid", "no");
  });
  await rejects(failing, code("invalid"));
  deepEqual(store.view.all("config"), [config]);
  equal(store.view.byName("config", "a").length, 1);
  equal(store.view.revision, 1);
  await put(store, "d");
  equal(store.view.revision, 2);
});

test("a transaction that changes nothing makes no commit", async () => {
  const store = await open();
  await store.update((tx) => {
    const { id } = tx.create<"config">(aConfig("a"));
    tx.remove("config", id);
    tx.remove("config", "gone already");
  });
  equal(store.view.revision, 0);
});

const refusals: readonly [string, Parameters<typeof hasCode>[1], (tx: Tx, config: Config) => void][] = [
  ["an id that is taken", "conflict", (tx, config) => tx.create<"config">(aConfig("x", config.id))],
  ["an update of what is gone", "not_found", (tx, config) => tx.update({ ...config, id: newId<ConfigId>() })],
  ["an update of an old copy", "stale", (tx, config) => tx.update({ ...config, version: config.version - 1 })],
];
for (const [what, expected, body] of refusals) {
  test(`refused: ${what}`, async () => {
    const store = await open();
    const config = await put(store, "a");
    await rejects(
      store.update((tx) => void body(tx, config)),
      code(expected),
    );
    deepEqual(store.view.all("config"), [config]);
  });
}

test("of two updates from the same copy one wins", async () => {
  const store = await open();
  const config = await put(store, "a");
  const both = await Promise.allSettled(
    ["b", "c"].map((name) => store.update((tx) => tx.update(rename(config, name)))),
  );
  deepEqual(
    both.map((r) => r.status),
    ["fulfilled", "rejected"],
  );
  equal(store.view.get("config", config.id)?.spec.Name, "b");
});

test("a task moves forward only, in what is seen and in what is wished", async () => {
  const store = await open();
  const task = await store.update((tx) => tx.create<"task">(aTask()));
  const seen = (state: Task["status"]["state"]) => ({ ...task, status: { ...task.status, state } });
  await rejects(
    store.update((tx) => tx.update<"task">(seen("ready"))),
    code("internal"),
  );
  await rejects(
    store.update((tx) => tx.update<"task">({ ...task, desiredState: "ready" })),
    code("internal"),
  );
  await store.update((tx) => tx.update<"task">(seen("failed")));
  const failed = store.view.get("task", task.id)!;
  await rejects(
    store.update((tx) => tx.update<"task">({ ...failed, status: task.status })),
    code("internal"),
  );
  await rejects(
    store.update((tx) => tx.update<"task">({ ...failed, status: { ...task.status, state: "complete" } })),
    code("internal"),
  );
});

test("tasks are found by what they belong to, and no longer when they don't", async () => {
  const store = await open();
  const serviceId = newId<ServiceId>();
  const task = await store.update((tx) => tx.create<"task">(aTask({ serviceId })));
  deepEqual(store.view.tasksOfService(serviceId), [task]);
  await store.update((tx) => tx.remove("task", task.id));
  deepEqual(store.view.tasksOfService(serviceId), []);
});

test("creation times tell the order also within a millisecond, and when the clock is set back", async () => {
  let now = Date.UTC(2026, 0, 1);
  const store = await Store.open(new MemoryBackend(), { now: () => now, after: () => ({ cancel() {} }) });
  const stamps = [await put(store, "a"), await put(store, "b")].map((c) => c.createdAt);
  now -= 60_000;
  stamps.push((await put(store, "c")).createdAt);
  now += 60_001;
  stamps.push((await put(store, "d")).createdAt);
  deepEqual([...stamps].sort(), stamps);
  equal(new Set(stamps).size, 4);
  equal(stamps[3], "2026-01-01T00:00:00.001000000Z");
});

test("when the backend fails nothing has changed and nobody is told", async () => {
  const backend = new MemoryBackend();
  const store = await Store.open(backend);
  const seen = watching(store);
  const { commit } = backend;
  backend.commit = async () => {
    throw new SkepError("unavailable", "disk full");
  };
  await rejects(put(store, "a"), code("unavailable"));
  equal(store.view.all("config").length, 0);
  backend.commit = commit;
  await put(store, "b");
  deepEqual(
    (await seen.stop()).map((c) => c.revision),
    [1],
  );
});

test("a watcher sees every commit after its snapshot, in order, with what was before", async () => {
  const store = await open();
  await put(store, "before");
  const seen = watching(store);
  const a = await put(store, "a");
  const b = await store.update((tx) => tx.update(rename(a, "b")));
  await store.update((tx) => tx.remove("config", a.id));
  const commits = await seen.stop();
  deepEqual(
    commits.map((c) => c.revision),
    [2, 3, 4],
  );
  deepEqual(
    commits.flatMap((c) => c.changes),
    [
      { action: "create", object: a },
      { action: "update", object: b, old: a },
      { action: "remove", object: b, old: b },
    ],
  );
});

test("a watch resumes from a revision without gap or repeat, and says so when it cannot", async () => {
  const store = await open();
  for (let i = 0; i < 3_000; i++) await put(store, `c${i}`);
  const seen = watching(store, 2_990);
  await put(store, "last");
  deepEqual(
    (await seen.stop()).map((c) => c.revision),
    Array.from({ length: 11 }, (_, i) => 2_991 + i),
  );
  const signal = AbortSignal.abort();
  throws(() => store.watch(signal, 5), code("stale"));
  throws(() => store.watch(signal, 9_999), code("stale"), "a revision that never was");
  ok(store.watch(signal, store.view.revision), "up to date: nothing missed");
});

test("a watcher that stalls is cut off", async () => {
  const store = await open();
  const { commits } = store.watch(new AbortController().signal);
  for (let i = 0; i <= 10_000; i++) await put(store, `c${i}`);
  await rejects(commits[Symbol.asyncIterator]().next(), code("stale"));
  await store.close();
});

test("the end of a watch wakes who waits for it", async () => {
  const store = await open();
  const stop = new AbortController();
  const next = store.watch(stop.signal).commits[Symbol.asyncIterator]().next();
  stop.abort();
  equal((await next).done, true);
});

test("wiped, a store is empty, and watchers have seen everything go", async () => {
  const store = await open();
  await put(store, "a");
  const seen = watching(store);
  await store.wipe();
  equal(store.view.all("config").length, 0);
  deepEqual(
    (await seen.stop()).flatMap((c) => c.changes.map((x) => x.action)),
    ["remove"],
  );
});

/** Gathers commits; `stop` gives those up to the store's revision of that moment. */
function watching(store: Store, from?: number): { stop(): Promise<Commit[]> } {
  const { commits } = store.watch(new AbortController().signal, from);
  return {
    async stop() {
      const gathered: Commit[] = [];
      for await (const commit of commits) {
        gathered.push(commit);
        if (commit.revision === store.view.revision) break;
      }
      return gathered;
    },
  };
}
