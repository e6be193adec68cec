// Hostile input for every endpoint: whatever comes, the server answers in JSON, logs no fault of its own, and serves the next request.
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Answer, aService, swarmWorld, type World } from "./testing/world.ts";

const PATHS = [
  "GET /swarm",
  "POST /swarm/init",
  "POST /swarm/join",
  "POST /swarm/update",
  "POST /swarm/unlock",
  "GET /swarm/unlockkey",
  "GET /nodes",
  "GET /nodes/X",
  "POST /nodes/X/update",
  "DELETE /nodes/X",
  "GET /services",
  "POST /services/create",
  "GET /services/X",
  "POST /services/X/update",
  "DELETE /services/X",
  "GET /tasks",
  "GET /tasks/X",
  "GET /networks",
  "POST /networks/create",
  "POST /networks/prune",
  "GET /networks/X",
  "DELETE /networks/X",
  "POST /networks/X/connect",
  "POST /networks/X/disconnect",
  "GET /secrets",
  "POST /secrets/create",
  "GET /secrets/X",
  "POST /secrets/X/update",
  "DELETE /secrets/X",
  "GET /configs",
  "POST /configs/create",
  "POST /configs/X/update",
  "GET /_ping",
  "HEAD /_ping",
];

/** Statuses that tell a client what is wrong. 500 only with the texts for which dockerd has it, too. */
function isProper(answer: Answer): boolean {
  if (answer.status !== 500) return answer.status >= 200 && answer.status < 504;
  return /update out of sequence|network .* not found|registryAuthFrom|rollback option|previous spec/s.test(
    answer.text,
  );
}

async function proveAlive(w: World): Promise<void> {
  equal((await w.ask("GET", "/_ping")).text, "OK");
  deepEqual(w.faults, []);
}

const name = fc.oneof(
  fc.constantFrom("web", "vm", "ingress", "bridge", "", ".", "..", "%00", "__proto__", "constructor"),
  fc.string({ maxLength: 20, unit: "grapheme" }),
);
const query = fc.dictionary(
  fc.constantFrom(
    "filters",
    "version",
    "force",
    "status",
    "insertDefaults",
    "scope",
    "verbose",
    "rollback",
    "registryAuthFrom",
  ),
  fc.oneof(fc.string({ unit: "grapheme" }), fc.json({ maxDepth: 3 }), fc.integer().map(String)),
);
const body = fc.oneof(
  fc.json({ maxDepth: 4 }),
  fc.string({ unit: "grapheme" }),
  fc.json().map((text) => text.slice(0, -1)),
);

test("random requests to every endpoint", async (t) => {
  const w = await swarmWorld(t);
  await w.ask("POST", "/services/create", { body: aService() });
  const request = fc.tuple(
    fc.constantFrom(...PATHS),
    name,
    query,
    body,
    fc.constantFrom("", "/v1.24", "/v1.41", "/v9.9"),
  );
  await fc.assert(
    fc.asyncProperty(request, async ([route, id, parameters, text, version]) => {
      const [method = "", path = ""] = route.split(" ");
      const target = version + path.replace("X", encodeURIComponent(id));
      const answer = await w.ask(method, target, { query: parameters, ...(method === "POST" && { body: text }) });
      equal(isProper(answer), true, `${answer.status} ${answer.text}`);
      if (answer.status >= 400 && method !== "HEAD")
        equal(typeof (answer.json as { message: unknown }).message, "string");
    }),
    { numRuns: 400 },
  );
  await proveAlive(w);
});

/** A spec with everything in it, to be damaged. */
const FULL = {
  Name: "full",
  Labels: { a: "b" },
  TaskTemplate: {
    ContainerSpec: {
      Image: "alpine",
      Command: ["a"],
      Env: ["a=b"],
      Init: true,
      Mounts: [{ Type: "bind", Source: "/a", Target: "/b", BindOptions: { Propagation: "shared" } }],
      Healthcheck: { Test: ["NONE"], Interval: 1e9 },
      DNSConfig: { Nameservers: ["1.1.1.1"] },
      Secrets: [{ File: { Name: "f", UID: "0", GID: "0", Mode: 292 }, SecretID: "a", SecretName: "b" }],
      Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
      Sysctls: { "net.core.somaxconn": "1" },
    },
    Resources: { Limits: { NanoCPUs: 1e9 }, Reservations: { MemoryBytes: 1e8 } },
    RestartPolicy: { Condition: "any", Delay: 1, MaxAttempts: 2, Window: 3 },
    Placement: { Constraints: ["node.role==manager"], Preferences: [{ Spread: { SpreadDescriptor: "node.id" } }] },
    Networks: [{ Target: "ingress", Aliases: ["x"] }],
    LogDriver: { Name: "json-file", Options: {} },
  },
  Mode: { Replicated: { Replicas: 2 } },
  UpdateConfig: { Parallelism: 1, Order: "stop-first" },
  EndpointSpec: { Mode: "vip", Ports: [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" }] },
};

/** Every path to a value inside. */
function pathsOf(value: unknown, path: string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, v]) => pathsOf(v, [...path, key]))];
}

function damaged(path: readonly string[], value: unknown): unknown {
  const copy = structuredClone(FULL) as Record<string, unknown>;
  let at = copy;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
  const last = path.at(-1);
  if (last === undefined) return value;
  at[last] = value;
  return copy;
}

test("a full spec with any one value replaced by anything", async (t) => {
  const w = await swarmWorld(t);
  const odd = fc.oneof(
    fc.constantFrom(null, "", 0, -1, 1e300, 2 ** 53, true, [], {}, [null], [[]], "\u0000", "x".repeat(70_000)),
    fc.jsonValue({ maxDepth: 2 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...pathsOf(FULL)), odd, async (path, value) => {
      const answer = await w.ask("POST", "/services/create", { body: JSON.stringify(damaged(path, value)) });
      equal(isProper(answer), true, `${answer.status} ${answer.text}`);
      if (answer.status === 201) await w.ask("DELETE", `/services/${(answer.json as { ID: string }).ID}`);
    }),
    { numRuns: 600 },
  );
  await proveAlive(w);
});

test("whatever spec is taken, it comes back the same when it is sent again", async (t) => {
  const w = await swarmWorld(t);
  const { Networks: _, ...task } = FULL.TaskTemplate;
  const { Secrets: __, ...container } = task.ContainerSpec;
  const spec = { ...FULL, TaskTemplate: { ...task, ContainerSpec: container } };
  await w.ask("POST", "/services/create", { body: spec });
  const read = async () => (await w.ask("GET", "/services/full")).json as { Spec: object; Version: { Index: number } };
  const first = await read();
  const answer = await w.ask("POST", "/services/full/update", {
    body: first.Spec,
    query: { version: String(first.Version.Index) },
  });
  equal(answer.status, 200, answer.text);
  equal(JSON.stringify((await read()).Spec), JSON.stringify(first.Spec));
  equal(w.store.view.byName("service", "full")[0]?.specVersion, 1);
});
