// Restarts as a user sees them: conditions, delay, attempts, windows, lost and drained nodes, and restarts of the manager in between.
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../../model/ids.ts";
import type { NodeAvailability, RestartPolicy } from "../../model/spec.ts";
import { NANOSECONDS, World } from "../testing/world.ts";

const cases: readonly [
  policy: RestartPolicy | undefined,
  end: "complete" | "failed" | "rejected",
  restarted: boolean,
][] = [
  [undefined, "complete", true],
  [undefined, "failed", true],
  [undefined, "rejected", true],
  [{ Condition: "any" }, "complete", true],
  [{ Condition: "on-failure" }, "complete", false],
  [{ Condition: "on-failure" }, "failed", true],
  [{ Condition: "on-failure" }, "rejected", true],
  [{ Condition: "none" }, "complete", false],
  [{ Condition: "none" }, "failed", false],
];

for (const [policy, end, restarted] of cases) {
  test(`restart condition ${policy?.Condition ?? "by default"}: a task that is ${end} is ${restarted ? "" : "not "}replaced`, async () => {
    const w = await World.start();
    const service = await w.create({ template: policy ? { RestartPolicy: policy } : {} });
    await w.agent.report(w.tasks()[0]!.id, end);
    await w.settled();
    await w.advance(5_000);
    equal(w.running(service.id).length, restarted ? 1 : 0);
    equal(w.tasks().length, restarted ? 2 : 1);
    await w.restart();
    await w.advance(60_000);
    equal(w.running(service.id).length, restarted ? 1 : 0, "the same after the manager's restart");
    await w.stop();
  });
}

test("attempts are counted until they are used up, over restarts of the manager", async () => {
  const w = await World.start();
  w.agent.behave = () => "failed";
  const policy = { Condition: "any", Delay: 1 * NANOSECONDS, MaxAttempts: 3 } as const;
  await w.create({ template: { RestartPolicy: policy } });
  await w.advance(2_000);
  await w.restart();
  await w.advance(60_000);
  equal(w.tasks().filter((t) => t.status.state === "failed").length, 4, "the first, and three attempts");
  equal(w.alive().length, 0);
  await w.stop();
});

test("with a window only attempts within it count", async () => {
  const w = await World.start();
  const policy = { Condition: "any", Delay: 0, MaxAttempts: 2, Window: 10 * NANOSECONDS } as const;
  await w.create({ template: { RestartPolicy: policy } });
  const fail = async () => {
    await w.agent.report(w.running()[0]!.id, "failed");
    await w.settled();
    await w.advance(0);
  };
  for (let i = 0; i < 6; i++) {
    await fail();
    equal(w.running().length, 1, `restart ${i}`);
    await w.advance(6_000);
  }
  await fail();
  equal(w.running().length, 1);
  await fail();
  await w.advance(60_000);
  equal(w.running().length, 0, "two within 10 s, a third is not made");
  await w.stop();
});

test("new attempts are granted with a new spec", async () => {
  const w = await World.start();
  w.agent.behave = (t) => (t.spec.ContainerSpec?.Image === "good" ? "run" : "failed");
  const policy = { Condition: "any", Delay: 0, MaxAttempts: 1 } as const;
  const service = await w.create({ template: { RestartPolicy: policy } });
  await w.advance(1_000);
  equal(w.alive().length, 0);
  await w.update(service.id, (s) => ({ ...s, TaskTemplate: { ...s.TaskTemplate, ContainerSpec: { Image: "good" } } }));
  await w.advance(10_000);
  equal(w.running().length, 1);
  await w.stop();
});

test("the restart delay goes on over a restart of the manager", async () => {
  const w = await World.start();
  await w.create({});
  await w.agent.report(w.tasks()[0]!.id, "failed");
  await w.settled();
  await w.advance(3_000);
  await w.restart();
  await w.advance(1_999);
  equal(w.running().length, 0);
  await w.advance(1);
  equal(w.running().length, 1);
  await w.stop();
});

async function setAvailability(w: World, id: NodeId, availability: NodeAvailability): Promise<void> {
  await w.store.update((tx) => {
    const node = tx.get("node", id)!;
    tx.update<"node">({ ...node, spec: { ...node.spec, Availability: availability } });
  });
  await w.settled();
}

test("tasks of a drained node move to another one at once", async () => {
  const w = await World.start({ nodes: 2 });
  const service = await w.create({ replicas: 4 });
  const [a, b] = w.store.view.all("node");
  deepEqual(
    [a, b].map((n) => w.running().filter((t) => t.nodeId === n!.id).length),
    [2, 2],
  );
  await setAvailability(w, a!.id, "drain");
  await w.advance(0);
  deepEqual(
    [a, b].map((n) => w.running().filter((t) => t.nodeId === n!.id).length),
    [0, 4],
  );
  await setAvailability(w, a!.id, "active");
  equal(w.running(service.id).filter((t) => t.nodeId === a!.id).length, 0, "nothing moves back by itself");
  await w.stop();
});

test("drained alone, a node's tasks wait until it is active again", async () => {
  const w = await World.start();
  await w.create({ replicas: 2 });
  const [node] = w.store.view.all("node");
  await setAvailability(w, node!.id, "drain");
  await w.advance(60_000);
  equal(w.running().length, 0);
  deepEqual(
    w.alive().map((t) => t.status.err),
    Array(2).fill("no suitable node (1 node not available for new tasks)"),
  );
  await setAvailability(w, node!.id, "active");
  equal(w.running().length, 2);
  await w.stop();
});

test("tasks of a node that is gone are replaced elsewhere, and stopped when it comes back", async () => {
  const w = await World.start({ nodes: 2 });
  await w.create({ replicas: 2 });
  const lost = w.agents[1]!;
  const node = w.store.view.get("node", lost.nodeId)!;
  await lost.stop();
  await w.advance(14_999);
  equal(w.store.view.get("node", node.id)?.status.state, "ready");
  await w.advance(10_000);
  equal(w.store.view.get("node", node.id)?.status.state, "down");
  equal(w.running().filter((t) => t.nodeId !== node.id).length, 2);
  w.agents.splice(1);
  const back = await w.connect(node.id);
  await w.settled();
  equal(w.store.view.get("node", node.id)?.status.state, "ready");
  deepEqual([...back.states.values()], ["shutdown"]);
  await w.stop();
});
