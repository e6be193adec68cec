// Scaling: which slots come and which go; and global services, whose slots are nodes.
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { World } from "../testing/world.ts";

test("scaling up fills the lowest free slots, scaling down takes the newest", async () => {
  const w = await World.start();
  const service = await w.create({ replicas: 2 });
  const before = w.running().map((t) => t.id);
  await w.scale(service.id, 5);
  deepEqual(
    w.running().map((t) => t.slot),
    [1, 2, 3, 4, 5],
  );
  await w.scale(service.id, 2);
  deepEqual(
    w.running().map((t) => t.id),
    before,
    "those that ran are left alone",
  );
  equal(w.tasks().length, 2, "what is scaled away leaves no history");
  await w.stop();
});

test("scaling down prefers to take what does not run", async () => {
  const w = await World.start();
  w.agent.behave = (t) => (t.slot === 1 ? "stay" : "run");
  const service = await w.create({ replicas: 3 });
  await w.scale(service.id, 2);
  deepEqual(
    w.alive().map((t) => t.slot),
    [2, 3],
  );
  await w.scale(service.id, 3);
  deepEqual(
    w.alive().map((t) => t.slot),
    [1, 2, 3],
    "the gap is filled first",
  );
  await w.stop();
});

test("scaling down leaves the rest spread over the nodes", async () => {
  const w = await World.start({ nodes: 3 });
  const service = await w.create({ replicas: 6 });
  await w.scale(service.id, 3);
  equal(new Set(w.running().map((t) => t.nodeId)).size, 3);
  await w.stop();
});

test("a slot that is still stopping gets its new task, which does not run before the old one has stopped", async () => {
  const w = await World.start();
  const service = await w.create({ replicas: 2 });
  const second = w.tasks()[1]!;
  const { act } = w.agent;
  w.agent.act = async (task) => (task.id === second.id ? undefined : act.call(w.agent, task));
  await w.scale(service.id, 1);
  await w.scale(service.id, 2);
  deepEqual(
    w.tasks().map((t) => [t.slot, t.desiredState, t.status.state]),
    [
      [1, "running", "running"],
      [2, "remove", "running"],
      [2, "ready", "ready"],
    ],
  );
  await w.agent.report(second.id, "shutdown");
  await w.settled();
  deepEqual(
    w.running().map((t) => t.slot),
    [1, 2],
  );
  await w.stop();
});

test("to nothing and back", async () => {
  const w = await World.start();
  const service = await w.create({ replicas: 3 });
  await w.scale(service.id, 0);
  equal(w.tasks().length, 0);
  await w.scale(service.id, 1);
  equal(w.running().length, 1);
  await w.stop();
});

test("a global service has one task on each node that meets its constraints", async () => {
  const w = await World.start({ nodes: 3 });
  const [first] = w.store.view.all("node");
  const Placement = { Constraints: [`node.hostname!=${first!.description.hostname}`] };
  const service = await w.create({ template: { Placement }, spec: { Mode: { Global: {} } } });
  const nodes = () => new Set(w.running(service.id).map((t) => t.nodeId));
  equal(nodes().size, 2);
  equal(nodes().has(first!.id), false);
  await w.update(service.id, (s) => ({ ...s, TaskTemplate: { ...s.TaskTemplate, Placement: {} } }));
  await w.advance(20_000);
  equal(nodes().size, 3);
  const drain = (availability: "drain" | "active") =>
    w.store.update((tx) => {
      const node = tx.get("node", first!.id)!;
      tx.update<"node">({ ...node, spec: { ...node.spec, Availability: availability } });
    });
  await drain("drain");
  await w.advance(10_000);
  equal(nodes().size, 2, "nothing replaces it elsewhere");
  await drain("active");
  await w.settled();
  equal(nodes().size, 3, "it comes again with its node");
  const victim = w.running(service.id).find((t) => t.nodeId === first!.id)!;
  await w.agentOf(victim).report(victim.id, "failed");
  await w.settled();
  await w.advance(5_000);
  equal(nodes().size, 3, "a failed one is replaced on its node");
  await w.stop();
});
