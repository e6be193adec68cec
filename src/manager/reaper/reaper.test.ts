// What is forgotten and what is kept.
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { NANOSECONDS, World } from "../testing/world.ts";

async function crashing(limit: number) {
  const w = await World.start();
  await w.store.update((tx) => {
    const cluster = tx.all("cluster")[0]!;
    tx.update<"cluster">({
      ...cluster,
      spec: { ...cluster.spec, Orchestration: { TaskHistoryRetentionLimit: limit } },
    });
  });
  await w.create({ replicas: 2, template: { RestartPolicy: { Condition: "any", Delay: NANOSECONDS } } });
  return w;
}

for (const [limit, kept] of [
  [5, 5],
  [2, 2],
  [1, 1],
  [0, 1],
  [-1, 9],
] as const) {
  test(`with a history limit of ${limit} a slot keeps ${kept} of nine tasks, the newest`, async () => {
    const w = await crashing(limit);
    const made: string[] = [];
    for (let i = 0; i < 8; i++) {
      const task = w.running().find((t) => t.slot === 1)!;
      made.push(task.id);
      await w.agent.report(task.id, "failed");
      await w.advance(1_000);
    }
    const slot = w.tasks().filter((t) => t.slot === 1);
    made.push(slot.at(-1)!.id);
    deepEqual(
      slot.map((t) => t.id),
      made.slice(-kept),
    );
    equal(w.tasks().filter((t) => t.slot === 2).length, 1);
    equal(w.agent.tasks.size, w.tasks().length, "the agent is told, and forgets their containers");
    await w.stop();
  });
}

test("a lowered limit takes effect at once", async () => {
  const w = await crashing(5);
  for (let i = 0; i < 4; i++) {
    await w.agent.report(w.running().find((t) => t.slot === 1)!.id, "failed");
    await w.advance(1_000);
  }
  equal(w.tasks().length, 6);
  await w.store.update((tx) => {
    const cluster = tx.all("cluster")[0]!;
    tx.update<"cluster">({ ...cluster, spec: { ...cluster.spec, Orchestration: { TaskHistoryRetentionLimit: 2 } } });
  });
  await w.settled();
  equal(w.tasks().length, 3);
  await w.stop();
});

test("a removed service's tasks are kept until their node says that they have stopped", async () => {
  const w = await World.start();
  const service = await w.create({ replicas: 2 });
  const { act } = w.agent;
  w.agent.act = async () => undefined;
  await w.remove(service.id);
  await w.advance(60_000);
  deepEqual(
    w.tasks().map((t) => [t.desiredState, t.status.state]),
    [
      ["remove", "running"],
      ["remove", "running"],
    ],
  );
  equal(w.store.view.all("service").length, 1);
  w.agent.act = act;
  for (const task of w.tasks()) await w.agent.act(task);
  await w.settled();
  equal(w.tasks().length + w.store.view.all("service").length, 0);
  await w.stop();
});

test("tasks whose service vanished are called off", async () => {
  const w = await World.start();
  const service = await w.create({ replicas: 2 });
  await w.store.update((tx) => tx.remove("service", service.id));
  await w.settled();
  equal(w.tasks().length, 0);
  await w.stop();
});

test("with its node a task that was wished away is forgotten", async () => {
  const w = await World.start({ nodes: 2 });
  const service = await w.create({ replicas: 2 });
  const gone = w.agents[1]!;
  await gone.stop();
  await w.remove(service.id);
  equal(w.tasks().length, 1);
  await w.store.update((tx) => tx.remove("node", gone.nodeId));
  await w.settled();
  equal(w.tasks().length + w.store.view.all("service").length, 0);
  await w.stop();
});
