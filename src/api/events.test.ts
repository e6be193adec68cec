import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../model/clock.ts";
import { EventBus, eventJson, type NewEvent } from "./event-bus.ts";
import { followSwarm } from "./swarm-events.ts";
import { aService, swarmWorld } from "./testing/world.ts";

const anEvent = (name: string): NewEvent => ({
  Type: "service",
  Action: "create",
  Actor: { ID: name, Attributes: { name } },
  scope: "swarm",
});

test("events are remembered, in order even within a millisecond, and the oldest forgotten", () => {
  const clock = new FakeClock(1_700_000_000_123);
  const bus = new EventBus(clock);
  const [first, second] = [bus.publish(anEvent("a")), bus.publish(anEvent("b"))];
  equal(second.timeNano - first.timeNano, 1n);
  deepEqual(
    bus.past(second.timeNano).map((e) => e.Actor.ID),
    ["b"],
  );
  for (let i = 0; i < 300; i++) bus.publish(anEvent(String(i)));
  equal(bus.past(0n).length, 256);
  equal(bus.past(0n)[0]?.Actor.ID, "44");
});

test("the time in nanoseconds keeps all its digits in JSON", () => {
  const bus = new EventBus(new FakeClock(1_700_000_000_123));
  bus.publish(anEvent("a"));
  const text = eventJson(bus.publish(anEvent("b")));
  equal(text.endsWith('"time":1700000000,"timeNano":1700000000123000001}'), true, text);
  equal(JSON.parse(text).Actor.Attributes.name, "b");
});

test("followers get what comes after they began, until they stop", async () => {
  const bus = new EventBus(new FakeClock());
  const stop = new AbortController();
  bus.publish(anEvent("before"));
  const events = bus.follow(stop.signal)[Symbol.asyncIterator]();
  bus.publish(anEvent("a"));
  equal((await events.next()).value?.Actor.ID, "a");
  const waiting = events.next();
  bus.publish(anEvent("b"));
  equal((await waiting).value?.Actor.ID, "b");
  const last = events.next();
  stop.abort();
  equal((await last).done, true);
});

test("swarm objects make dockerd's events", async (t) => {
  const w = await swarmWorld(t);
  const stop = new AbortController();
  const following = followSwarm(w.store, w.context.events, stop.signal);
  t.after(async () => {
    stop.abort();
    await following;
  });
  await w.ask("POST", "/networks/create", { body: { Name: "net", Driver: "overlay" } });
  await w.ask("POST", "/secrets/create", { body: { Name: "s", Data: "YQ==" } });
  await w.ask("POST", "/services/create", { body: aService() });
  const service = () => w.store.view.byName("service", "web")[0]!;
  const update = (spec: object) =>
    w.ask("POST", "/services/web/update", { body: spec, query: { version: String(service().version) } });
  await update(aService({ Mode: { Replicated: { Replicas: 3 } } }));
  await update(
    aService({ Mode: { Replicated: { Replicas: 3 } }, TaskTemplate: { ContainerSpec: { Image: "busybox" } } }),
  );
  await w.store.update((tx) => {
    tx.update<"service">({ ...service(), updateStatus: { state: "updating", startedAt: tx.now, message: "" } });
    const network = tx.byName("network", "net")[0]!;
    tx.update<"network">({ ...network, driverState: { vni: 4097 } }); // the allocator's affair: no event
  });
  const node = w.store.view.all("node")[0]!;
  await w.ask("POST", `/nodes/${node.id}/update`, {
    body: { ...node.spec, Availability: "drain" },
    query: { version: String(node.version) },
  });
  await w.ask("DELETE", "/services/web");
  await w.store.update((tx) => tx.remove("service", service().id));
  await w.ask("DELETE", "/secrets/s");
  await w.ask("DELETE", "/networks/net");
  const seen = () => w.context.events.past(0n);
  while (seen().at(-1)?.Type !== "network" || seen().at(-1)?.Action !== "remove") await w.ask("GET", "/_ping");
  deepEqual(
    seen().map((e) => [e.Type, e.Action, e.Actor.Attributes]),
    [
      ["network", "create", { name: "net" }],
      ["secret", "create", { name: "s" }],
      ["service", "create", { name: "web" }],
      ["service", "update", { name: "web", "replicas.old": "1", "replicas.new": "3" }],
      ["service", "update", { name: "web", "image.old": "alpine", "image.new": "busybox" }],
      ["service", "update", { name: "web", "updatestate.new": "updating" }],
      ["node", "update", { name: "vm", "availability.old": "active", "availability.new": "drain" }],
      ["service", "remove", { name: "web" }],
      ["secret", "remove", { name: "s" }],
      ["network", "remove", { name: "net" }],
    ],
  );
  equal(seen()[0]?.scope, "swarm");
});
