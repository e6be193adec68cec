import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import { swarmWorld } from "./testing/world.ts";

const NOTHING = {
  secretFiles: false,
  publishedPorts: false,
  healthChecks: false,
  templates: false,
  encryption: false,
  autolock: false,
};

const service = (container: object, more: object = {}) => ({
  Name: "web",
  TaskTemplate: { ContainerSpec: { Image: "alpine", ...container } },
  ...more,
});

test("what has no effect yet is told when a service is created or updated", async (t) => {
  const w = await swarmWorld(t, { features: NOTHING });
  const body = service(
    { Healthcheck: { Test: ["CMD", "true"] }, Hostname: "{{.Task.Slot}}" },
    { EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080 }] } },
  );
  const created = await w.ask("POST", "/services/create", { body });
  equal(created.status, 201);
  const { Warnings } = created.json as { Warnings: string[] };
  equal(Warnings.length, 3);
  match(Warnings.join("\n"), /published ports.*\n.*health check.*\n.*templates/);
  const version = w.store.view.byName("service", "web")[0]!.version;
  const updated = await w.ask("POST", "/services/web/update", { query: { version: `${version}` }, body });
  deepEqual(updated.json, { Warnings });
});

test("a service with nothing of the kind is created without a warning", async (t) => {
  const w = await swarmWorld(t, { features: NOTHING });
  const created = await w.ask("POST", "/services/create", { body: service({ Healthcheck: { Test: ["NONE"] } }) });
  deepEqual(Object.keys(created.json as object), ["ID"]);
});

test("secrets that would not be there, and encryption that would not be done, are refused", async (t) => {
  const w = await swarmWorld(t, { features: NOTHING });
  const { ID } = (await w.ask("POST", "/secrets/create", { body: { Name: "s", Data: "YWJj" } })).json as { ID: string };
  const Secrets = [{ SecretID: ID, SecretName: "s", File: { Name: "s", UID: "0", GID: "0", Mode: 292 } }];
  const refused = await w.ask("POST", "/services/create", { body: service({ Secrets }) });
  deepEqual([refused.status, w.store.view.all("service").length], [501, 0]);
  const network = { Name: "n", Driver: "overlay", Options: { encrypted: "" } };
  equal((await w.ask("POST", "/networks/create", { body: network })).status, 501);
  const cluster = w.store.view.all("cluster")[0]!;
  const body = { ...cluster.spec, EncryptionConfig: { AutoLockManagers: true } };
  const locked = await w.ask("POST", "/swarm/update", { query: { version: `${cluster.version}` }, body });
  equal(locked.status, 501);
});
