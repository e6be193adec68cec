// The walk of the demo, step by step as a test: how load is balanced inside a cluster, through the real docker command.
import { after, before, suite, test } from "node:test";
import { noFacts, WALK } from "../../src/cli/walk.ts";
import { balancerOf, runStep } from "../../src/cli/walk-run.ts";
import { Host } from "./host.ts";

suite("the walk", () => {
  let host: Host;
  before(async () => {
    host = Host.create();
    await host.up();
    await host.images();
  });
  after(() => host.remove());

  test("every step shows what it says", async (t) => {
    const facts = noFacts(host.netnsDir);
    for (const step of WALK) {
      if (step.balancer && step.balancer !== (await balancerOf(facts))) continue;
      await t.test(step.checks, () => runStep(step, facts, { env: host.env }));
    }
  });
});
