import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { test } from "node:test";
import { type NodeId, newId } from "../model/ids.ts";
import type { Cluster } from "../model/objects.ts";
import { type Answer, aService, swarmWorld, type World, world } from "./testing/world.ts";

const messageIn = (answer: Answer) => (answer.json as { message: string }).message;
const cluster = (w: World): Cluster => w.store.view.all("cluster")[0]!;

test("init fills in what the user left out", async (t) => {
  const w = await world(t);
  const answer = await w.ask("POST", "/swarm/init", { body: { ListenAddr: "0.0.0.0:2377", SubnetSize: 24 } });
  equal(answer.json, w.swarm.active()?.nodeId);
  const [init] = w.swarm.inits;
  deepEqual(
    [init?.dataPathPort, init?.defaultAddrPool, init?.subnetSize, init?.availability],
    [4789, ["10.0.0.0/8"], 24, "active"],
  );
  deepEqual(init?.spec, {
    Name: "default",
    Labels: {},
    Orchestration: { TaskHistoryRetentionLimit: 5 },
    Raft: {
      SnapshotInterval: 10000,
      KeepOldSnapshots: 0,
      LogEntriesForSlowFollowers: 500,
      ElectionTick: 10,
      HeartbeatTick: 1,
    },
    Dispatcher: { HeartbeatPeriod: 5e9 },
    CAConfig: { NodeCertExpiry: 7776000e9 },
    TaskDefaults: {},
    EncryptionConfig: { AutoLockManagers: false },
  });
});

test("init refuses what cannot be, and the node stays out", async (t) => {
  const w = await world(t);
  const cases: [body: object, message: RegExp][] = [
    [{ ListenAddr: "" }, /^invalid ListenAddr "": invalid empty address$/],
    [{ DataPathPort: 80 }, /^Datapath port number is not in valid range \(1024-49151\) : 80$/],
    [{ Availability: "sleepy" }, /^invalid Availability: "sleepy"$/],
    [{ Spec: { Name: "mine" } }, /^swarm spec must be named "default"$/],
    [{ Spec: { CAConfig: { NodeCertExpiry: 1 } } }, /minimum certificate expiry time is: 1h0m0s$/],
    [{ Spec: { Dispatcher: { HeartbeatPeriod: -1 } } }, /heartbeat time period cannot be a negative duration$/],
    [{ DefaultAddrPool: ["10.0.0.0"] }, /^invalid base pool "10\.0\.0\.0"/],
    [{ DefaultAddrPool: ["10.0.0.0/25"] }, /Subnet size is too small for pool: 24$/],
    [
      { DefaultAddrPool: ["10.0.0.0/8", "10.1.0.0/16"] },
      /^invalid CIDR: "10\.1\.0\.0\/16"\. CIDR 10\.0\.0\.0\/8 already used$/,
    ],
    [{ SubnetSize: 30 }, /^subnet size is out of range: 30$/],
    [{ SubnetSize: -1 }, /cannot unmarshal number -1 into Go struct field InitRequest\.SubnetSize of type uint32/],
  ];
  for (const [body, message] of cases) {
    const answer = await w.ask("POST", "/swarm/init", { body: { ListenAddr: "0.0.0.0:2377", ...body } });
    equal(answer.status, 400, answer.text);
    match(messageIn(answer), message);
  }
  deepEqual(w.swarm.inits, []);
});

test("tokens and the unlock key rotate when they are asked to, one at a time", async (t) => {
  const w = await swarmWorld(t);
  const update = async (query: Record<string, string>, spec: object = {}) => {
    const answer = await w.ask("POST", "/swarm/update", {
      body: spec,
      query: { version: String(cluster(w).version), ...query },
    });
    equal(answer.status, 200, answer.text);
    return cluster(w);
  };
  const first = cluster(w).joinTokens;
  const second = (await update({ rotateWorkerToken: "true" })).joinTokens;
  notEqual(second.worker, first.worker);
  equal(second.worker.slice(0, 60), first.worker.slice(0, 60));
  match(second.worker, /^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  equal(second.manager, first.manager);
  notEqual((await update({ rotateManagerToken: "1" })).joinTokens.manager, first.manager);
  const locked = { EncryptionConfig: { AutoLockManagers: true } };
  const { unlockKey } = await update({}, locked);
  match(unlockKey, /^SWMKEY-1-[A-Za-z0-9+/]{43}$/);
  deepEqual((await w.ask("GET", "/swarm/unlockkey")).json, { UnlockKey: unlockKey });
  equal((await update({}, locked)).unlockKey, unlockKey);
  notEqual((await update({ rotateManagerUnlockKey: "true" }, locked)).unlockKey, unlockKey);
  equal((await update({})).unlockKey, "");
  equal(
    (await w.ask("POST", "/swarm/update", { body: {}, query: { version: "1", rotateWorkerToken: "perhaps" } })).status,
    400,
  );
});

test("no answer ever holds the CA's key", async (t) => {
  const w = await swarmWorld(t);
  for (const path of ["/swarm", "/nodes", "/swarm/unlockkey"]) {
    equal((await w.ask("GET", path)).text.includes(cluster(w).caKey), false);
  }
});

test("what this version cannot do is said", async (t) => {
  const w = await swarmWorld(t);
  const version = { version: String(cluster(w).version) };
  const rotate = await w.ask("POST", "/swarm/update", { body: { CAConfig: { ForceRotate: 1 } }, query: version });
  equal(rotate.status, 501);
  equal((await w.ask("POST", "/swarm/init", { body: { ListenAddr: "x", ForceNewCluster: true } })).status, 501);
  const unlock = await w.ask("POST", "/swarm/unlock", { body: { UnlockKey: "x" } });
  deepEqual([unlock.status, messageIn(unlock)], [409, "swarm is not locked"]);
  equal((await w.ask("POST", "/swarm/join", { body: { ListenAddr: "x", RemoteAddrs: ["y"] } })).status, 503);
});

test("leaving by force forgets everything", async (t) => {
  const w = await swarmWorld(t);
  await w.ask("POST", "/services/create", { body: aService() });
  equal((await w.ask("POST", "/swarm/leave", { query: { force: "1" } })).status, 200);
  equal((await w.ask("GET", "/services")).status, 503);
  deepEqual(w.store.view.all("service"), []);
});

async function addWorker(w: World): Promise<NodeId> {
  const id = newId<NodeId>();
  await w.store.update((tx) => {
    const { managerStatus: _, ...node } = tx.all("node")[0]!;
    const description = {
      ...node.description,
      hostname: "worker",
      engine: { ...node.description.engine, labels: { disk: "ssd" } },
    };
    tx.create<"node">({
      ...node,
      id,
      spec: { Labels: { zone: "b" }, Role: "worker", Availability: "active" },
      description,
    });
  });
  return id;
}

test("nodes are filtered, updated, and removed once they are down", async (t) => {
  const w = await swarmWorld(t);
  const id = await addWorker(w);
  const list = async (filters: object) =>
    ((await w.ask("GET", "/nodes", { query: { filters: JSON.stringify(filters) } })).json as { ID: string }[]).map(
      (n) => n.ID,
    );
  deepEqual(await list({ role: ["worker"] }), [id]);
  deepEqual(await list({ name: ["work"] }), [id]);
  deepEqual(await list({ label: ["disk=ssd"] }), [id]);
  deepEqual(await list({ "node.label": ["zone"] }), [id]);
  equal((await list({ membership: ["accepted"] })).length, 2);
  equal((await w.ask("GET", "/nodes", { query: { filters: '{"role":["queen"]}' } })).status, 400);

  const update = (body: object) =>
    w.ask("POST", "/nodes/worker/update", { body, query: { version: String(w.store.view.get("node", id)?.version) } });
  deepEqual(messageIn(await update({ Role: "queen" })), 'invalid Role: "queen"');
  deepEqual(messageIn(await update({ Role: "worker" })), 'invalid Availability: ""');
  equal((await update({ Role: "Worker", Availability: "drain", Labels: { a: "b" } })).status, 200);
  deepEqual(w.store.view.get("node", id)?.spec, { Labels: { a: "b" }, Role: "worker", Availability: "drain" });
  const stale = await w.ask("POST", "/nodes/worker/update", {
    body: { Role: "worker", Availability: "active" },
    query: { version: "0" },
  });
  deepEqual([stale.status, messageIn(stale)], [500, "rpc error: code = Unknown desc = update out of sequence"]);

  const up = await w.ask("DELETE", "/nodes/worker");
  deepEqual(
    [up.status, messageIn(up)],
    [400, `rpc error: code = FailedPrecondition desc = node ${id} is not down and can't be removed`],
  );
  equal((await w.ask("DELETE", "/nodes/vm?force=1")).status, 400);
  equal((await w.ask("DELETE", "/nodes/worker?force=1")).status, 200);
  equal((await w.ask("GET", "/nodes/worker")).status, 404);
});

test("secrets are never shown, configs are, and both only change their labels", async (t) => {
  const w = await swarmWorld(t);
  for (const kind of ["secret", "config"] as const) {
    const create = (body: object) => w.ask("POST", `/${kind}s/create`, { body });
    const invalid = "rpc error: code = InvalidArgument desc = ";
    equal(
      messageIn(await create({ Name: "x y", Data: "YQ==" })),
      `${invalid}invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]`,
    );
    const limit = kind === "secret" ? 512_000 : 1_024_000;
    const size = `${invalid}${kind} data must be larger than 0 and less than ${limit} bytes`;
    equal(messageIn(await create({ Name: "x" })), size);
    equal(messageIn(await create({ Name: "x", Data: Buffer.alloc(limit).toString("base64") })), size);
    const { ID } = (await create({ Name: "x.conf", Labels: { a: "b" }, Data: "c2VjcmV0" })).json as { ID: string };
    const text = (await w.ask("GET", `/${kind}s/${ID}`)).text + (await w.ask("GET", `/${kind}s`)).text;
    equal(text.includes("c2VjcmV0"), kind === "config");
    const version = () => String(w.store.view.get(kind, ID)?.version);
    const update = (body: object, query: Record<string, string> = { version: version() }) =>
      w.ask("POST", `/${kind}s/x.conf/update`, { body, query });
    equal((await update({ Name: "x.conf", Labels: { a: "c" } })).status, 200);
    deepEqual(w.store.view.get(kind, ID)?.spec.Labels, { a: "c" });
    equal(messageIn(await update({ Name: "y" })), `${invalid}only updates to Labels are allowed`);
    equal(messageIn(await update({ Name: "x.conf", Data: "YQ==" })), `${invalid}only updates to Labels are allowed`);
    equal(messageIn(await update({ Name: "x.conf" }, {})), `invalid ${kind} version`);
    equal((await update({ Name: "x.conf" }, { version: "0" })).status, 500);
    equal((await w.ask("DELETE", `/${kind}s/${ID.slice(0, 6)}`)).status, 204);
    deepEqual((await w.ask("GET", `/${kind}s`)).json, []);
  }
});
