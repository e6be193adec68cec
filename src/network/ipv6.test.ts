// A network of both families, within one node: addresses, names and the balancer speak IPv6 as they speak IPv4.
import { deepEqual, equal, match } from "node:assert/strict";
import net from "node:net";
import test, { type TestContext } from "node:test";
import { tcpListenerIn } from "../kernel/index.ts";
import type { NetworkAssignment, ServiceAssignment } from "../model/assignment.ts";
import { newId, type TaskId } from "../model/ids.ts";
import { sandboxIdOf } from "./names.ts";
import type { Sandbox } from "./port.ts";
import { aNetwork, aService, Lab, PORT } from "./test-lab.ts";

const VIP = "fd00:96::2";
const LB = "fd00:96::fe";

/** A task at 10.96.1.<n> and fd00:96::<n>, with a server that tells its name and who asks. */
async function aTask(t: TestContext, lab: Lab, network: NetworkAssignment, n: number, service?: ServiceAssignment) {
  const taskId = newId<TaskId>();
  const id = sandboxIdOf(taskId);
  const taskName = `${service?.name ?? "alone"}.${n}`;
  const attachments = [{ networkId: network.id, addresses: [`10.96.1.${n}/24`, `fd00:96::${n}/64`], aliases: [] }];
  const more = { serviceId: service?.id, serviceName: service?.name ?? "alone", dns: {}, hosts: [] };
  const sandbox: Sandbox = await lab.network.ensureSandbox({ id, taskId, taskName, attachments, ...more });
  const server = net.createServer((s) => s.on("error", () => {}).end(`${taskName} ${s.remoteAddress}\n`));
  await new Promise<void>((up) => server.listen({ fd: tcpListenerIn(sandbox.netnsPath, "::", PORT) }, () => up()));
  t.after(() => server.close());
  await lab.network.join(id);
  return { id, netns: sandbox.netnsPath };
}

test("a service's IPv6 VIP: connections in turn from the balancer's address, refused without a replica, ping, AAAA", async (t) => {
  const lab = await Lab.open(t);
  const network = aNetwork(96, {
    subnets: [
      { subnet: "10.96.1.0/24", gateway: "10.96.1.1" },
      { subnet: "fd00:96::/64", gateway: "fd00:96::1" },
    ],
    lbAddresses: ["10.96.1.254/24", `${LB}/64`],
  });
  const virtualIPs = [{ networkId: network.id, addr: "10.96.1.2/24", addr6: `${VIP}/64` }];
  const web = { ...aService("web", network, "10.96.1.2"), virtualIPs };
  await lab.apply([network], [web], true);
  const a = await aTask(t, lab, network, 10, web);
  const b = await aTask(t, lab, network, 11, web);
  const visitor = await aTask(t, lab, network, 20);
  const client = lab.client(visitor.netns);
  const { lines } = await client.ask(`tcp ${VIP} ${PORT} 6`);
  deepEqual(lines.slice(0, 2).sort(), [`web.10 ${LB}`, `web.11 ${LB}`]);
  deepEqual(lines.slice(2), [...lines.slice(0, 2), ...lines.slice(0, 2)]);
  match(await lab.exec(visitor.netns, "ping", "-6", "-c", "1", "-W", "2", VIP), /1 received/);
  const names = await lab.exec(visitor.netns, "busybox", "nslookup", "-type=aaaa", "web", "127.0.0.11");
  match(names, new RegExp(`Address: ${VIP}`));
  for (const { id } of [a, b]) await lab.network.leave(id);
  equal((await client.ask(`tcp ${VIP} ${PORT} 1`)).error, "ECONNREFUSED");
});
