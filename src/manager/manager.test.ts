// The manager as a whole: services become running tasks with addresses, and go again. Each loop's finer points are tested in its folder.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock } from "../model/clock.ts";
import { addressOf } from "../model/ip.ts";
import { SqliteBackend } from "../store/index.ts";
import { World } from "./testing/world.ts";

test("a service gets its VIP, its tasks' addresses and the node's load balancer address in Swarm's order", async () => {
  const w = await World.start();
  const net = await w.network("my-swarm-net");
  equal(net.ipam?.configs[0]?.subnet, "10.0.1.0/24");
  equal(net.ipam?.configs[0]?.gateway, "10.0.1.1");
  equal(net.driverState?.vni, 4097);
  const web = await w.create({ name: "web", replicas: 2, networks: [net] });
  deepEqual(web.endpoint?.virtualIPs, [{ networkId: net.id, addr: "10.0.1.2/24" }]);
  deepEqual(w.addresses(web.id), ["10.0.1.3/24", "10.0.1.4/24"]);
  const node = w.store.view.all("node")[0]!;
  deepEqual(
    node.attachments.map((a) => a.addresses[0]),
    ["10.0.0.2/24", "10.0.1.5/24"],
  );
  const client = await w.create({ name: "client", replicas: 1, networks: [net] });
  equal(client.endpoint?.virtualIPs[0]?.addr, "10.0.1.6/24");
  deepEqual(w.addresses(client.id), ["10.0.1.7/24"]);
  equal(w.running().length, 3);
  await w.stop();
});

test("a published service is on the ingress network first", async () => {
  const w = await World.start();
  const net = await w.network("net");
  const ports = [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "ingress" } as const];
  const web = await w.create({ replicas: 2, networks: [net], spec: { EndpointSpec: { Mode: "vip", Ports: ports } } });
  deepEqual(
    web.endpoint?.virtualIPs.map((v) => v.addr),
    ["10.0.0.3/24", "10.0.1.2/24"],
  );
  deepEqual(
    w.alive(web.id).map((t) => t.networks.map((n) => n.addresses[0])),
    [
      ["10.0.0.4/24", "10.0.1.3/24"],
      ["10.0.0.5/24", "10.0.1.4/24"],
    ],
  );
  await w.stop();
});

test("a removed service goes when its last task has stopped, and its VIP with it", async () => {
  const w = await World.start();
  const net = await w.network("net");
  const web = await w.create({ replicas: 2, networks: [net] });
  w.agent.behave = () => "stay";
  const [first] = w.tasks(web.id);
  await w.remove(web.id);
  equal(w.store.view.all("service").length, 0);
  equal(w.tasks().length, 0);
  ok(first && !w.agent.tasks.has(first.id));
  const again = await w.create({ replicas: 2, networks: [net] });
  equal(again.endpoint?.virtualIPs[0]?.addr, "10.0.1.6/24", "addresses rest before they are used again");
  await w.stop();
});

test("a failed task is replaced in its slot after the delay, with new addresses", async () => {
  const w = await World.start();
  const net = await w.network("net");
  const web = await w.create({ replicas: 2, networks: [net] });
  const [victim] = w.tasks(web.id);
  await w.agent.report(victim!.id, "failed", { err: "task: non-zero exit (137)" });
  await w.settled();
  const [old, heir] = w.tasks(web.id);
  equal(old?.id, victim?.id);
  equal(old?.desiredState, "shutdown");
  equal(heir?.slot, 1);
  equal(heir?.desiredState, "ready");
  equal(heir?.status.state, "ready");
  equal(w.running(web.id).length, 1);
  await w.advance(4_999);
  equal(w.running(web.id).length, 1);
  await w.advance(1);
  equal(w.running(web.id).length, 2);
  deepEqual(w.addresses(web.id), ["10.0.1.6/24", "10.0.1.4/24"]);
  await w.stop();
});

test("fifty replicas cost a handful of transactions", async () => {
  const w = await World.start();
  const net = await w.network("net");
  const before = w.store.view.revision;
  const started = performance.now();
  w.agent.behave = () => "stay";
  const web = await w.create({ replicas: 50, networks: [net] });
  const ms = performance.now() - started;
  equal(w.tasks(web.id).filter((t) => t.status.state === "assigned").length, 50);
  const commits = w.store.view.revision - before;
  ok(commits <= 6, `${commits} commits`);
  ok(ms < 200, `${ms} ms`);
  equal(new Set(w.addresses(web.id).map(addressOf)).size, 50);
  await w.stop();
});

test("what cannot be placed says why, and is placed when it can be", async () => {
  const w = await World.start();
  const node = w.store.view.all("node")[0]!;
  await w.store.update((tx) => {
    const now = tx.get("node", node.id)!;
    tx.update<"node">({ ...now, spec: { ...now.spec, Availability: "pause" } });
  });
  const web = await w.create({ replicas: 1 });
  match(w.tasks(web.id)[0]!.status.err ?? "", /^no suitable node \(1 node not available for new tasks\)$/);
  await w.store.update((tx) => {
    const now = tx.get("node", node.id)!;
    tx.update<"node">({ ...now, spec: { ...now.spec, Availability: "active" } });
  });
  await w.settled();
  equal(w.running(web.id).length, 1);
  await w.stop();
});

test("read back from its file, everything is as it was: nothing is restarted, no address changes hands", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "skep-manager-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const backend = () => SqliteBackend.open(join(dir, "skep.db"));
  const clock = new FakeClock();
  const w = await World.start({ backend: backend(), clock });
  const net = await w.network("net");
  const ports = [{ Protocol: "tcp", TargetPort: 80, PublishMode: "ingress" } as const];
  const web = await w.create({ replicas: 3, networks: [net], spec: { EndpointSpec: { Mode: "vip", Ports: ports } } });
  await w.agent.report(w.running()[0]!.id, "failed");
  await w.settled();
  const summary = (of: World) => ({
    tasks: of.tasks().map((x) => [x.id, x.desiredState, x.status.state, x.networks]),
    endpoint: of.service(web.id).endpoint,
    nodes: of.store.view.all("node").map((n) => n.attachments),
  });
  const before = summary(w);
  await w.stop();
  const again = await World.start({ backend: backend(), clock });
  deepEqual(summary(again), before);
  await again.advance(5_000);
  equal(again.running(web.id).length, 3);
  deepEqual(again.warnings, []);
  await again.stop();
});
