// A service's VIP seen by clients, in real namespaces: who answers, from which address, and what happens as replicas come and go.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { connections, flushConntrack } from "../kernel/index.ts";
import { aNetwork, aService, Lab, PORT, type Task } from "./test-lab.ts";

const VIP = "10.50.1.2";
const LB = "10.50.1.254";

async function world(t: TestContext, replicas: number) {
  const lab = await Lab.open(t);
  const net = aNetwork();
  const web = aService("web", net, VIP);
  await lab.apply([net], [web], true);
  const tasks: Task[] = [];
  for (let i = 0; i < replicas; i++) tasks.push(await lab.run(web, net, `10.50.1.${10 + i}`));
  const visitor = await lab.run(undefined, net, "10.50.1.100");
  const lbNetns = lab.network.inspectNetwork(net.id)!.lbNetns;
  return { lab, net, web, tasks, visitor, lbNetns, client: lab.client(visitor.sandbox.netnsPath) };
}

function answersOf(lines: readonly string[]): Map<string, number> {
  const by = new Map<string, number>();
  for (const line of lines) by.set(line, (by.get(line) ?? 0) + 1);
  return by;
}

for (const replicas of [2, 3]) {
  test(`connections go round ${replicas} replicas in turn, each seeing the balancer's address`, async (t) => {
    const { client, tasks } = await world(t, replicas);
    const { lines } = await client.ask(`tcp ${VIP} ${PORT} ${replicas * 20}`);
    deepEqual(answersOf(lines), new Map(lines.slice(0, replicas).map((line) => [line, 20])));
    deepEqual(new Set(lines), new Set(tasks.map((task) => `${task.name} ${LB}`)));
    for (let i = replicas; i < lines.length; i++) equal(lines[i], lines[i - replicas]);
  });
}

test("the VIP answers a ping, with replicas and without", async (t) => {
  const { lab, tasks, visitor } = await world(t, 1);
  const ping = () => lab.exec(visitor.sandbox.netnsPath, "ping", "-c", "2", "-i", "0.2", "-W", "2", VIP);
  match(await ping(), /2 packets transmitted, 2 (packets )?received/);
  await lab.network.leave(tasks[0]!.spec.id);
  match(await ping(), /2 packets transmitted, 2 (packets )?received/);
});

test("a replica reaches its own service through the VIP, and may be picked itself", async (t) => {
  const { lab, tasks } = await world(t, 1);
  const client = lab.client(tasks[0]!.sandbox.netnsPath);
  deepEqual((await client.ask(`tcp ${VIP} ${PORT} 3`)).lines, Array(3).fill(`${tasks[0]!.name} ${LB}`));
});

test("a draining replica gets no new connections and keeps those it has", async (t) => {
  const { lab, net, web, client, tasks } = await world(t, 1);
  const [old] = tasks as [Task];
  equal((await client.ask(`open ${VIP} ${PORT}`)).line, `${old.name} ${LB}`);
  const next = await lab.run(web, net, "10.50.1.20");
  await lab.network.drain(old.spec.id);
  const { lines } = await client.ask(`tcp ${VIP} ${PORT} 6`);
  deepEqual(lines, Array(6).fill(`${next.name} ${LB}`));
  equal((await client.ask("say still-here")).line, `${old.name} still-here`);
  await lab.network.leave(old.spec.id);
  equal((await client.ask("say and-now")).line, `${old.name} and-now`);
});

test("a service without replicas refuses at once, TCP and UDP, and works when one comes", async (t) => {
  const { lab, net, web, client, tasks, lbNetns } = await world(t, 1);
  await lab.network.leave(tasks[0]!.spec.id);
  const refused = await client.ask(`tcp ${VIP} ${PORT} 1`);
  equal(refused.error, "ECONNREFUSED");
  ok(refused.ms < 500, `took ${refused.ms} ms`);
  const visitor = lab.client(tasks[0]!.sandbox.netnsPath);
  const silent = visitor.ask(`udp ${VIP} ${PORT}`); // node hears nothing of ICMP on a socket that is not connected
  await lab.until(async () => (await lab.counter(lbNetns, "Icmp: OutDestUnreachs")) > 0);
  const next = await lab.run(web, net, "10.50.1.21");
  deepEqual((await client.ask(`tcp ${VIP} ${PORT} 1`)).lines, [`${next.name} ${LB}`]);
  await silent;
  equal((await visitor.ask(`udp ${VIP} ${PORT}`)).line, `${next.name} ${LB}`);
});

test("a datagram flow stays with its replica, and is steered to another when that leaves", async (t) => {
  const { lab, client, tasks } = await world(t, 2);
  const first = (await client.ask(`udp ${VIP} ${PORT}`)).line;
  for (let i = 0; i < 4; i++) equal((await client.ask(`udp ${VIP} ${PORT}`)).line, first);
  const gone = tasks.find((task) => first.startsWith(task.name))!;
  const other = tasks.find((task) => task !== gone)!;
  await lab.network.leave(gone.spec.id);
  await lab.until(async () => (await client.ask(`udp ${VIP} ${PORT}`)).line === `${other.name} ${LB}`);
});

test("a stream to a replica that was removed is reset at its next packet", async (t) => {
  const { lab, client, tasks, lbNetns } = await world(t, 1);
  await client.ask(`open ${VIP} ${PORT}`);
  const [gone] = tasks as [Task];
  await lab.block(gone); // nothing tells the client: as when a node is unplugged
  await lab.kill(gone);
  await lab.network.removeSandbox(gone.spec.id);
  await lab.until(() => connections(lbNetns, { replySrc: gone.ip }).length === 0);
  equal((await client.ask("say hello")).error, "ECONNRESET");
  equal((await client.ask(`tcp ${VIP} ${PORT} 1`)).error, "ECONNREFUSED");
});

test("a packet of a stream that the balancer does not know is dropped: no replica gets it, and the client no reset", async (t) => {
  const { client, lbNetns } = await world(t, 1);
  equal((await client.ask(`open ${VIP} ${PORT}`)).line.endsWith(LB), true);
  flushConntrack(lbNetns, {});
  // Nobody's business here, and maybe only ours by mistake (moby#40374): a reset would end a stream that may be well.
  equal((await client.ask("say hello")).error, "SILENCE");
  equal((await client.ask(`tcp ${VIP} ${PORT} 1`)).error, "");
});

test("anybody can read the balancer's table: name, VIP, mark and replicas", async (t) => {
  const { lab, lbNetns, tasks } = await world(t, 2);
  const text = await lab.exec(lbNetns, "nft", "list", "table", "ip", "skep");
  match(text, /10\.50\.1\.2 comment "web" : 0x00000100/);
  match(text, /0x00000100 comment "web" : goto service-256/);
  for (const { name, ip } of tasks) ok(text.includes(`comment "${name}" : ${ip}`), text);
  match(text, /comment "web, VIP 10\.50\.1\.2 \(rules [0-9a-f]{12}\)"/);
});

test("the balancer's interface has its own address and each VIP as an alias", async (t) => {
  const { lab, lbNetns } = await world(t, 1);
  const text = await lab.exec(lbNetns, "ip", "-4", "-o", "addr", "show", "dev", "eth0");
  deepEqual(
    [...text.matchAll(/inet (\S+)/g)].map((m) => m[1]),
    [`${LB}/24`, `${VIP}/32`],
  );
  match(await lab.exec(lbNetns, "ip", "link", "show", "eth0"), /02:42:0a:32:01:fe/);
});

test("what the API shows of the network: endpoints, VIP, mark, tasks", async (t) => {
  const { lab, net, tasks } = await world(t, 2);
  const [a, b] = tasks as [Task, Task];
  await lab.network.setContainer(a.spec.id, { containerId: "c".repeat(64), hostname: "cccccccccccc" });
  await lab.network.drain(b.spec.id);
  const status = lab.network.inspectNetwork(net.id)!;
  deepEqual(
    status.endpoints.map((e) => [e.key, e.name, e.ipv4, e.mac]),
    [
      ["c".repeat(64), a.name, "10.50.1.10/24", "02:42:0a:32:01:0a"],
      [b.spec.id, b.name, "10.50.1.11/24", "02:42:0a:32:01:0b"],
      [status.endpoints[2]!.key, status.endpoints[2]!.name, "10.50.1.100/24", "02:42:0a:32:01:64"],
      ["lb-net50", "net50-endpoint", "10.50.1.254/24", "02:42:0a:32:01:fe"],
    ],
  );
  const [service] = status.services;
  deepEqual([service!.name, service!.vip, service!.mark], ["web", VIP, 256]);
  deepEqual(
    service!.tasks.map((task) => [task.name, task.endpointIp, task.weight, task.hostIp]),
    [
      [a.name, "10.50.1.10", 1, "198.51.100.1"],
      [b.name, "10.50.1.11", 0, "198.51.100.1"],
    ],
  );
  deepEqual(lab.network.lbInfo(), { driver: "nft", networks: 1, services: 1, servers: 2, vxlan: true });
});
