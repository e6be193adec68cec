import { deepEqual, equal, ok } from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { ContainerEngine } from "../engine/index.ts";
import { FakeClock } from "../model/clock.ts";
import type { NodeId } from "../model/ids.ts";
import { silent } from "../model/log.ts";
import type { NodeDescription, Task } from "../model/objects.ts";
import { type NodeNetwork, sandboxIdOf } from "../network/index.ts";
import { Agent } from "./agent.ts";
import { aTask, FakeEngine, FakeNetwork, FakeSession } from "./testing/fakes.ts";

class World {
  readonly clock = new FakeClock();
  readonly engine: FakeEngine;
  readonly network: FakeNetwork;
  readonly session = new FakeSession();
  readonly agent: Agent;

  constructor(before?: World) {
    this.engine = before?.engine ?? new FakeEngine();
    this.network = before?.network ?? new FakeNetwork();
    this.agent = new Agent({
      nodeId: "node1" as NodeId,
      description: {} as NodeDescription,
      dispatcher: { connect: async () => this.session },
      engine: this.engine as unknown as ContainerEngine,
      network: this.network as unknown as NodeNetwork,
      clock: this.clock,
      log: silent,
    });
    this.agent.start();
  }

  states(task: Task): string[] {
    return (this.session.reports.get(task.id) ?? []).map((s) => s.state);
  }

  last(task: Task) {
    return this.session.reports.get(task.id)?.at(-1);
  }

  /** Lets everything that can happen without time passing happen, until the condition holds. */
  async until(condition: () => boolean): Promise<void> {
    for (let i = 0; i < 1000; i++) {
      if (condition()) return;
      await turn();
    }
    throw new Error("it does not happen");
  }

  async running(task: Task): Promise<void> {
    await this.until(() => this.last(task)?.state === "running");
  }
}

function world(t: TestContext, before?: World): World {
  const w = new World(before);
  t.after(() => w.agent.stop());
  return w;
}

test("a task is run through its states, and takes traffic before it is reported running", async (t) => {
  const w = world(t);
  const task = aTask();
  w.session.onReport = () => {
    if (w.last(task)?.state === "running") ok(w.network.calls.some((c) => c.startsWith("join web.1")));
  };
  w.session.send({ full: true, tasks: [task] });
  await w.running(task);
  equal(w.engine.named("web.1")?.state, "running");
  deepEqual(w.last(task)?.container, { id: w.engine.named("web.1")!.id, pid: 1000, exitCode: 0 });
});

test("a task that is to be ready is prepared, and started when the wish comes", async (t) => {
  const w = world(t);
  const task = aTask({ desiredState: "ready" });
  w.session.send({ full: true, tasks: [task] });
  await w.until(() => w.last(task)?.state === "ready");
  equal(w.engine.named("web.1")?.state, "created");
  w.session.send({ tasks: [{ ...task, desiredState: "running" }] });
  await w.running(task);
});

test("a dead process leaves the balancer first, and is reported with its exit code", async (t) => {
  const w = world(t);
  const task = aTask();
  w.session.send({ full: true, tasks: [task] });
  await w.running(task);
  w.engine.die(w.engine.named("web.1")!.id, 137);
  equal(w.network.calls.at(-1), `leave web.1.${task.id}`);
  await w.until(() => w.last(task)?.state === "failed");
  equal(w.last(task)?.err, "task: non-zero exit (137)");
  equal(w.last(task)?.container?.exitCode, 137);
  equal(w.network.sandboxes.size, 0);
});

test("an exit with 0 is completion", async (t) => {
  const w = world(t);
  const task = aTask();
  w.session.send({ full: true, tasks: [task] });
  await w.running(task);
  w.engine.die(w.engine.named("web.1")!.id, 0);
  await w.until(() => w.last(task)?.state === "complete");
});

test("a task is drained before it is stopped, and its container is kept until its record goes", async (t) => {
  const w = world(t);
  const task = aTask();
  w.session.send({ full: true, tasks: [task] });
  await w.running(task);
  w.session.send({ tasks: [{ ...task, desiredState: "shutdown" }] });
  await w.until(() => w.last(task)?.state === "shutdown");
  deepEqual(w.network.calls, [`join web.1.${task.id}`, `drain web.1.${task.id}`, `leave web.1.${task.id}`]);
  equal(w.engine.named("web.1")?.state, "exited");
  w.session.send({ removed: [task.id] });
  await w.until(() => w.engine.containers.size === 0);
});

test("an image that is nowhere rejects the task with Docker's words", async (t) => {
  const w = world(t);
  const task = aTask({ spec: { ContainerSpec: { Image: "nosuch:latest" } } });
  w.session.send({ full: true, tasks: [task] });
  await w.until(() => w.last(task)?.state === "rejected");
  equal(w.last(task)?.err, "No such image: nosuch:latest");
  equal(w.engine.containers.size, 0);
});

test("an image is pulled once, however many tasks need it", async (t) => {
  const w = world(t);
  const tasks = [1, 2, 3].map((slot) => aTask({ slot, spec: { ContainerSpec: { Image: "registry/app:1" } } }));
  w.session.send({ full: true, tasks });
  for (const task of tasks) await w.running(task);
  deepEqual(w.engine.pulled, ["registry/app:1"]);
});

test("a pull is given up when the last task that waits for it is called off", async (t) => {
  const w = world(t);
  const tasks = [1, 2].map((slot) => aTask({ slot, spec: { ContainerSpec: { Image: "slow/app:1" } } }));
  w.session.send({ full: true, tasks });
  await w.until(() => w.engine.pulled.length === 1 && tasks.every((task) => w.last(task)?.state === "preparing"));
  w.session.send({ tasks: [{ ...tasks[0]!, desiredState: "remove" }] });
  await w.until(() => w.last(tasks[0]!)?.state === "shutdown");
  deepEqual(w.engine.givenUp, []);
  w.session.send({ tasks: [{ ...tasks[1]!, desiredState: "remove" }] });
  await w.until(() => w.last(tasks[1]!)?.state === "shutdown");
  deepEqual(w.engine.givenUp, ["slow/app:1"]);
});

test("a process that cannot be started fails the task", async (t) => {
  const w = world(t);
  w.engine.images.add("broken:latest");
  const task = aTask({ spec: { ContainerSpec: { Image: "broken:latest" } } });
  w.session.send({ full: true, tasks: [task] });
  await w.until(() => w.last(task)?.state === "failed");
  equal(w.last(task)?.err, "starting container failed: no such file");
  equal(w.network.sandboxes.size, 0);
});

test("an engine that is away is waited for", async (t) => {
  const w = world(t);
  const task = aTask();
  w.session.send({ full: true, tasks: [] });
  await turn();
  w.engine.away = true;
  w.session.send({ tasks: [task] });
  await w.until(() => w.states(task).includes("preparing"));
  w.engine.away = false;
  await w.until(() => {
    w.clock.advance(1000);
    return w.last(task)?.state === "running";
  });
  ok(!w.states(task).includes("rejected"));
});

test("a container whose start the engine died over is made anew", async (t) => {
  const w = world(t);
  w.engine.diesOverStart = 1;
  const task = aTask();
  w.session.send({ full: true, tasks: [task] });
  await w.until(() => {
    w.clock.advance(1000);
    return w.last(task)?.state === "running";
  });
  equal(w.engine.containers.size, 1);
  deepEqual(
    w.states(task).filter((s) => s === "failed"),
    [],
  );
});

test("a new daemon adopts what runs, and touches nothing of it", async (t) => {
  const before = new World();
  const task = aTask();
  before.session.send({ full: true, tasks: [task] });
  await before.running(task);
  await before.agent.stop();
  const { id, pid } = before.engine.named("web.1")!;
  const after = world(t, before);
  after.session.send({ full: true, tasks: [{ ...task, status: before.last(task)! }] });
  await after.until(() => after.network.calls.filter((c) => c.startsWith("join")).length === 2);
  deepEqual([after.engine.named("web.1")?.id, after.engine.named("web.1")?.pid], [id, pid]);
  equal(after.states(task).length, 0, "nothing new to report");
  after.engine.die(id, 1);
  await after.until(() => after.last(task)?.state === "failed");
});

test("a start whose report was lost is reported by the next daemon", async (t) => {
  const before = new World();
  const task = aTask();
  before.session.send({ full: true, tasks: [task] });
  await before.running(task);
  await before.agent.stop();
  const after = world(t, before);
  after.session.send({ full: true, tasks: [{ ...task, status: { timestamp: "", state: "preparing", message: "" } }] });
  await after.running(task);
  equal(after.engine.containers.size, 1);
});

test("a process that died while no daemon ran is reported by the next one", async (t) => {
  const before = new World();
  const task = aTask();
  before.session.send({ full: true, tasks: [task] });
  await before.running(task);
  await before.agent.stop();
  before.engine.die(before.engine.named("web.1")!.id, 3);
  const after = world(t, before);
  after.session.send({ full: true, tasks: [{ ...task, status: before.last(task)! }] });
  await after.until(() => after.last(task)?.err === "task: non-zero exit (3)");
});

test("containers and sandboxes that no task owns are removed at start", async (t) => {
  const before = new World();
  const [stray, kept] = [aTask({ slot: 1 }), aTask({ slot: 2 })];
  before.session.send({ full: true, tasks: [stray, kept] });
  await before.running(stray);
  await before.running(kept);
  await before.agent.stop();
  const after = world(t, before);
  after.session.send({ full: true, tasks: [{ ...kept, status: before.last(kept)! }] });
  await after.until(() => after.engine.containers.size === 1 && after.network.sandboxes.size === 1);
  deepEqual([...after.network.sandboxes.keys()], [sandboxIdOf(kept.id)]);
});

test("a process that ends between the list of containers and its adoption is not taken for a running one", async (t) => {
  const before = new World();
  const task = aTask();
  before.session.send({ full: true, tasks: [task] });
  await before.running(task);
  await before.agent.stop();
  const { id } = before.engine.named("web.1")!;
  const listed = before.engine.listContainers;
  before.engine.listContainers = async () => {
    const containers = await listed();
    before.engine.die(id, 9); // nobody is there yet to hear of it
    return containers;
  };
  const after = world(t, before);
  after.session.send({ full: true, tasks: [{ ...task, status: before.last(task)! }] });
  await after.until(() => after.last(task)?.err === "task: non-zero exit (9)");
  equal(after.network.sandboxes.size, 0);
});
