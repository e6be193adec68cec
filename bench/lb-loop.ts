// How long the daemon's event loop is held while the data plane works: a network's first sandbox, further ones, its removal, and a restart
// with 1,000 services on one network. Run as root: node bench/lb-loop.ts. Prints JSON: for each what it took, and the longest hold.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { createNetns, deleteNetns, removeNetnsDir } from "../src/kernel/index.ts";
import type { NetworkAssignment, ServiceAssignment } from "../src/model/assignment.ts";
import { systemClock } from "../src/model/clock.ts";
import { type NetworkId, newId, type ServiceId, type TaskId } from "../src/model/ids.ts";
import { silent } from "../src/model/log.ts";
import { createNodeNetwork, type SandboxSpec, sandboxIdOf } from "../src/network/index.ts";

const SERVICES = 1000;
const NOTHING = { networks: [], services: [], tasks: [] };
const dir = mkdtempSync(join(tmpdir(), "skep-bench-"));
const host = join(dir, "ns", "host");
const results: Record<string, { ms: number; held_ms: number }> = {};
const delay = monitorEventLoopDelay({ resolution: 1 });

async function measured(name: string, work: () => Promise<unknown>): Promise<void> {
  await setTimeout(100); // what came before has its own time
  delay.reset();
  const started = performance.now();
  await work();
  const ms = performance.now() - started;
  await setTimeout(20);
  results[name] = { ms: round(ms), held_ms: round(delay.max / 1e6) };
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function network(n: number): NetworkAssignment {
  return {
    id: newId<NetworkId>(),
    name: `net${n}`,
    vni: 4100 + n,
    mtu: 1450,
    subnets: [{ subnet: `10.${n}.0.0/16`, gateway: `10.${n}.0.1` }],
    lbAddresses: [`10.${n}.255.254/16`],
    internal: false,
    ingress: false,
    options: {},
  };
}

function sandbox(net: NetworkAssignment, ip: string, service?: ServiceAssignment): SandboxSpec {
  const taskId = newId<TaskId>();
  const name = service?.name ?? "alone";
  const attachments = [{ networkId: net.id, addresses: [`${ip}/16`], aliases: [] }];
  const id = sandboxIdOf(taskId);
  return {
    id,
    taskId,
    taskName: `${name}.1.${taskId}`,
    serviceId: service?.id,
    serviceName: name,
    attachments,
    dns: {},
    hosts: [],
  };
}

function services(net: NetworkAssignment): ServiceAssignment[] {
  const subnet = net.subnets[0]!.subnet.split(".").slice(0, 2).join(".");
  return Array.from({ length: SERVICES }, (_, i) => ({
    id: newId<ServiceId>(),
    name: `service-${i}`,
    mode: "vip" as const,
    virtualIPs: [{ networkId: net.id, addr: `${subnet}.${100 + (i >> 8)}.${i & 255}/16` }],
    ports: [],
    aliases: {},
    labels: {},
  }));
}

createNetns(host);
delay.enable();
const options = { execRoot: join(dir, "run"), log: silent, clock: systemClock, hostNetns: host };
let node = createNodeNetwork(options);
try {
  await measured("start", () => node.start());
  for (const round of ["cold", "warm", "warm again"]) {
    const net = network(50);
    await node.apply({ full: false, networks: [net], services: [], removed: NOTHING });
    const [first, second] = [sandbox(net, "10.50.1.1"), sandbox(net, "10.50.1.2")];
    await measured(`first sandbox, ${round}`, () => node.ensureSandbox(first));
    await measured(`second sandbox, ${round}`, () => node.ensureSandbox(second));
    for (const { id } of [first, second]) await measured(`sandbox removed, ${round}`, () => node.removeSandbox(id));
    const removed = { ...NOTHING, networks: [net.id] };
    await measured(`network removed, ${round}`, () => node.apply({ full: false, networks: [], services: [], removed }));
  }
  const net = network(51);
  const many = services(net);
  await node.apply({ full: true, networks: [net], services: many, removed: NOTHING });
  const spec = sandbox(net, "10.51.1.1", many[0]);
  await measured(`${SERVICES} services: first sandbox`, () => node.ensureSandbox(spec));
  await measured(`${SERVICES} services: join`, () => node.join(spec.id));
  await measured(`${SERVICES} services: drain`, () => node.drain(spec.id));
  await measured(`${SERVICES} services: leave`, () => node.leave(spec.id));
  await node.stop();
  node = createNodeNetwork(options);
  await measured(`${SERVICES} services: restart`, () => node.start());
  await measured(`${SERVICES} services: full set again`, () =>
    node.apply({ full: true, networks: [net], services: many, removed: NOTHING }),
  );
  await measured(`${SERVICES} services: sweep`, () => node.sweep({ sandboxIds: [spec.id] }));
} finally {
  await node.purge();
  deleteNetns(host);
  removeNetnsDir(join(dir, "ns"));
  rmSync(dir, { recursive: true, force: true });
}
console.table(results);
console.log(JSON.stringify(results));
