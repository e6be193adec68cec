import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { newHexId, newId, type TaskId } from "../model/ids.ts";
import type { Service } from "../model/objects.ts";
import { addTask, at } from "./testing/tasks.ts";
import { type Answer, aService, swarmWorld, type World } from "./testing/world.ts";

const messageIn = (answer: Answer) => (answer.json as { message: string }).message;

async function web(w: World, changes: object = {}): Promise<Service> {
  await w.ask("POST", "/services/create", { body: aService(changes) });
  return w.store.view.byName("service", "web")[0]!;
}

test("tasks are filtered by service, node, state, name, and whether they are up to date", async (t) => {
  const w = await swarmWorld(t);
  const of = await web(w, { Labels: { tier: "front" } });
  const { nodeId } = w.swarm.active()!;
  const old = await addTask(w, of, 1, {
    ...at("running", "shutdown"),
    specVersion: 0,
    spec: { ContainerSpec: { Image: "old" } },
    nodeId,
  });
  const now = await addTask(w, of, 1, { nodeId });
  await w.store.update((tx) => {
    tx.create<"task">({ ...now, id: newId<TaskId>(), serviceId: undefined, serviceName: "box" } as never);
  });
  const list = async (filters: object) => {
    const answer = await w.ask("GET", "/tasks", { query: { filters: JSON.stringify(filters) } });
    return (answer.json as { ID: string }[]).map((task) => task.ID);
  };
  deepEqual(await list({}), [old.id, now.id]);
  deepEqual(await list({ service: ["web"], "_up-to-date": { true: true } }), [now.id]);
  const same = await addTask(w, of, 2, { specVersion: 0, nodeId });
  deepEqual(
    (await list({ service: ["web"], "_up-to-date": { true: true } })).sort(),
    [now.id, same.id].sort(),
    "an older version of the same spec, as after a rollback, is up to date",
  );
  await w.store.update((tx) => tx.remove("task", same.id));
  deepEqual(await list({ "desired-state": ["running"] }), [now.id]);
  deepEqual(await list({ node: ["self"] }), [old.id, now.id]);
  deepEqual(await list({ node: ["vm"], id: [old.id.slice(0, 8)] }), [old.id]);
  deepEqual(await list({ name: ["web.1"] }), [old.id, now.id]);
  deepEqual(await list({ label: ["tier=front"] }), [old.id, now.id]);
  const nobody = await w.ask("GET", "/tasks", { query: { filters: '{"service":["nosuch"]}' } });
  deepEqual([nobody.status, messageIn(nobody)], [404, "service nosuch not found"]);
  const odd = await w.ask("GET", "/tasks", { query: { filters: '{"desired-state":["lost"]}' } });
  deepEqual([odd.status, messageIn(odd)], [400, "Invalid desired-state filter: 'lost'"]);
  equal((await w.ask("GET", `/tasks/web.1.${now.id}`)).status, 200);
});

test("a failed task tells its error and exit code", async (t) => {
  const w = await swarmWorld(t);
  const of = await web(w);
  const status = {
    timestamp: "2026-01-01T00:00:00Z",
    state: "failed",
    message: "started",
    err: "task: non-zero exit (1)",
    container: { id: newHexId(), pid: 0, exitCode: 1 },
  } as const;
  const task = await addTask(w, of, 1, { status, desiredState: "shutdown" });
  const shown = (await w.ask("GET", `/tasks/${task.id}`)).json as { Status: object; NodeID?: string };
  deepEqual(shown.Status, {
    Timestamp: status.timestamp,
    State: "failed",
    Message: "started",
    Err: status.err,
    ContainerStatus: { ContainerID: status.container.id, PID: 0, ExitCode: 1 },
    PortStatus: {},
  });
  equal("NodeID" in shown, false);
});
