// The runner of loops: batches, bad keys, due times, and the way back after falling behind.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../model/clock.ts";
import { SkepError } from "../model/errors.ts";
import { type ConfigId, newId } from "../model/ids.ts";
import { silent } from "../model/log.ts";
import { MemoryBackend, Store } from "../store/index.ts";
import { type Due, type Loop, LoopRunner } from "./loop.ts";

type Settle = (keys: readonly string[]) => readonly Due<string>[] | undefined;

async function running(settle: Settle) {
  const clock = new FakeClock();
  const store = await Store.open(new MemoryBackend(), clock);
  const batches: string[][] = [];
  const loop: Loop<string> = {
    name: "test",
    *seed(view) {
      for (const c of view.all("config")) yield c.spec.Name;
    },
    *note({ object }) {
      if (object.kind === "config") yield object.spec.Name;
    },
    async settle(keys) {
      batches.push([...keys].sort());
      return settle(keys) ?? [];
    },
  };
  const stop = new AbortController();
  const runner = new LoopRunner(loop, { store, clock, log: silent });
  const done = runner.run(stop.signal);
  const settled = async () => {
    await new Promise((resolve) => setImmediate(resolve)); // a timer that has just fired
    await runner.settledAt(store.view.revision);
  };
  return {
    batches,
    settled,
    put: (Name: string) =>
      store.update((tx) => tx.create<"config">({ kind: "config", id: newId<ConfigId>(), spec: { Name, Labels: {} } })),
    advance: async (ms: number) => {
      clock.advance(ms);
      await settled();
    },
    end: async () => {
      stop.abort();
      await done;
    },
  };
}

test("what happens in one go is settled in one batch", async () => {
  const r = await running(() => undefined);
  await Promise.all(["a", "b", "c", "a"].map(r.put));
  await r.settled();
  deepEqual(r.batches, [["a", "b", "c"]]);
  await r.end();
});

test("one bad key does not stop the others, and is tried again with growing patience", async () => {
  let broken = true;
  const r = await running((keys) => {
    if (broken && keys.includes("bad")) throw new Error("no");
    return [];
  });
  await Promise.all(["a", "bad", "b"].map(r.put));
  await r.settled();
  deepEqual(r.batches, [["a", "b", "bad"], ["a"], ["bad"], ["b"]]);
  await r.advance(100);
  await r.advance(199);
  equal(r.batches.length, 5);
  await r.advance(1);
  equal(r.batches.length, 6);
  broken = false;
  await r.advance(400);
  equal(r.batches.length, 7);
  await r.advance(60_000);
  equal(r.batches.length, 7, "settled, it is left alone");
  await r.end();
});

test("a key that waits for its time is settled then, once, and its last word counts", async () => {
  let at = 0;
  const r = await running((keys) => (at > 0 ? keys.map((key) => ({ key, at })) : []));
  at = Date.UTC(2026, 0, 1) + 5_000;
  await r.put("a");
  await r.settled();
  await r.advance(4_999);
  equal(r.batches.length, 1);
  at = 0;
  await r.advance(1);
  equal(r.batches.length, 2);
  await r.advance(60_000);
  equal(r.batches.length, 2);
  await r.end();
});

test("a loop that fell too far behind starts again from what is there", async () => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const clock = new FakeClock();
  const store = await Store.open(new MemoryBackend(), clock);
  let seeds = 0;
  const stop = new AbortController();
  const loop: Loop<string> = {
    name: "slow",
    seed() {
      seeds++;
      return [];
    },
    *note() {
      yield "key";
    },
    async settle() {
      await held;
      return [];
    },
  };
  const { watch } = store;
  // The first watch breaks as the store breaks one that stalls; the second is the store's own.
  const flaky: Pick<Store, "view" | "watch"> = {
    view: store.view,
    watch(signal, from) {
      const subscription = watch.call(store, signal, from);
      if (seeds > 0) return subscription;
      return { ...subscription, commits: brokenAfterOne(subscription.commits) };
    },
  };
  const runner = new LoopRunner(loop, { store: flaky, clock, log: silent });
  const done = runner.run(stop.signal);
  await store.update((tx) =>
    tx.create<"config">({ kind: "config", id: newId<ConfigId>(), spec: { Name: "a", Labels: {} } }),
  );
  release();
  await runner.settledAt(store.view.revision);
  while (seeds < 2) await new Promise((resolve) => setImmediate(resolve));
  await runner.settledAt(store.view.revision);
  equal(seeds, 2);
  stop.abort();
  await done;
  ok(!runner.isSettledAt(99));
});

async function* brokenAfterOne<T>(commits: AsyncIterable<T>): AsyncGenerator<T, void> {
  for await (const commit of commits) {
    yield commit;
    throw new SkepError("stale", "too far behind");
  }
}
