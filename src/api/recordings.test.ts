// Replays real dockerd's recorded requests, in order, and compares every answer with the recorded one: status, text, and which fields are
// absent, null or empty. Between the requests the test plays manager and agent.
import { deepEqual, equal } from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { newHexId, newId, type TaskId } from "../model/ids.ts";
import { swarmInfoJson } from "./swarm-json.ts";
import { differences, type Recording, recordedPart, recordings } from "./testing/recording.ts";
import { type World, world } from "./testing/world.ts";

/** Ids of the recorded swarm that occur in its requests. */
const SECRET_ID = "i0vj9spnbvg0l6geutlcsc5bn";
const NETWORK_ID = "idq8lmdqgfdjghwbmudngwdxf";
const NODE_ID = "q630z7vtehbtkwf24rltmev63";
/** Answered by the routes to the container engine. */
const NOT_OURS = new Set(["39-containers"]);

test("every recorded request is answered as dockerd answered it", async (t) => {
  const w = await world(t);
  for (const recording of recordings().filter((r) => !NOT_OURS.has(r.name))) {
    await t.test(`${recording.name}: ${recording.method} ${recording.path}`, async (sub) => {
      await before[recording.name]?.(w, sub);
      const answer = await w.ask(recording.method, `/v1.41${inWorld(w, recording.path)}`, {
        query: queryInWorld(w, recording),
        ...(recording.body !== undefined && { body: inWorld(w, recording.body) }),
      });
      equal(answer.status, recording.status, answer.text);
      equal(answer.headers["content-type"] ?? "", recording.contentType);
      if (recording.answer === undefined) equal(answer.text, "");
      else deepEqual(differences(answer.json, recording.answer), []);
    });
  }
});

test("the Swarm section of docker info is as recorded", async (t) => {
  const w = await world(t);
  await w.ask("POST", "/swarm/init", {
    body: { ListenAddr: "127.0.0.1:12377", AdvertiseAddr: "127.0.0.1", DataPathPort: 14789 },
  });
  deepEqual(differences(swarmInfoJson(w.context), recordedPart("05-info")), []);
});

/** What happens in the swarm before a request. */
const before: Readonly<Record<string, (w: World, t: TestContext) => Promise<void> | void>> = {
  "07-swarm-update-stale": touchCluster,
  "10-ingress": (w) => {
    w.status.byName.set("ingress", {
      containers: {
        "ingress-sbox": {
          Name: "ingress-endpoint",
          EndpointID: newHexId(),
          MacAddress: "02:42:0a:00:00:02",
          IPv4Address: "10.0.0.2/24",
          IPv6Address: "",
        },
      },
      peers: [{ Name: "fd1592e473aa", IP: "127.0.0.1" }],
    });
  },
  "13-net-inspect": allocateNetwork,
  "24-service-inspect": allocateService,
  "30-service-inspect-updated": startUpdate,
};

/** So that version 1, which the recording takes for stale, is. */
async function touchCluster({ store }: World): Promise<void> {
  await store.update((tx) => {
    tx.update<"cluster">({ ...tx.all("cluster")[0]! });
  });
}

async function allocateNetwork({ store }: World): Promise<void> {
  await store.update((tx) => {
    const network = tx.byName("network", "gnet")[0]!;
    const ipam = { configs: [{ subnet: "10.0.1.0/24", gateway: "10.0.1.1" }] };
    tx.update<"network">({ ...network, driverState: { vni: 4097 }, ipam });
  });
}

async function allocateService({ store, swarm }: World): Promise<void> {
  await store.update((tx) => {
    const service = tx.byName("service", "gsvc")[0]!;
    const [ingress, gnet] = ["ingress", "gnet"].map((name) => tx.byName("network", name)[0]!.id);
    const endpoint = {
      spec: service.spec.EndpointSpec!,
      ports: service.spec.EndpointSpec!.Ports!,
      virtualIPs: [
        { networkId: ingress!, addr: "10.0.0.3/24" },
        { networkId: gnet!, addr: "10.0.1.2/24" },
      ],
    };
    tx.update<"service">({ ...service, endpoint });
    tx.create<"task">({
      kind: "task",
      id: newId<TaskId>(),
      serviceId: service.id,
      serviceName: "gsvc",
      serviceLabels: {},
      slot: 1,
      nodeId: swarm.active()!.nodeId,
      spec: service.spec.TaskTemplate,
      specVersion: service.specVersion,
      endpoint,
      networks: [
        { networkId: ingress!, addresses: ["10.0.0.4/24"], aliases: [] },
        { networkId: gnet!, addresses: ["10.0.1.3/24"], aliases: [] },
      ],
      status: {
        timestamp: tx.now,
        state: "running",
        message: "started",
        container: { id: newHexId(), pid: 14044, exitCode: 0 },
      },
      desiredState: "running",
    });
  });
}

async function startUpdate({ store }: World): Promise<void> {
  await store.update((tx) => {
    const service = tx.byName("service", "gsvc")[0]!;
    const updateStatus = { state: "updating", startedAt: tx.now, message: "update in progress" } as const;
    tx.update<"service">({ ...service, updateStatus });
  });
}

/** The text of a request with this world's ids in the place of the recorded ones. */
function inWorld({ store, swarm }: World, text: string): string {
  const id = (kind: "secret" | "network", name: string) => store.view.byName(kind, name)[0]?.id ?? "none";
  return text
    .replaceAll(SECRET_ID, id("secret", "gsec"))
    .replaceAll(NETWORK_ID, id("network", "gnet"))
    .replaceAll(NODE_ID, swarm.active()?.nodeId ?? "none");
}

/** A recorded version means the newest one; 1 was meant to be stale. */
function queryInWorld({ store, swarm }: World, { path, query }: Recording): Record<string, string> {
  const { version } = query;
  if (version === undefined || version === "1") return { ...query };
  const object = path.startsWith("/swarm")
    ? store.view.all("cluster")[0]
    : path.startsWith("/nodes")
      ? store.view.get("node", swarm.active()!.nodeId)
      : store.view.byName("service", "gsvc")[0];
  return { ...query, version: String(object?.version) };
}
