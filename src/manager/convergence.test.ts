// Whatever is asked for and whatever breaks, in whatever order: no rule is broken on the way, and at the end everything is as it should be.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Task } from "../model/objects.ts";
import { isOutdated } from "../model/outdated.ts";
import type { NodeAvailability, ServiceSpec } from "../model/spec.ts";
import { isWantedAlive } from "../model/task-state.ts";
import type { View } from "../store/index.ts";
import { isFinished, isGiven } from "./task-life.ts";
import { NANOSECONDS, World } from "./testing/world.ts";

const which = fc.nat(5);
const command = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("create" as const),
      replicas: fc.nat(4),
      startFirst: fc.boolean(),
      net: which,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("scale" as const), which, replicas: fc.nat(5) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("image" as const), which, image: fc.constantFrom("a", "b", "bad", "slow") }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const), which }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("fail" as const), which }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("node" as const),
      which,
      availability: fc.constantFrom<NodeAvailability>("drain", "active", "pause"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("crash" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 100, 1_000, 6_000, 20_000) }),
  },
);
type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;

const withImage = (Image: string) => (s: ServiceSpec) => ({
  ...s,
  TaskTemplate: { ...s.TaskTemplate, ContainerSpec: { Image } },
});

/** Rules that hold in every commit. */
function check(view: View): void {
  const owners = new Map<string, string>();
  const hold = (networkId: string, addr: string, owner: string) => {
    const key = `${networkId} ${addr}`;
    ok(!owners.has(key), `${addr} is held by ${owners.get(key)} and ${owner}`);
    owners.set(key, owner);
  };
  for (const n of view.all("network")) for (const c of n.ipam?.configs ?? []) hold(n.id, `${c.gateway}/24`, n.id);
  for (const n of view.all("node"))
    for (const a of n.attachments) for (const x of a.addresses) hold(a.networkId, x, n.id);
  for (const s of view.all("service")) for (const v of s.endpoint?.virtualIPs ?? []) hold(v.networkId, v.addr, s.id);
  const slots = new Map<string, Task[]>();
  for (const t of view.all("task")) {
    if (!isFinished(t))
      for (const a of t.networks.filter(isGiven)) for (const x of a.addresses) hold(a.networkId, x, t.id);
    const key = `${t.serviceId}/${t.slot}`;
    slots.set(key, [...(slots.get(key) ?? []), t]);
  }
  for (const tasks of slots.values()) checkSlot(view, tasks);
}

function checkSlot(view: View, tasks: readonly Task[]): void {
  const open = tasks.filter((t) => !isFinished(t));
  const running = open.filter((t) => t.desiredState === "running").length;
  const stopping = open.some((t) => !isWantedAlive(t.desiredState)) ? 1 : 0;
  const service = view.get("service", tasks[0]?.serviceId ?? "");
  const allowed = service?.spec.UpdateConfig?.Order === "start-first" ? 2 : 1;
  ok(running + Math.min(stopping, allowed === 1 ? 1 : 0) <= allowed, `${running} and ${stopping} in a slot`);
}

class Run {
  readonly w: World;
  readonly #watch = new AbortController();
  #broken: unknown;
  readonly #checked: Promise<void>;

  constructor(w: World) {
    this.w = w;
    const { commits, view } = w.store.watch(this.#watch.signal);
    const checkAll = async () => {
      for await (const _ of commits) check(view);
    };
    this.#checked = checkAll().catch((e: unknown) => {
      this.#broken = e;
    });
  }

  get services() {
    return [...this.w.store.view.all("service")].filter((s) => !s.pendingDelete).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  async apply(c: Command, i: number): Promise<void> {
    const { w } = this;
    const service = "which" in c ? this.services.at(c.which % Math.max(1, this.services.length)) : undefined;
    switch (c.do) {
      case "create": {
        const networks = w.store.view.all("network").filter((n) => !n.spec.Ingress);
        const Order = c.startFirst ? "start-first" : "stop-first";
        const UpdateConfig = { Parallelism: 1 + (i % 2), Order, Delay: (i % 3) * NANOSECONDS } as const;
        const ports = i % 2 ? { EndpointSpec: { Ports: [{ TargetPort: 80 }] } } : {};
        await w.create({
          name: `s${i}`,
          replicas: c.replicas,
          networks: networks.slice(0, c.net % 3),
          spec: { UpdateConfig, ...ports },
        });
        break;
      }
      case "scale":
        if (service) await w.scale(service.id, c.replicas);
        break;
      case "image":
        if (service) await w.update(service.id, withImage(c.image));
        break;
      case "remove":
        if (service) await w.remove(service.id);
        break;
      case "fail": {
        const task = w.running().at(c.which);
        if (task) await w.agentOf(task).report(task.id, "failed");
        break;
      }
      case "node":
        await this.setAvailability(c.which % 2, c.availability);
        break;
      case "crash":
        await w.restart();
        break;
      case "wait":
        await w.advance(c.ms);
    }
    await w.settled();
    this.assertUnbroken();
  }

  assertUnbroken(): void {
    if (this.#broken) throw this.#broken;
  }

  async setAvailability(index: number, availability: NodeAvailability): Promise<void> {
    await this.w.store.update((tx) => {
      const node = tx.byName("node", `node${index + 1}`)[0]!;
      tx.update<"node">({ ...node, spec: { ...node.spec, Availability: availability } });
    });
  }

  /** Everything can run now: does it? */
  async converge(): Promise<void> {
    const { w } = this;
    for (const agent of w.agents) agent.behave = () => "run";
    for (const index of [0, 1]) await this.setAvailability(index, "active");
    for (const task of w.alive()) if (task.nodeId) await w.agentOf(task).act(task);
    for (const s of this.services) {
      const state = s.updateStatus?.state;
      if (state === "paused" || state === "rollback_paused") await w.update(s.id, (spec) => spec); // the user's answer to a pause
    }
    await w.advance(120_000);
    this.assertUnbroken();
    for (const s of this.services) {
      const alive = w.alive(s.id);
      deepEqual(
        alive.map((t) => [t.status.state, t.desiredState, isOutdated(t, s)]),
        alive.map(() => ["running", "running", false]),
      );
      equal(alive.length, s.spec.Mode.Replicated?.Replicas, `replicas of ${s.spec.Name}`);
      equal(new Set(alive.map((t) => t.slot)).size, alive.length);
      deepEqual(w.service(s.id).endpoint?.spec, s.spec.EndpointSpec ?? {});
    }
    equal(w.store.view.all("service").filter((s) => s.pendingDelete).length, 0);
    const known = new Set(w.store.view.all("service").map((s) => s.id));
    ok(
      w.tasks().every((t) => t.serviceId && known.has(t.serviceId)),
      "nothing is left of removed services",
    );
    deepEqual(w.warnings, []);
  }

  async end(): Promise<void> {
    this.#watch.abort();
    await this.#checked;
    await this.w.stop();
  }
}

test("random commands, failures and crashes: no rule is broken, and it converges", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 30 }), async (commands) => {
      const w = await World.start({ nodes: 2 });
      const run = new Run(w);
      try {
        for (const name of ["n1", "n2"]) await w.network(name);
        const behave = (t: Task) =>
          t.spec.ContainerSpec?.Image === "bad" ? "failed" : t.spec.ContainerSpec?.Image === "slow" ? "stay" : "run";
        for (const agent of w.agents) agent.behave = behave;
        for (const [i, c] of commands.entries()) await run.apply(c, i);
        await run.converge();
      } finally {
        await run.end();
      }
    }),
    { numRuns: 80 },
  );
});
