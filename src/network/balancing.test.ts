// A service's VIP seen by clients, in real namespaces: who answers, from which address, and what happens as replicas come and go.
import { deepEqual, equal, ok } from "node:assert/strict";
import test from "node:test";
import { aNetwork, aService, Lab, PORT } from "./test-lab.ts";

const VIP = "10.50.1.2";

async function world(t: test.TestContext, replicas: number) {
  const lab = await Lab.open(t);
  const net = aNetwork();
  const web = aService("web", net, VIP);
  await lab.apply([net], [web], true);
  const tasks = [];
  for (let i = 0; i < replicas; i++) tasks.push(await lab.run(web, net, `10.50.1.${10 + i}`));
  const visitor = await lab.run(undefined, net, "10.50.1.100");
  return { lab, net, web, tasks, client: lab.client(visitor.sandbox.netnsPath) };
}

function counts(lines: readonly string[]): number[] {
  const by = new Map<string, number>();
  for (const line of lines) by.set(line, (by.get(line) ?? 0) + 1);
  return [...by.values()].sort();
}

for (const replicas of [2, 3]) {
  test(`connections go round ${replicas} replicas in turn, each seeing the balancer's address`, async (t) => {
    const { client, tasks } = await world(t, replicas);
    const { answer } = await client.ask(`tcp ${VIP} ${PORT} ${replicas * 20}`);
    deepEqual(counts(answer), Array(replicas).fill(20));
    deepEqual(new Set(answer), new Set(tasks.map((task) => `${task.name} 10.50.1.254`)));
    for (let i = replicas; i < answer.length; i++) equal(answer[i], answer[i - replicas]);
  });
}
