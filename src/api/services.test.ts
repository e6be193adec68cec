import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import type { ServiceId } from "../model/ids.ts";
import type { Service } from "../model/objects.ts";
import { addTask, at } from "./testing/tasks.ts";
import { type Answer, aService, swarmWorld, type World } from "./testing/world.ts";

const messageIn = (answer: Answer) => (answer.json as { message: string }).message;
const namesIn = (answer: Answer) => (answer.json as { Spec: { Name: string } }[]).map((s) => s.Spec.Name);

async function create(w: World, changes: object = {}, headers: Record<string, string> = {}): Promise<ServiceId> {
  const answer = await w.ask("POST", "/services/create", {
    body: aService(changes),
    headers: { "content-type": "application/json", ...headers },
  });
  equal(answer.status, 201, answer.text);
  return (answer.json as { ID: ServiceId }).ID;
}

function service(w: World, id: ServiceId): Service {
  return w.store.view.get("service", id)!;
}

function update(w: World, id: ServiceId, spec: object, query: Record<string, string> = {}): Promise<Answer> {
  return w.ask("POST", `/services/${id}/update`, {
    body: spec,
    query: { version: String(service(w, id).version), ...query },
  });
}

test("a service without a name is given one", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w, { Name: "" });
  match(service(w, id).spec.Name, /^[a-z]+_[a-z]+$/);
});

test("names are taken whatever their case, and free again once the service is removed", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  for (const Name of ["web", "WEB"]) {
    const again = await w.ask("POST", "/services/create", { body: aService({ Name }) });
    equal(again.status, 409);
    equal(
      messageIn(again),
      `rpc error: code = AlreadyExists desc = name conflicts with an existing object: service ${Name} already exists`,
    );
  }
  equal((await w.ask("DELETE", `/services/${id}`)).status, 200);
  await create(w);
});

test("a removed service is shown no more, and its object waits for its tasks", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  equal((await w.ask("DELETE", "/services/web")).status, 200);
  equal(service(w, id).pendingDelete, true);
  equal((await w.ask("GET", `/services/${id}`)).status, 404);
  equal((await w.ask("DELETE", `/services/${id}`)).status, 404);
  equal((await update(w, id, aService())).status, 404);
  deepEqual((await w.ask("GET", "/services")).json, []);
});

test("an update keeps the spec before it, and raises specVersion only when tasks are concerned", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  equal(service(w, id).specVersion, 1);
  const scaled = aService({ Mode: { Replicated: { Replicas: 3 } } });
  deepEqual((await update(w, id, scaled)).json, { Warnings: null });
  equal(service(w, id).specVersion, 1);
  equal((await update(w, id, { ...scaled, TaskTemplate: { ContainerSpec: { Image: "busybox" } } })).status, 200);
  equal(service(w, id).specVersion, 2);
  equal(service(w, id).previousSpec?.TaskTemplate.ContainerSpec?.Image, "alpine");
  equal(
    (await update(w, id, { ...scaled, TaskTemplate: { ContainerSpec: { Image: "busybox" }, ForceUpdate: 1 } })).status,
    200,
  );
  equal(service(w, id).specVersion, 3);
});

test("rollback goes to the spec before, once there is one", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  const none = await update(w, id, aService(), { rollback: "previous" });
  equal(none.status, 400);
  equal(messageIn(none), `rpc error: code = FailedPrecondition desc = service ${id} does not have a previous spec`);
  await update(w, id, aService({ TaskTemplate: { ContainerSpec: { Image: "busybox" } } }));
  equal((await update(w, id, aService(), { rollback: "previous" })).status, 200);
  const now = service(w, id);
  equal(now.spec.TaskTemplate.ContainerSpec?.Image, "alpine");
  equal(now.previousSpec?.TaskTemplate.ContainerSpec?.Image, "busybox");
  equal(now.updateStatus?.state, "rollback_started");
  equal(now.specVersion, 3);
  const odd = await update(w, id, aService(), { rollback: "next" });
  equal(messageIn(odd), "unrecognized rollback option next");
});

test("the version of an update must be a number, and the newest one", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  const versions: [version: string, status: number, message: string][] = [
    ["x", 400, `invalid service version 'x': strconv.ParseUint: parsing "x": invalid syntax`],
    ["-1", 400, `invalid service version '-1': strconv.ParseUint: parsing "-1": invalid syntax`],
    [
      "99999999999999999999",
      400,
      `invalid service version '99999999999999999999': strconv.ParseUint: parsing "99999999999999999999": value out of range`,
    ],
    ["0", 500, "rpc error: code = Unknown desc = update out of sequence"],
    ["18446744073709551615", 500, "rpc error: code = Unknown desc = update out of sequence"],
  ];
  for (const [version, status, message] of versions) {
    const answer = await update(w, id, aService(), { version });
    deepEqual([answer.status, messageIn(answer)], [status, message]);
  }
  equal(service(w, id).previousSpec, undefined);
});

test("two updates from the same version: one wins, the other is told", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  const answers = await Promise.all([1, 2, 3].map((n) => update(w, id, aService({ Labels: { n: String(n) } }))));
  deepEqual(answers.map((a) => a.status).sort(), [200, 500, 500]);
});

test("a registry login is kept for the agents and shown to nobody", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w, {}, { "x-registry-auth": "bG9naW4=" });
  equal(service(w, id).registryAuth, "bG9naW4=");
  equal((await w.ask("GET", `/services/${id}`)).text.includes("bG9naW4="), false);
  await update(w, id, aService({ Labels: { a: "b" } }), { registryAuthFrom: "previous-spec" }).then((a) =>
    equal(messageIn(a), "service does not have a previous spec"),
  );
  equal((await update(w, id, aService({ Labels: { a: "b" } }), { registryAuthFrom: "spec" })).status, 200);
  equal(service(w, id).registryAuth, "bG9naW4=");
  equal(messageIn(await update(w, id, aService(), { registryAuthFrom: "x" })), "unsupported registryAuthFrom value");
});

test("secrets and configs must exist under the name that the reference gives", async (t) => {
  const w = await swarmWorld(t);
  const File = { Name: "f", UID: "0", GID: "0", Mode: 292 };
  const Secrets = [{ File, SecretID: "nosuch", SecretName: "s" }];
  const answer = await w.ask("POST", "/services/create", {
    body: aService({ TaskTemplate: { ContainerSpec: { Image: "a", Secrets } } }),
  });
  equal(answer.status, 400);
  equal(messageIn(answer), "rpc error: code = InvalidArgument desc = secret not found: s");
  const Configs = ["c", "d"].map((name) => ({ File: { ...File, Name: name }, ConfigID: "nosuch", ConfigName: name }));
  const configs = await w.ask("POST", "/services/create", {
    body: aService({ TaskTemplate: { ContainerSpec: { Image: "a", Configs } } }),
  });
  equal(messageIn(configs), "rpc error: code = InvalidArgument desc = configs not found: c, d");
});

test("host ports may be shared, ingress ports not, and a removed service gives its ports back", async (t) => {
  const w = await swarmWorld(t);
  const ports = (PublishMode: string) => ({
    EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080, PublishMode }] },
  });
  await create(w, { Name: "a", ...ports("host") });
  await create(w, { Name: "b", ...ports("host") });
  const clash = await w.ask("POST", "/services/create", { body: aService({ Name: "c", ...ports("ingress") }) });
  equal(clash.status, 400);
  match(
    messageIn(clash),
    /^rpc error: code = InvalidArgument desc = port '8080' is already in use by service 'a' \(\w{25}\) as a host-published port$/,
  );
  await w.ask("DELETE", "/services/a");
  await w.ask("DELETE", "/services/b");
  await create(w, { Name: "c", ...ports("ingress") });
});

test("services cannot be on the ingress network, on this host's networks, or on none that exists", async (t) => {
  const w = await swarmWorld(t);
  const on = (Target: string) =>
    w.ask("POST", "/services/create", {
      body: aService({ TaskTemplate: { ContainerSpec: { Image: "a" }, Networks: [{ Target }] } }),
    });
  const ingress = await on("ingress");
  deepEqual(
    [ingress.status, messageIn(ingress)],
    [
      400,
      'rpc error: code = InvalidArgument desc = Service cannot be explicitly attached to the ingress network "ingress"',
    ],
  );
  const bridge = await on("bridge");
  equal(bridge.status, 403);
  match(messageIn(bridge), /^The network bridge cannot be used with services\. Only networks scoped to the swarm/);
  deepEqual([(await on("")).status, (await on("x")).status], [500, 500]);
});

test("modes that the managers do not have are refused clearly", async (t) => {
  const w = await swarmWorld(t, { features: { globalServices: false } });
  for (const Mode of [{ Global: {} }, { GlobalJob: {} }, { ReplicatedJob: {} }]) {
    const answer = await w.ask("POST", "/services/create", { body: aService({ Mode }) });
    equal(answer.status, 501);
    match(messageIn(answer), /^rpc error: code = Unimplemented desc = .* not supported$/);
  }
  deepEqual(w.store.view.all("service"), []);
});

test("ids may be shortened while they mean one service; names come before ids", async (t) => {
  const w = await swarmWorld(t);
  const spec = service(w, await create(w)).spec;
  const ids = ["aaaa", "aaab"].map((s) => `${s}${"0".repeat(21)}` as ServiceId);
  await w.store.update((tx) => {
    for (const id of ids)
      tx.create<"service">({ kind: "service", id, spec: { ...spec, Name: `s${id}` }, specVersion: 1 });
  });
  equal((await w.ask("GET", "/services/aaaa")).status, 200);
  const both = await w.ask("GET", "/services/aaa");
  equal(both.status, 400);
  equal(messageIn(both), "service aaa is ambiguous (2 matches found)");
  await create(w, { Name: "aaa" });
  deepEqual(((await w.ask("GET", "/services/aaa")).json as { Spec: object }).Spec, { ...spec, Name: "aaa" });
});

test("lists are filtered by name, id, label and mode", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w, { Name: "web", Labels: { zone: "a" } });
  await create(w, { Name: "webby", Mode: { Global: {} } });
  const list = async (filters: object) =>
    namesIn(await w.ask("GET", "/services", { query: { filters: JSON.stringify(filters) } }));
  deepEqual(await list({}), ["web", "webby"]);
  deepEqual(await list({ name: ["web"] }), ["web", "webby"]);
  deepEqual(await list({ name: { webb: true } }), ["webby"]);
  deepEqual(await list({ id: [id.slice(0, 9)] }), ["web"]);
  deepEqual(await list({ label: ["zone"] }), ["web"]);
  deepEqual(await list({ label: ["zone=b"] }), []);
  deepEqual(await list({ mode: ["global"] }), ["webby"]);
  deepEqual(await list({ runtime: ["plugin"] }), []);
  for (const filters of ["[]", "x", '{"name":"web"}', '{"name":{"a":1}}', "5"]) {
    const answer = await w.ask("GET", "/services", { query: { filters } });
    deepEqual([answer.status, messageIn(answer)], [400, "Invalid filter"]);
  }
});

test("status counts what runs and what is wanted", async (t) => {
  const w = await swarmWorld(t);
  const web = service(w, await create(w, { Mode: { Replicated: { Replicas: 3 } } }));
  const every = service(w, await create(w, { Name: "every", Mode: { Global: {} } }));
  await addTask(w, web, 1);
  await addTask(w, web, 2, at("starting", "running"));
  await addTask(w, web, 2, at("failed", "shutdown"));
  await addTask(w, every, 0);
  await addTask(w, every, 0, at("shutdown", "shutdown"));
  const statuses = async (query: Record<string, string>, version = "1.41") =>
    ((await w.ask("GET", `/v${version}/services`, { query })).json as { ServiceStatus?: object }[]).map(
      (s) => s.ServiceStatus,
    );
  deepEqual(await statuses({ status: "1" }), [
    { RunningTasks: 1, DesiredTasks: 3, CompletedTasks: 0 },
    { RunningTasks: 1, DesiredTasks: 1, CompletedTasks: 0 },
  ]);
  deepEqual(await statuses({}), [undefined, undefined]);
  deepEqual(await statuses({ status: "1" }, "1.40"), [undefined, undefined]);
  equal((await w.ask("GET", "/services", { query: { status: "maybe" } })).status, 400);
});

test("what an older API version did not know is dropped", async (t) => {
  const w = await swarmWorld(t);
  const ContainerSpec = {
    Image: "a",
    Sysctls: { "net.x": "1" },
    CapabilityAdd: ["ALL"],
    OomScoreAdj: 5,
    Healthcheck: { StartInterval: 5e6 },
  };
  const make = async (version: string, Name: string) => {
    await w.ask("POST", `/v${version}/services/create`, { body: aService({ Name, TaskTemplate: { ContainerSpec } }) });
    return Object.keys(w.store.view.byName("service", Name)[0]!.spec.TaskTemplate.ContainerSpec!);
  };
  deepEqual(await make("1.39", "a"), ["Image", "Healthcheck", "Isolation"]);
  deepEqual(await make("1.41", "b"), ["Image", "Healthcheck", "Isolation", "Sysctls", "CapabilityAdd"]);
  deepEqual(await make("1.51", "c"), ["Image", "Healthcheck", "Isolation", "Sysctls", "CapabilityAdd", "OomScoreAdj"]);
});

test("a worker, and a node in no swarm, answer for no service", async (t) => {
  const w = await swarmWorld(t);
  w.swarm.becomeWorker();
  for (const path of ["/services", "/services/x", "/tasks", "/tasks/x", "/nodes", "/secrets", "/configs", "/swarm"]) {
    const answer = await w.ask("GET", path);
    equal(answer.status, 503);
    match(messageIn(answer), /Worker nodes can't be used to view or modify cluster state/);
  }
  equal((await w.ask("GET", "/_ping")).headers.swarm, "active/worker");
});
