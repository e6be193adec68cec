// Where tasks go, and what is said when they cannot.
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "../../model/objects.ts";
import type { PortConfig, TaskSpec } from "../../model/spec.ts";
import { NANOSECONDS, World } from "../testing/world.ts";
import { filtersFor, Verdicts } from "./filters.ts";
import { emptyLoad } from "./node-load.ts";

const reserve = (NanoCPUs: number, MemoryBytes = 0): TaskSpec => ({
  Resources: { Reservations: { NanoCPUs, MemoryBytes } },
});
const place = (Placement: TaskSpec["Placement"]): TaskSpec => ({ ...(Placement ? { Placement } : {}) });

const cases: readonly [what: string, template: TaskSpec, node: (n: Node) => Node, expected: string | undefined][] = [
  ["an ordinary task", {}, (n) => n, undefined],
  [
    "a paused node",
    {},
    (n) => ({ ...n, spec: { ...n.spec, Availability: "pause" } }),
    "1 node not available for new tasks",
  ],
  [
    "a node that is down",
    {},
    (n) => ({ ...n, status: { ...n.status, state: "down" } }),
    "1 node not available for new tasks",
  ],
  ["enough CPUs", reserve(4 * NANOSECONDS), (n) => n, undefined],
  ["too few CPUs", reserve(4 * NANOSECONDS + 1), (n) => n, "insufficient resources on 1 node"],
  ["too little memory", reserve(0, 2 ** 40), (n) => n, "insufficient resources on 1 node"],
  ["a role that fits", place({ Constraints: ["node.role==manager"] }), (n) => n, undefined],
  [
    "a role that doesn't",
    place({ Constraints: ["node.role == worker"] }),
    (n) => n,
    "scheduling constraints not satisfied on 1 node",
  ],
  [
    "a label that is absent",
    place({ Constraints: ["node.labels.zone==a"] }),
    (n) => n,
    "scheduling constraints not satisfied on 1 node",
  ],
  ["a label that must differ", place({ Constraints: ["node.labels.zone!=a"] }), (n) => n, undefined],
  [
    "a label",
    place({ Constraints: ["node.labels.Zone==A"] }),
    (n) => ({ ...n, spec: { ...n.spec, Labels: { Zone: "a" } } }),
    undefined,
  ],
  ["the address", place({ Constraints: ["node.ip==192.168.56.0/24"] }), (n) => n, undefined],
  [
    "another platform",
    place({ Platforms: [{ OS: "windows", Architecture: "amd64" }] }),
    (n) => n,
    "unsupported platform on 1 node",
  ],
  [
    "the same platform by its other name",
    place({ Platforms: [{ OS: "linux", Architecture: "amd64" }] }),
    (n) => n,
    undefined,
  ],
];
for (const [what, spec, change, expected] of cases) {
  test(`filters: ${what}`, async () => {
    const w = await World.start();
    await w.create({});
    const verdicts = new Verdicts(filtersFor({ ...w.tasks()[0]!, spec }));
    equal(verdicts.admits(emptyLoad(change(w.store.view.all("node")[0]!))), expected === undefined);
    equal(verdicts.explain(), expected ? `no suitable node (${expected})` : "no suitable node");
    await w.stop();
  });
}

test("tasks are spread: first by service, then by what the nodes have", async () => {
  const w = await World.start({ nodes: 3 });
  await w.create({ name: "a", replicas: 2 });
  const counts = () => w.store.view.all("node").map((n) => w.running().filter((t) => t.nodeId === n.id).length);
  deepEqual(counts().sort(), [0, 1, 1]);
  await w.create({ name: "b", replicas: 1 });
  deepEqual(counts(), [1, 1, 1]);
  await w.create({ name: "c", replicas: 6 });
  deepEqual(counts(), [3, 3, 3]);
  await w.stop();
});

test("a host-mode port is one task's a node, until that has stopped", async () => {
  const w = await World.start({ nodes: 2 });
  const port: PortConfig = { Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" };
  const service = await w.create({ replicas: 3, spec: { EndpointSpec: { Ports: [port] } } });
  equal(w.running().length, 2);
  const waiting = w.alive().find((t) => !t.nodeId);
  equal(waiting?.status.err, "no suitable node (host-mode port already in use on 2 nodes)");
  await w.scale(service.id, 2);
  equal(w.running().length, 2);
  await w.update(service.id, (s) => ({ ...s, TaskTemplate: { ...s.TaskTemplate, ForceUpdate: 1 } }));
  await w.advance(30_000);
  equal(w.running().filter((t) => t.spec.ForceUpdate === 1).length, 2, "an update finds its port free again");
  await w.stop();
});

test("reserved resources are full, and free again when a task has gone", async () => {
  const w = await World.start();
  const half: TaskSpec = { Resources: { Reservations: { MemoryBytes: 4 * 2 ** 30 } } };
  const a = await w.create({ name: "a", replicas: 2, template: half });
  const b = await w.create({ name: "b", replicas: 1, template: half });
  equal(w.tasks(b.id)[0]?.status.err, "no suitable node (insufficient resources on 1 node)");
  await w.scale(a.id, 1);
  equal(w.running(b.id).length, 1);
  equal(w.tasks(b.id)[0]?.status.err, undefined);
  await w.stop();
});

test("no more replicas a node than allowed", async () => {
  const w = await World.start({ nodes: 2 });
  await w.create({ replicas: 3, template: { Placement: { MaxReplicas: 1 } } });
  equal(w.running().length, 2);
  equal(w.alive().find((t) => !t.nodeId)?.status.err, "no suitable node (max replicas per node limit exceed)");
  await w.stop();
});
