import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { type NetworkId, newId, type ServiceId, type TaskId } from "../model/ids.ts";
import type { Task } from "../model/objects.ts";
import { type Answer, aService, swarmWorld, type World, world } from "./testing/world.ts";

const messageIn = (answer: Answer) => (answer.json as { message: string }).message;
const namesIn = (answer: Answer) => (answer.json as { Name: string }[]).map((n) => n.Name);

async function create(w: World, changes: object = {}): Promise<NetworkId> {
  const answer = await w.ask("POST", "/networks/create", { body: { Name: "net", Driver: "overlay", ...changes } });
  equal(answer.status, 201, answer.text);
  return (answer.json as { Id: NetworkId }).Id;
}

async function refused(w: World, changes: object): Promise<[number, string]> {
  const answer = await w.ask("POST", "/networks/create", { body: { Name: "net", Driver: "overlay", ...changes } });
  return [answer.status, messageIn(answer)];
}

const subnet = (Subnet: string, more: object = {}) => ({ IPAM: { Config: [{ Subnet, ...more }] } });

test("a swarm network comes back as it was asked for", async (t) => {
  const w = await swarmWorld(t);
  const Options = { "com.docker.network.driver.mtu": "1400" };
  const id = await create(w, {
    ...subnet("10.7.0.0/16", { IPRange: "10.7.1.0/24", Gateway: "10.7.0.9" }),
    Internal: true,
    Options,
  });
  const shown = (await w.ask("GET", `/v1.47/networks/${id}`)).json as Record<string, unknown>;
  deepEqual(shown.IPAM, {
    Driver: "default",
    Options: null,
    Config: [{ Subnet: "10.7.0.0/16", IPRange: "10.7.1.0/24", Gateway: "10.7.0.9" }],
  });
  deepEqual([shown.Internal, shown.Attachable, shown.Options, shown.Labels], [true, false, Options, null]);
  equal("EnableIPv4" in shown, false);
  equal(((await w.ask("GET", `/v1.48/networks/${id}`)).json as { EnableIPv4: boolean }).EnableIPv4, true);
});

test("names are taken across the swarm and this host", async (t) => {
  const w = await swarmWorld(t);
  await create(w);
  const taken = (name: string): [number, string] => [409, `network with name ${name} already exists`];
  deepEqual(await refused(w, {}), taken("net"));
  deepEqual(await refused(w, { Name: "NET" }), taken("NET"));
  deepEqual(await refused(w, { Name: "bridge" }), taken("bridge"));
  deepEqual(await refused(w, { Driver: "bridge" }), taken("net"));
});

test("faulty and clashing subnets are refused and nothing is stored", async (t) => {
  const w = await swarmWorld(t);
  w.hostRoutes = ["0.0.0.0/0", "10.20.0.0/16"];
  await create(w, { Name: "first", ...subnet("10.8.0.0/24") });
  const overlap = "invalid pool request: Pool overlaps with other one on this address space";
  deepEqual(await refused(w, subnet("10.8.0.0/16")), [403, overlap]);
  deepEqual(await refused(w, subnet("10.0.0.0/24")), [403, overlap]); // ingress
  const [status, message] = await refused(w, subnet("10.20.5.0/24"));
  equal(status, 403);
  match(message, /10\.20\.5\.0\/24 overlaps with the host's route to 10\.20\.0\.0\/16/);
  deepEqual(await refused(w, subnet("10.9.0.1/24")), [
    400,
    "invalid network config:\ninvalid subnet 10.9.0.1/24: it should be 10.9.0.0/24",
  ]);
  deepEqual(await refused(w, subnet("x")), [
    400,
    "invalid network config:\ninvalid subnet x: invalid CIDR block notation",
  ]);
  deepEqual(await refused(w, { Name: "a b" }), [
    400,
    "rpc error: code = InvalidArgument desc = name must be valid as a DNS name component",
  ]);
  deepEqual(await refused(w, { Name: "" }), [
    400,
    "rpc error: code = InvalidArgument desc = meta: name must be provided",
  ]);
  const mesh = w.store.view.byName("network", "ingress")[0]!;
  deepEqual(await refused(w, { Ingress: true }), [
    409,
    `rpc error: code = AlreadyExists desc = ingress network (${mesh.id}) is already present`,
  ]);
  equal(w.store.view.all("network").length, 2);
});

test("overlay networks need a swarm, local ones do not", async (t) => {
  const w = await world(t);
  equal((await refused(w, {}))[0], 503);
  const made = await w.ask("POST", "/networks/create", { body: { Name: "mine" } });
  equal(made.status, 201);
  deepEqual(namesIn(await w.ask("GET", "/networks")), ["bridge", "host", "none", "mine"]);
  equal((await w.ask("GET", "/networks/mine")).status, 200);
  equal((await w.ask("DELETE", "/networks/mine")).status, 204);
  equal((await w.ask("GET", "/networks/mine")).status, 404);
  deepEqual(await refused(w, { Driver: "bridge", ConfigOnly: true }), [501, "config-only networks are not supported"]);
});

test("networks are found by id, name and the beginning of an id, in the scope that is asked for", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  for (const path of [id, "net", id.slice(0, 12)]) equal((await w.ask("GET", `/networks/${path}`)).status, 200);
  equal((await w.ask("GET", "/networks/net?scope=swarm")).status, 200);
  equal((await w.ask("GET", "/networks/net?scope=local")).status, 404);
  equal((await w.ask("GET", "/networks/bridge?scope=swarm")).status, 404);
  equal((await w.ask("GET", "/networks/bridge?scope=galaxy")).status, 400);
  await w.store.update((tx) => {
    const { spec } = tx.get("network", id)!;
    for (const c of "ab")
      tx.create<"network">({ kind: "network", id: `zz${c}${"0".repeat(22)}` as NetworkId, spec: { ...spec, Name: c } });
  });
  const both = await w.ask("GET", "/networks/zz");
  deepEqual([both.status, messageIn(both)], [400, "network zz is ambiguous (2 matches found based on ID prefix)"]);
});

test("what this node knows of a network is shown with it", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  const containers = {
    "lb-net": {
      Name: "net-endpoint",
      EndpointID: "e".repeat(64),
      MacAddress: "02:42:0a:00:01:05",
      IPv4Address: "10.0.1.5/24",
      IPv6Address: "",
    },
  };
  const services = { web: { VIP: "10.0.1.2", Ports: [], LocalLBIndex: 257, Tasks: [] } };
  w.status.byName.set("net", { containers, peers: [{ Name: "0f38f52ab1d8", IP: "192.0.2.1" }], services });
  const shown = (await w.ask("GET", `/networks/${id}?verbose=true`)).json as Record<string, unknown>;
  deepEqual(
    [shown.Containers, shown.Peers, shown.Services, shown.Labels],
    [containers, [{ Name: "0f38f52ab1d8", IP: "192.0.2.1" }], services, {}],
  );
});

test("lists are filtered", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w, { Labels: { zone: "a" } });
  const list = async (filters: object) =>
    namesIn(await w.ask("GET", "/networks", { query: { filters: JSON.stringify(filters) } }));
  deepEqual(await list({ scope: ["swarm"] }), ["ingress", "net"]);
  deepEqual(await list({ driver: ["overlay"], type: ["custom"] }), ["net"]);
  deepEqual(await list({ name: ["e"], scope: ["local"] }), ["bridge", "none"]);
  deepEqual(await list({ name: ["^ne"] }), ["net"]);
  deepEqual(await list({ name: ["^n$"] }), []);
  deepEqual(await list({ id: [id.slice(0, 10)] }), ["net"]);
  deepEqual(await list({ label: ["zone=a"] }), ["net"]);
  deepEqual(await list({ dangling: ["true"] }), ["net"]);
  deepEqual(await list({ dangling: ["false"] }), ["ingress", "bridge", "host", "none"]);
  for (const filters of [{ type: ["odd"] }, { scope: ["odd"] }, { dangling: ["maybe"] }, { odd: ["x"] }]) {
    equal((await w.ask("GET", "/networks", { query: { filters: JSON.stringify(filters) } })).status, 400);
  }
});

test("connecting and disconnecting is handed on with the network that was meant", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w, { Attachable: true });
  equal(
    (await w.ask("POST", "/networks/net/connect", { body: { Container: "box", EndpointConfig: { Aliases: ["a"] } } }))
      .status,
    200,
  );
  equal((await w.ask("POST", "/networks/bridge/disconnect", { body: { Container: "box", Force: true } })).status, 200);
  const [connect, disconnect] = w.connections.calls;
  deepEqual(connect?.request, { Container: "box", EndpointConfig: { Aliases: ["a"] } });
  equal(connect && "swarm" in connect.target && connect.target.swarm.id, id);
  deepEqual(disconnect?.request, { Container: "box", Force: true });
  equal(disconnect && "local" in disconnect.target && disconnect.target.local.Name, "bridge");
  equal((await w.ask("POST", "/networks/net/connect", { body: {} })).status, 400);
  equal((await w.ask("POST", "/networks/nosuch/connect", { body: { Container: "box" } })).status, 404);
});

async function addTask(w: World, network: NetworkId, changes: Partial<Task>): Promise<Task> {
  return w.store.update((tx) =>
    tx.create<"task">({
      kind: "task",
      id: newId<TaskId>(),
      serviceName: "web",
      serviceLabels: {},
      spec: { ForceUpdate: 0 },
      specVersion: 1,
      networks: [{ networkId: network, addresses: ["10.0.1.3/24"], aliases: [] }],
      status: { timestamp: tx.now, state: "running", message: "started" },
      desiredState: "running",
      ...changes,
    }),
  );
}

test("a network with a container of docker run on it is in use", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  const task = await addTask(w, id, {});
  const answer = await w.ask("DELETE", "/networks/net");
  deepEqual(
    [answer.status, messageIn(answer)],
    [400, `rpc error: code = FailedPrecondition desc = network ${id} is in use by task ${task.id}`],
  );
  await w.store.update((tx) => tx.remove("task", task.id));
  equal((await w.ask("DELETE", "/networks/net")).status, 204);
});

test("removing a network waits for the tasks of a removed service, and then it is gone", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  const Networks = [{ Target: id }];
  const made = await w.ask("POST", "/services/create", {
    body: aService({ TaskTemplate: { ContainerSpec: { Image: "a" }, Networks } }),
  });
  const serviceId = (made.json as { ID: ServiceId }).ID;
  const task = await addTask(w, id, { serviceId });
  await w.ask("DELETE", "/services/web");
  let answered = false;
  const removal = w.ask("DELETE", "/networks/net").then((answer) => {
    answered = true;
    return answer;
  });
  // a request that came after it has been answered: the removal has had its turn
  await w.ask("GET", "/networks/net");
  equal(answered, false);
  await w.store.update((tx) => {
    tx.remove("task", task.id);
    tx.remove("service", serviceId);
  });
  equal((await removal).status, 204);
  equal(w.store.view.get("network", id), undefined);
});

test("a network whose tasks do not leave is still in use after a while", async (t) => {
  const w = await swarmWorld(t);
  const id = await create(w);
  const task = await addTask(w, id, { desiredState: "shutdown" });
  const removal = w.ask("DELETE", "/networks/net");
  while (w.clock.nextDue() === undefined) await w.ask("GET", "/_ping");
  w.clock.advance(60_000);
  const answer = await removal;
  deepEqual(
    [answer.status, messageIn(answer)],
    [400, `rpc error: code = FailedPrecondition desc = network ${id} is in use by task ${task.id}`],
  );
});

test("the ingress network can go while no service publishes a port", async (t) => {
  const w = await swarmWorld(t);
  const EndpointSpec = { Ports: [{ TargetPort: 80 }] };
  const made = await w.ask("POST", "/services/create", { body: aService({ EndpointSpec }) });
  const { ID } = made.json as { ID: ServiceId };
  const used = await w.ask("DELETE", "/networks/ingress");
  deepEqual(
    [used.status, messageIn(used)],
    [
      400,
      `rpc error: code = FailedPrecondition desc = ingress network cannot be removed because service ${ID} depends on it`,
    ],
  );
  await w.ask("DELETE", "/services/web");
  equal((await w.ask("DELETE", "/networks/ingress")).status, 204);
  const none = await w.ask("POST", "/services/create", { body: aService({ EndpointSpec }) });
  deepEqual(
    [none.status, messageIn(none)],
    [
      400,
      "rpc error: code = FailedPrecondition desc = service needs ingress network, but no ingress network is present",
    ],
  );
});

test("prune takes what nobody uses, and nothing that came with the engine", async (t) => {
  const w = await swarmWorld(t);
  await create(w, { Name: "idle" });
  await addTask(w, await create(w, { Name: "busy" }), {});
  await create(w, { Name: "kept", Labels: { keep: "1" } });
  for (const Name of ["mine", "held"]) await w.ask("POST", "/networks/create", { body: { Name } });
  w.local.inUse.add(w.local.networks.find((n) => n.Name === "held")!.Id);
  w.clock.advance(3_600_000);
  const prune = (filters: object) => w.ask("POST", "/networks/prune", { query: { filters: JSON.stringify(filters) } });
  deepEqual((await prune({ until: ["2h"] })).json, { NetworksDeleted: null });
  deepEqual((await prune({ "label!": ["keep"] })).json, { NetworksDeleted: ["mine", "idle"] });
  deepEqual((await prune({ label: ["keep=1"], until: ["30m"] })).json, { NetworksDeleted: ["kept"] });
  deepEqual(namesIn(await w.ask("GET", "/networks")), ["ingress", "busy", "bridge", "host", "none", "held"]);
  equal((await prune({ until: ["yesterday"] })).status, 400);
});
