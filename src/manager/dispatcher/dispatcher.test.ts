// What nodes are told and what they tell: order of messages, differences, reports, presence.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import type { Assignments } from "../../model/assignment.ts";
import { hasCode } from "../../model/errors.ts";
import { type NodeId, newId, type TaskId } from "../../model/ids.ts";
import { World } from "../testing/world.ts";
import { difference } from "./assignment-diff.ts";
import { assignmentsFor } from "./assignments.ts";

/** Plays the messages back: what the node must believe in the end; and no task before its networks, no network gone before its tasks. */
function replay(messages: readonly Assignments[]) {
  const networks = new Set<string>();
  const services = new Map<string, unknown>();
  const tasks = new Map<string, string>();
  for (const m of messages) {
    if (m.full) for (const known of [networks, services, tasks]) known.clear();
    for (const n of m.networks) networks.add(n.id);
    for (const s of m.services) services.set(s.id, s);
    for (const t of m.tasks) {
      tasks.set(t.id, t.desiredState);
      if (t.desiredState === "running")
        for (const n of t.networks) ok(networks.has(n.networkId), "its network is known");
    }
    for (const id of m.removed.tasks) tasks.delete(id);
    for (const id of m.removed.services) services.delete(id);
    for (const id of m.removed.networks) networks.delete(id);
  }
  return { networks, services, tasks };
}

test("the messages add up to what a new session would be told", async () => {
  const w = await World.start();
  const [a, b] = [await w.network("a"), await w.network("b")];
  const web = await w.create({ name: "web", replicas: 2, networks: [a] });
  const db = await w.create({ name: "db", networks: [a, b] });
  await w.agent.report(w.running(web.id)[0]!.id, "failed");
  await w.advance(5_000);
  await w.scale(web.id, 3);
  await w.remove(db.id);
  const known = replay(w.agent.messages);
  const now = assignmentsFor(w.store.view, w.agent.nodeId);
  deepEqual([...known.networks].sort(), [...now.networks.keys()].sort());
  deepEqual([...known.services.values()], [...now.services.values()]);
  deepEqual([...known.tasks].sort(), [...now.tasks].map(([id, t]) => [id, t.desiredState]).sort());
  equal(known.networks.size, 2, "ingress and a; b has gone with its last task");
  equal(known.tasks.size, 4, "three that run, and one in the history");
  await w.stop();
});

test("a network is told whole", async () => {
  const w = await World.start();
  const net = await w.network("net", { Internal: true, Options: { "com.docker.network.driver.mtu": "1400" } });
  await w.create({ networks: [net], template: { Networks: [{ Target: net.id, Aliases: ["www"] }] } });
  const { networks, services } = assignmentsFor(w.store.view, w.agent.nodeId);
  deepEqual(networks.get(net.id), {
    id: net.id,
    name: "net",
    vni: 4097,
    mtu: 1400,
    subnets: [{ subnet: "10.0.1.0/24", gateway: "10.0.1.1" }],
    lbAddresses: ["10.0.1.4/24"],
    internal: true,
    ingress: false,
    options: net.spec.Options,
  });
  const [service] = services.values();
  deepEqual(
    [service?.mode, service?.virtualIPs, service?.aliases],
    ["vip", [{ networkId: net.id, addr: "10.0.1.2/24" }], { [net.id]: ["www"] }],
  );
  await w.stop();
});

test("a node is not told what it said itself", async () => {
  const w = await World.start();
  await w.create({});
  const before = assignmentsFor(w.store.view, w.agent.nodeId);
  await w.agent.report(w.tasks()[0]!.id, "running", { message: "healthy" });
  equal(w.tasks()[0]?.status.message, "healthy");
  equal(difference(before, assignmentsFor(w.store.view, w.agent.nodeId), 1), undefined);
  await w.stop();
});

test("late, strange and repeated reports change nothing", async () => {
  const w = await World.start({ nodes: 2 });
  await w.create({});
  const task = w.running()[0]!;
  const owner = w.agentOf(task);
  const other = w.agents.find((a) => a !== owner)!;
  const { revision } = w.store.view;
  await owner.report(task.id, "preparing");
  await other.report(task.id, "failed");
  await owner.report(newId<TaskId>(), "failed");
  await owner.report(task.id, "running", { timestamp: "2027-01-01T00:00:00.000000000Z" });
  equal(w.store.view.revision, revision);
  equal(w.store.view.get("task", task.id)?.startedAt, task.status.timestamp);
  await w.stop();
});

test("reports that come together are one transaction", async () => {
  const w = await World.start();
  w.agent.behave = () => "stay";
  const service = await w.create({ replicas: 20 });
  const { revision } = w.store.view;
  await Promise.all(w.tasks(service.id).map((t) => w.agent.report(t.id, "ready")));
  equal(w.store.view.revision, revision + 1);
  await w.stop();
});

test("unknown nodes are turned away, and everybody when the manager has stopped", async () => {
  const w = await World.start();
  const description = w.store.view.all("node")[0]!.description;
  const { dispatcher } = w.manager;
  await rejects(dispatcher.connect(newId<NodeId>(), description), (e) => hasCode(e, "not_found"));
  await w.manager.stop();
  await rejects(dispatcher.connect(w.agent.nodeId, description), (e) => hasCode(e, "unavailable"));
  await w.stop();
});

test("a node that connects again in time has never been away", async () => {
  const w = await World.start();
  await w.create({});
  const before = w.running().map((t) => t.id);
  await w.advance(60_000);
  await w.agent.stop();
  await w.advance(14_000);
  const again = await w.connect(w.agent.nodeId);
  await w.advance(60_000);
  deepEqual(
    w.running().map((t) => t.id),
    before,
  );
  equal(again.messages[0]?.full, true);
  await w.stop();
});
