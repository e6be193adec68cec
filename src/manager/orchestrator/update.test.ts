// Rolling updates: order, parallelism, delay, monitoring, failures; and what is no update at all.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import type { ServiceSpec, UpdateConfig } from "../../model/spec.ts";
import { isTerminal } from "../../model/task-state.ts";
import { NANOSECONDS, World } from "../testing/world.ts";

const withImage =
  (image: string) =>
  (s: ServiceSpec): ServiceSpec => ({
    ...s,
    TaskTemplate: { ...s.TaskTemplate, ContainerSpec: { Image: image } },
  });

const imagesOf = (w: World) => w.running().map((t) => t.spec.ContainerSpec?.Image);

async function updating(config: UpdateConfig, replicas = 4) {
  const w = await World.start();
  const service = await w.create({ replicas, spec: { UpdateConfig: config } });
  return { w, service };
}

test("stop-first: as many slots at a time as may be, the delay between, then the monitor time, then completed", async () => {
  const { w, service } = await updating({ Parallelism: 2, Delay: 10 * NANOSECONDS, Monitor: 3 * NANOSECONDS });
  const updated = await w.update(service.id, withImage("new"));
  equal(updated.updateStatus?.state, "updating");
  equal(updated.updateStatus?.message, "update in progress");
  deepEqual(imagesOf(w), ["new", "new", "whoami", "whoami"]);
  await w.advance(9_999);
  deepEqual(imagesOf(w), ["new", "new", "whoami", "whoami"]);
  await w.advance(1);
  deepEqual(imagesOf(w), ["new", "new", "new", "new"]);
  await w.advance(2_999);
  equal(w.service(service.id).updateStatus?.state, "updating");
  await w.advance(1);
  const { updateStatus } = w.service(service.id);
  equal(updateStatus?.state, "completed");
  equal(updateStatus?.message, "update completed");
  ok(updateStatus?.completedAt);
  await w.stop();
});

test("stop-first never has two of a slot alive, and waits for the old one to stop", async () => {
  const { w, service } = await updating({ Parallelism: 1 }, 2);
  const { act } = w.agent;
  const old = w.tasks().map((t) => t.id);
  w.agent.act = async (task) => (old.includes(task.id) ? undefined : act.call(w.agent, task));
  await w.update(service.id, withImage("new"));
  await w.advance(60_000);
  deepEqual(
    w.tasks().map((t) => [t.slot, t.desiredState, t.status.state]),
    [
      [1, "shutdown", "running"],
      [1, "ready", "ready"],
      [2, "running", "running"],
    ],
  );
  w.agent.act = act;
  await w.agent.report(old[0]!, "shutdown");
  await w.settled();
  deepEqual(imagesOf(w), ["new", "new"]);
  await w.stop();
});

test("start-first keeps the old one until the new one runs", async () => {
  const { w, service } = await updating({ Parallelism: 0, Order: "start-first" }, 2);
  w.agent.behave = (t) => (t.spec.ContainerSpec?.Image === "new" ? "stay" : "run");
  await w.update(service.id, withImage("new"));
  equal(w.alive().length, 4);
  deepEqual(imagesOf(w), ["whoami", "whoami"]);
  w.agent.behave = () => "run";
  for (const task of w.alive().filter((t) => t.status.state === "assigned")) await w.agent.act(task);
  await w.settled();
  deepEqual(imagesOf(w), ["new", "new"]);
  equal(w.alive().length, 2);
  await w.stop();
});

test("start-first with an image that cannot run never takes the old ones away", async () => {
  const { w, service } = await updating({ Parallelism: 1, Order: "start-first" }, 2);
  w.agent.behave = (t) => (t.spec.ContainerSpec?.Image === "bad" ? "rejected" : "run");
  await w.update(service.id, withImage("bad"));
  await w.advance(120_000);
  deepEqual(imagesOf(w), ["whoami", "whoami"]);
  equal(w.service(service.id).updateStatus?.state, "paused");
  await w.update(service.id, withImage("good"));
  await w.advance(120_000);
  deepEqual(imagesOf(w), ["good", "good"]);
  equal(w.service(service.id).updateStatus?.state, "completed");
  await w.stop();
});

test("an update pauses when a new task fails, and tells which", async () => {
  const { w, service } = await updating({ Parallelism: 1, FailureAction: "pause" });
  w.agent.behave = (t) => (t.spec.ContainerSpec?.Image === "bad" ? "failed" : "run");
  await w.update(service.id, withImage("bad"));
  await w.advance(30_000);
  const { updateStatus } = w.service(service.id);
  equal(updateStatus?.state, "paused");
  match(updateStatus?.message ?? "", /^update paused due to failure or early termination of task [0-9a-z]{25}$/);
  deepEqual(imagesOf(w), ["whoami", "whoami", "whoami"], "the others run on");
  await w.restart();
  await w.advance(30_000);
  equal(imagesOf(w).length, 3, "paused it stays after a restart");
  await w.stop();
});

test("a task that ran longer than the monitor time fails no update", async () => {
  const { w, service } = await updating({ Parallelism: 1, Monitor: 5 * NANOSECONDS, Delay: 60 * NANOSECONDS }, 2);
  await w.update(service.id, withImage("new"));
  await w.advance(5_001);
  await w.agent.report(w.running().find((t) => t.spec.ContainerSpec?.Image === "new")!.id, "failed");
  await w.advance(120_000);
  equal(w.service(service.id).updateStatus?.state, "completed");
  deepEqual(imagesOf(w), ["new", "new"]);
  await w.stop();
});

test("failures up to the ratio are borne", async () => {
  const { w, service } = await updating({ Parallelism: 1, MaxFailureRatio: 0.5 });
  let failures = 0;
  w.agent.behave = (t) => (t.spec.ContainerSpec?.Image === "new" && failures++ < 2 ? "failed" : "run");
  await w.update(service.id, withImage("new"));
  await w.advance(120_000);
  equal(w.service(service.id).updateStatus?.state, "completed");
  deepEqual(imagesOf(w), Array(4).fill("new"));
  await w.stop();
});

test("with failure action continue an update goes through all slots", async () => {
  const { w, service } = await updating({ Parallelism: 1, FailureAction: "continue" });
  w.agent.behave = (t) => (t.spec.ContainerSpec?.Image === "bad" ? "failed" : "run");
  await w.update(service.id, withImage("bad"));
  await w.advance(60_000);
  equal(imagesOf(w).length, 0);
  await w.stop();
});

test("with failure action rollback the previous spec comes back by itself", async () => {
  const { w, service } = await updating({ Parallelism: 1, FailureAction: "rollback" });
  w.agent.behave = (t) => (t.spec.ContainerSpec?.Image === "bad" ? "failed" : "run");
  const kept = w
    .running()
    .slice(1)
    .map((t) => t.id);
  await w.update(service.id, withImage("bad"));
  await w.advance(60_000);
  const { updateStatus, previousSpec, spec } = w.service(service.id);
  equal(updateStatus?.state, "rollback_completed");
  equal(updateStatus?.message, "rollback completed");
  equal(previousSpec, undefined);
  equal(spec.TaskTemplate.ContainerSpec?.Image, "whoami");
  deepEqual(
    w
      .running()
      .slice(1)
      .map((t) => t.id),
    kept,
    "those that had not been updated are as they were",
  );
  equal(w.running().length, 4);
  await w.stop();
});

test("an update goes on after a restart of the manager", async () => {
  const { w, service } = await updating({ Parallelism: 1, Delay: 10 * NANOSECONDS }, 3);
  await w.update(service.id, withImage("new"));
  for (let i = 0; i < 5; i++) {
    await w.restart();
    await w.advance(5_000);
  }
  await w.advance(30_000);
  deepEqual(imagesOf(w), ["new", "new", "new"]);
  equal(w.service(service.id).updateStatus?.state, "completed");
  equal(w.tasks().filter((t) => isTerminal(t.status.state)).length, 3, "each slot was updated once");
  await w.stop();
});

test("an update in the middle of an update ends with the last spec", async () => {
  const { w, service } = await updating({ Parallelism: 1, Delay: 10 * NANOSECONDS }, 3);
  await w.update(service.id, withImage("second"));
  await w.advance(5_000);
  await w.update(service.id, withImage("third"));
  await w.advance(120_000);
  deepEqual(imagesOf(w), ["third", "third", "third"]);
  await w.stop();
});

const noUpdates: readonly [string, (s: ServiceSpec) => ServiceSpec][] = [
  ["the same spec again", (s) => structuredClone(s)],
  ["scaling", (s) => ({ ...s, Mode: { Replicated: { Replicas: 3 } } })],
  ["a service label", (s) => ({ ...s, Labels: { a: "b" } })],
  ["the update config", (s) => ({ ...s, UpdateConfig: { Parallelism: 7 } })],
];
for (const [what, change] of noUpdates) {
  test(`no restart for ${what}`, async () => {
    const w = await World.start();
    const service = await w.create({ replicas: 2 });
    const before = w.running().map((t) => t.id);
    await w.update(service.id, change);
    await w.advance(60_000);
    deepEqual(
      w
        .running()
        .slice(0, 2)
        .map((t) => t.id),
      before,
    );
    equal(w.service(service.id).updateStatus, undefined);
    await w.stop();
  });
}

test("force restarts everything, one after the other", async () => {
  const w = await World.start();
  const service = await w.create({ replicas: 2 });
  const before = new Set(w.running().map((t) => t.id));
  await w.update(service.id, (s) => ({ ...s, TaskTemplate: { ...s.TaskTemplate, ForceUpdate: 1 } }));
  await w.advance(10_000);
  equal(w.running().filter((t) => before.has(t.id)).length, 0);
  equal(w.running().length, 2);
  await w.stop();
});

test("tasks that ended and stay ended are replaced by an update", async () => {
  const w = await World.start();
  const service = await w.create({ replicas: 2, template: { RestartPolicy: { Condition: "none" } } });
  for (const task of w.running()) await w.agent.report(task.id, "complete");
  await w.advance(60_000);
  equal(w.running().length, 0);
  await w.update(service.id, withImage("new"));
  await w.advance(60_000);
  deepEqual(imagesOf(w), ["new", "new"]);
  await w.stop();
});

test("endpoint mode and networks take effect by an update of the tasks", async () => {
  const w = await World.start();
  const [a, b] = [await w.network("a"), await w.network("b")];
  const service = await w.create({ replicas: 2, networks: [a] });
  const dnsrr = await w.update(service.id, (s) => ({ ...s, EndpointSpec: { Mode: "dnsrr" } }));
  deepEqual(dnsrr.endpoint?.virtualIPs, []);
  await w.advance(10_000);
  deepEqual(
    w.running().map((t) => t.endpoint?.spec.Mode),
    ["dnsrr", "dnsrr"],
  );
  const moved = await w.update(service.id, (s) => ({
    ...s,
    EndpointSpec: { Mode: "vip" },
    TaskTemplate: { ...s.TaskTemplate, Networks: [{ Target: b.id }] },
  }));
  deepEqual(
    moved.endpoint?.virtualIPs.map((v) => v.networkId),
    [b.id],
  );
  await w.advance(10_000);
  deepEqual(
    w.running().map((t) => t.networks.map((n) => n.networkId)),
    [[b.id], [b.id]],
  );
  const node = w.store.view.all("node")[0]!;
  equal(
    node.attachments.some((n) => n.networkId === a.id),
    false,
    "the node has left the network that nobody uses",
  );
  await w.stop();
});

test("rolled back by the user, the slots that were updated go back, by the rollback's config", async () => {
  const w = await World.start();
  const configs = { UpdateConfig: { Parallelism: 0 }, RollbackConfig: { Parallelism: 1, Delay: 10 * NANOSECONDS } };
  const service = await w.create({ replicas: 2, spec: configs });
  await w.update(service.id, withImage("new"));
  await w.advance(10_000);
  await w.store.update((tx) => {
    const { previousSpec, ...now } = tx.get("service", service.id)!;
    const updateStatus = {
      state: "rollback_started",
      startedAt: tx.now,
      message: "manually requested rollback",
    } as const;
    tx.update<"service">({
      ...now,
      spec: previousSpec!,
      previousSpec: now.spec,
      specVersion: now.specVersion + 1,
      updateStatus,
    });
  });
  await w.settled();
  deepEqual(imagesOf(w), ["whoami", "new"]);
  await w.advance(9_999);
  deepEqual(imagesOf(w), ["whoami", "new"]);
  await w.advance(10_000);
  deepEqual(imagesOf(w), ["whoami", "whoami"]);
  equal(w.service(service.id).updateStatus?.state, "rollback_completed");
  await w.stop();
});

test("a restart delay of a month is one", async () => {
  const w = await World.start();
  const Delay = 30 * 24 * 3_600 * NANOSECONDS;
  await w.create({ template: { RestartPolicy: { Condition: "any", Delay } } });
  await w.agent.report(w.running()[0]!.id, "failed");
  await w.advance(29 * 24 * 3_600_000);
  equal(w.running().length, 0);
  await w.advance(24 * 3_600_000);
  equal(w.running().length, 1);
  await w.stop();
});
