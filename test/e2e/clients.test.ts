// Every docker command there is, at every API version that matters, does everything a person does with a swarm. The steps are session.ts.
import { deepEqual, equal, match, notEqual } from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { Client } from "./client.ts";
import { debianFile } from "./debian.ts";
import { Host } from "./host.ts";
import { SESSION } from "./session.ts";

/** Debian 12's is 20.10; later ones have a package of its own for the command. */
const old = debianFile("docker.io/usr/bin/docker", "docker-cli/usr/bin/docker");
/** The newest that both sides speak, and versions at which the command's behaviour changes. */
const VERSIONS = [undefined, "1.44", "1.41", "1.30", "1.24"];
const CLIENTS: (readonly [name: string, program: string, api: string | undefined])[] = [
  ...VERSIONS.map((api) => ["cli", "docker", api] as const),
  ...(old === undefined ? [] : [undefined, "1.30", "1.24"].map((api) => ["old", old, api] as const)),
];

let host: Host;

suite("clients", () => {
  before(async () => {
    host = Host.create();
    await host.up();
    await host.images();
  });
  after(() => host.remove());

  for (const [name, program, api] of CLIENTS) {
    test(`${name} at ${api ?? "its newest"}: the swarm itself`, async () => {
      try {
        await swarm(await Client.of(host, name, program, api));
      } finally {
        await host.tryDocker("swarm", "leave", "--force"); // whatever failed, the next begins without one
      }
    });
  }

  // Side by side: much of a session is waiting.
  suite("sessions", { concurrency: 4 }, () => {
    before(() => host.docker("swarm", "init"));

    for (const [name, program, api] of CLIENTS) {
      test(`${name} at ${api ?? "its newest"}: a session`, async (t) => {
        const client = await Client.of(host, name, program, api);
        for (const [what, step] of SESSION) await t.test(what, () => step(client));
      });
    }
  });
});

async function swarm(c: Client): Promise<void> {
  equal((await c.try(["node", "ls"])).stderr, `Error response from daemon: ${NO_MANAGER}\n`);
  const made = await c.docker("swarm", "init");
  match(
    made,
    /^Swarm initialized: current node \([0-9a-z]{25}\) is now a manager\.\n\nTo add a worker to this swarm, run/,
  );
  match(made, /\n {4}docker swarm join --token SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25} 192\.0\.2\.1:2377\n/);
  match(
    (await c.try(["swarm", "init"])).stderr,
    /This node is already part of a swarm\. Use "docker swarm leave" to leave/,
  );
  await node(c);
  await settings(c);
  match(
    (await c.try(["swarm", "leave"])).stderr,
    /Removing the last manager erases all current state of the swarm\. Use `--force`/,
  );
  equal(await c.docker("swarm", "leave", "--force"), "Node left the swarm.");
  equal((await c.try(["swarm", "leave"])).stderr, "Error response from daemon: This node is not part of a swarm\n");
}

const NO_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

async function node(c: Client): Promise<void> {
  const list =
    /^ID +HOSTNAME +STATUS +AVAILABILITY +MANAGER STATUS +ENGINE VERSION\n[0-9a-z]{25} \* +node1 +Ready +(\w+) +Leader +\S+$/;
  equal(list.exec(await c.docker("node", "ls"))?.[1], "Active");
  equal(await c.docker("node", "update", "--availability", "drain", "--label-add", "disk=ssd", "node1"), "node1");
  equal(list.exec(await c.docker("node", "ls"))?.[1], "Drain");
  const { Spec, Status, ManagerStatus, Description } = await c.json("node", "inspect", "self");
  deepEqual(Spec, { Labels: { disk: "ssd" }, Role: "manager", Availability: "drain" });
  deepEqual(Status, { State: "ready", Addr: "192.0.2.1" });
  deepEqual(ManagerStatus, { Leader: true, Reachability: "reachable", Addr: "192.0.2.1:2377" });
  match(JSON.stringify(Description), /"Platform":{"Architecture":"(x86_64|aarch64)","OS":"linux"}/);
  const pretty = await c.docker("node", "inspect", "--pretty", "node1");
  match(pretty, /^Labels:\n - disk=ssd\nHostname: +\tnode1\n/m);
  match(pretty, / State:\t\t\tReady\n Availability: +\tDrain\n Address:\t\t192\.0\.2\.1\n/);
  match(pretty, /Manager Status:\n Address:\t\t192\.0\.2\.1:2377\n Raft Status:\t\tReachable\n Leader:\t\tYes\n/);
  await c.docker("node", "update", "--availability", "active", "--label-rm", "disk", "node1");
  deepEqual((await c.json("node", "inspect", "self")).Spec, { Labels: {}, Role: "manager", Availability: "active" });
  match((await c.try(["node", "rm", "node1"])).stderr, /is a cluster manager and is a member of the raft cluster/);
  match((await c.try(["node", "demote", "node1"])).stderr, /attempting to demote the last manager of the swarm/);
}

async function settings(c: Client): Promise<void> {
  equal(await c.docker("swarm", "update", "--task-history-limit", "3", "--cert-expiry", "48h"), "Swarm updated.");
  const text = await c.docker("info");
  match(text, /Task History Retention Limit: 3\n/);
  match(text, /Expiry Duration: 2 days\n/);
  const worker = await c.docker("swarm", "join-token", "-q", "worker");
  const manager = await c.docker("swarm", "join-token", "-q", "manager");
  match(
    await c.docker("swarm", "join-token", "worker"),
    new RegExp(
      `^To add a worker to this swarm, run the following command:\n\n {4}docker swarm join --token ${worker} 192.0.2.1:2377$`,
    ),
  );
  match(
    await c.docker("swarm", "join-token", "--rotate", "worker"),
    /^Successfully rotated worker join token\.\n\nTo add a worker/,
  );
  notEqual(await c.docker("swarm", "join-token", "-q", "worker"), worker);
  equal(await c.docker("swarm", "join-token", "-q", "manager"), manager);
  if (!c.has(25)) return;
  equal((await c.try(["swarm", "unlock-key"])).stderr, "no unlock key is set\n");
  const locked = await c.try(["swarm", "update", "--autolock"]);
  deepEqual([locked.code, /autolock is not supported by this version of skep yet/.test(locked.stderr)], [1, true]);
  equal((await c.try(["swarm", "unlock-key"])).stderr, "no unlock key is set\n");
}
