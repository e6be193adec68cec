// A daemon that dies, and its successor: what runs is taken over untouched, what is stray is removed, and purge leaves the host as it was found.
import { deepEqual, equal, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { setTimeout } from "node:timers/promises";
import { createNetns, deleteNetns, RtNetlink } from "../kernel/index.ts";
import { newId, type TaskId } from "../model/ids.ts";
import { sandboxIdOf } from "./names.ts";
import type { SandboxSpec } from "./port.ts";
import { aNetwork, aService, Lab, PORT } from "./test-lab.ts";

const VIP = "10.80.1.2";

test("a new daemon takes over: nothing in the kernel changes, traffic goes on, names resolve before it was told anything", async (t) => {
  const lab = await Lab.open(t);
  const net = aNetwork(80);
  const web = aService("web", net, VIP);
  await lab.apply([net], [web], true);
  const a = await lab.run(web, net, "10.80.1.10");
  await lab.run(web, net, "10.80.1.11");
  const visitor = await lab.run(undefined, net, "10.80.1.100");
  const client = lab.client(visitor.sandbox.netnsPath);
  await client.ask(`open ${VIP} ${PORT}`);
  const { lbNetns, overlayNetns } = lab.network.inspectNetwork(net.id)!;
  const all = [lab.host, lbNetns, overlayNetns, a.sandbox.netnsPath, visitor.sandbox.netnsPath];
  const dumps = () => Promise.all(all.map((netns) => lab.dump(netns)));
  const before = await dumps();
  const status = lab.network.inspectNetwork(net.id);

  await lab.crash();
  deepEqual(await dumps(), before);
  equal((await client.ask("say still-here")).line.split(" ")[1], "still-here");
  equal(new Set((await client.ask(`tcp ${VIP} ${PORT} 4`)).lines).size, 2);
  deepEqual(lab.network.inspectNetwork(net.id), status);
  const answer = await lab.exec(visitor.sandbox.netnsPath, "busybox", "nslookup", "-type=a", "web", "127.0.0.11");
  ok(answer.includes(VIP), answer);

  await lab.apply([net], [web], true);
  deepEqual(await lab.network.ensureSandbox(a.spec), a.sandbox);
  await lab.network.join(a.spec.id);
  await lab.network.sweep({ sandboxIds: [...lab.tasks.keys()] });
  deepEqual(await dumps(), before);
  const service = aService("other", net, "10.80.1.3");
  await lab.apply([], [service]);
  equal(lab.network.inspectNetwork(net.id)!.services.find((s) => s.name === "other")!.mark, 257);
});

test("a drained and a left task are still so after a crash", async (t) => {
  const lab = await Lab.open(t);
  const net = aNetwork(81);
  const web = aService("web", net, "10.81.1.2");
  await lab.apply([net], [web], true);
  const [a, b, c] = [
    await lab.run(web, net, "10.81.1.10"),
    await lab.run(web, net, "10.81.1.11"),
    await lab.run(web, net, "10.81.1.12"),
  ];
  await lab.network.drain(a.spec.id);
  await lab.network.leave(b.spec.id);
  await lab.crash();
  deepEqual(
    lab.network.inspectNetwork(net.id)!.services[0]!.tasks.map((task) => [task.name, task.weight]),
    [
      [a.name, 0],
      [c.name, 1],
    ],
  );
});

test("sweep removes what nothing names, and only what is on file as ours", async (t) => {
  const lab = await Lab.open(t);
  const [net, old] = [aNetwork(82), aNetwork(83)];
  const [web, gone] = [aService("web", net, "10.82.1.2"), aService("gone", net, "10.82.1.3")];
  await lab.apply([net, old], [web, gone], true);
  const a = await lab.run(web, net, "10.82.1.10");
  const b = await lab.run(web, net, "10.82.1.11");
  const c = await lab.run(undefined, old, "10.83.1.10");
  await lab.crash();
  const netns = join(lab.execRoot, "netns");
  const others = ["0123456789ab", "lb_123456789", "1-1234567890"]; // names like ours: a dockerd's, or anybody's
  for (const name of others) createNetns(join(netns, name));
  await lab.apply([net], [web], true);
  for (const task of [b, c]) await lab.kill(task);
  await lab.network.sweep({ sandboxIds: [a.spec.id] });
  const key = net.id.slice(0, 10);
  const files = lab.netnsFiles();
  for (const name of others) deleteNetns(join(netns, name));
  deepEqual(files, [`1-${key}`, `lb_${key.slice(0, 9)}`, a.spec.id.slice(0, 12), ...others].sort());
  const lb = lab.network.inspectNetwork(net.id)!.lbNetns;
  using rt = RtNetlink.open(lb);
  deepEqual(
    rt.addresses("eth0").map((x) => x.cidr),
    ["10.82.1.254/24", "10.82.1.2/32"],
  );
  const rules = await lab.exec(lb, "nft", "list", "table", "ip", "skep");
  ok(!rules.includes('"gone') && !rules.includes("10.82.1.11") && rules.includes("10.82.1.10"), rules);
});

test("purge leaves the host as it was found", async (t) => {
  const lab = await Lab.open(t);
  const before = await lab.dump(lab.host);
  const net = aNetwork(84, { ingress: true, name: "ingress" });
  const web = aService("web", net, "10.84.1.2");
  await lab.apply([net], [web], true);
  await lab.run(web, net, "10.84.1.10");
  await lab.crash();
  await lab.killAll();
  await lab.network.purge();
  equal(await lab.dump(lab.host), before);
  ok(!existsSync(lab.execRoot), `left: ${existsSync(lab.execRoot) && readdirSync(lab.execRoot)}`);
});

test("killed at any moment, the successor repairs or removes everything", async (t) => {
  const lab = await Lab.open(t);
  const before = await lab.dump(lab.host);
  const net = aNetwork(85);
  const web = aService("web", net, "10.85.1.2");
  const assigned = { full: true, networks: [net], services: [web], removed: { networks: [], services: [], tasks: [] } };
  const specs = Array.from({ length: 4 }, (_, i): SandboxSpec => {
    const taskId = newId<TaskId>();
    const attachments = [{ networkId: net.id, addresses: [`10.85.1.${10 + i}/24`], aliases: [] }];
    const name = `web.${i}.${taskId}`;
    return {
      id: sandboxIdOf(taskId),
      taskId,
      taskName: name,
      serviceId: web.id,
      serviceName: "web",
      attachments,
      dns: {},
      hosts: [],
    };
  });
  const options = { execRoot: lab.execRoot, hostNetns: lab.host };
  await lab.network.stop();
  for (let round = 0; round < 8; round++) {
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, "test-builder.ts"), JSON.stringify({ options, assigned, specs })],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    await once(child.stdout, "data");
    await setTimeout(Math.random() * 60); // any moment: that is the point
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  await lab.restart();
  await lab.network.apply(assigned);
  for (const spec of specs) await lab.network.ensureSandbox(spec);
  for (const spec of specs) await lab.network.join(spec.id);
  await lab.network.sweep({ sandboxIds: specs.map((s) => s.id) });
  const [service] = lab.network.inspectNetwork(net.id)!.services;
  deepEqual([service!.mark, service!.tasks.length], [256, 4]);
  equal(lab.netnsFiles().length, specs.length + 2);
  using rt = RtNetlink.open(lab.network.inspectNetwork(net.id)!.overlayNetns);
  await lab.until(() => rt.links().filter((l) => l.kind === "veth").length === specs.length + 1);
  await lab.network.purge();
  equal(await lab.dump(lab.host), before);
});
