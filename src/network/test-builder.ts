// A daemon that builds and removes without end, for takeover.test.ts to kill. Argument: JSON of the options and the assignment.
import { systemClock } from "../model/clock.ts";
import { silent } from "../model/log.ts";
import { createNodeNetwork } from "./node-network.ts";
import type { NodeNetwork, SandboxSpec } from "./port.ts";

const { options, assigned, specs } = JSON.parse(process.argv[2]!) as {
  options: { execRoot: string; hostNetns: string };
  assigned: Parameters<NodeNetwork["apply"]>[0];
  specs: SandboxSpec[];
};
const network = createNodeNetwork({ ...options, log: silent, clock: systemClock });
await network.start();
await network.apply(assigned);
console.log("ready");
for (;;) {
  for (const { id } of specs) await network.removeSandbox(id);
  for (const spec of specs) {
    await network.ensureSandbox(spec);
    await network.setContainer(spec.id, { containerId: spec.id, hostname: spec.id.slice(0, 12) });
    await network.join(spec.id);
  }
  for (const { id } of specs) await network.drain(id);
}
