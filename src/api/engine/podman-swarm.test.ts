// Where engine and swarm meet, on a real Podman with the real CLI: events, info, attachable networks, tasks and their logs.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { test } from "node:test";
import { aPodman, IMAGE } from "../../engine/testing/podman.ts";
import { type NodeId, newId, type ServiceId, type TaskId } from "../../model/ids.ts";
import { recordings } from "../testing/recording.ts";
import { askAt } from "../testing/world.ts";
import { keepAttachments } from "./attachment-keeper.ts";
import { frontDoor } from "./testing/front-door.ts";
import { eventually, overlayNetwork } from "./testing/helpers.ts";

test("engine and swarm: the CLI against Podman", { timeout: 240_000 }, async (t) => {
  const podman = await aPodman(t);
  const door = await frontDoor(t, podman.socketPath);
  const docker = door.docker;
  const run = (...args: string[]) => docker(["run", "--network", "none", ...args]);

  await t.test("events: translated, filtered, merged with the swarm's, and replayed", async () => {
    const since = new Date();
    await run("--rm", "--name", "eventful", "-l", "of=events", IMAGE, "sh", "-c", "exit 7");
    door.context.events.publish({
      Type: "service",
      Action: "create",
      Actor: { ID: "s1", Attributes: { name: "web" } },
      scope: "swarm",
    });
    const query = ["--since", since.toISOString(), "--until", new Date(Date.now() + 1000).toISOString()];
    const format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}";
    const { stdout } = await docker(["events", ...query, "--format", format]);
    deepEqual(
      stdout
        .trim()
        .split("\n")
        .filter((line) => !line.includes("attach")),
      [
        "container create eventful",
        "container start eventful",
        "container die eventful",
        "container destroy eventful",
        "service create web",
      ],
    );
    const die = await docker(["events", ...query, "--filter", "event=die", "--format", "{{json .Actor.Attributes}}"]);
    deepEqual(JSON.parse(die.stdout), { exitCode: "7", image: IMAGE, name: "eventful", of: "events" });
    equal((await docker(["events", ...query, "--filter", "label=of=other"])).stdout, "");
  });

  await t.test("version, info, df, plugins, auth", async () => {
    match(
      (await docker(["version"])).stdout,
      /Server: skep 0\.1\.0[\s\S]*API version: +1\.51 \(minimum version 1\.24\)/,
    );
    const info = await docker(["info"]);
    match(
      info.stdout,
      / Containers: \d+[\s\S]* Server Version: 0\.1\.0[\s\S]* Network: .*overlay[\s\S]* Swarm: inactive/,
    );
    match(info.stderr, /a warning/);
    match((await docker(["system", "df"])).stdout, /Images +\d+ +\d+ +[\d.]+MB/);
    equal((await docker(["plugin", "ls", "-q"])).stdout, "");
    match((await docker(["login", "-u", "u", "--password-stdin", "127.0.0.1:1"], "p")).stderr, /connection refused/);
  });

  await t.test("attachable networks: a sandbox comes with the container and goes with it", async (t) => {
    equal((await docker(["swarm", "init", "--advertise-addr", "127.0.0.1"])).code, 0);
    const id = await overlayNetwork(door, "over", true);
    await overlayNetwork(door, "closed", false);
    const holder = spawn("unshare", ["--net", "sleep", "1000"], { stdio: "ignore" });
    t.after(() => holder.kill("SIGKILL"));
    door.attachments.netnsPath = `/proc/${holder.pid}/ns/net`;
    const refused = await docker(["run", "-d", "--network", "closed", IMAGE]);
    match(
      refused.stderr,
      /Could not attach to network closed: rpc error: code = PermissionDenied desc = network closed not manually attachable/,
    );
    const stop = new AbortController();
    t.after(() => stop.abort());
    const keeping = keepAttachments(door.context, stop.signal);
    const { stdout, stderr } = await docker(["run", "-d", "--network", "over", "--name", "attached", IMAGE]);
    match(stdout, /^[0-9a-f]{64}\n$/, stderr);
    deepEqual(door.attachments.calls, ["create over", "bind attachment1", "ensure attachment1"]);
    const labels = await docker(["inspect", "attached", "--format", "{{json .Config.Labels}}"]);
    deepEqual(JSON.parse(labels.stdout), { of: "skep" });
    deepEqual(await docker(["network", "disconnect", "over", "attached"]), { code: 0, stdout: "", stderr: "" });
    equal(door.attachments.calls.at(-1), `disconnect attachment1 ${id}`);
    await docker(["rm", "-f", "attached"]);
    ok(door.attachments.calls.includes("release attachment1"));
    await docker(["run", "--rm", "--network", "over", IMAGE, "sh", "-c", "true"]);
    await eventually(t, async () => door.attachments.calls.includes("release attachment2") || undefined);
    const failed = await docker([
      "create",
      "--network",
      "over",
      "--name",
      "attached",
      "-v",
      "/nosuch/dir:/x:bad",
      IMAGE,
    ]);
    equal(failed.code, 1);
    deepEqual(door.attachments.list(), []);
    stop.abort();
    await keeping;
  });

  await t.test("tasks: their networks in ps and inspect, and the logs of a service", async () => {
    const networkId = await overlayNetwork(door, "net", false);
    const serviceId = newId<ServiceId>();
    const nodeId = door.swarm.active()?.nodeId ?? newId<NodeId>();
    const spec = { ContainerSpec: { Image: IMAGE } };
    await door.store.update((tx) => {
      tx.create<"service">({
        kind: "service",
        id: serviceId,
        spec: { Name: "web", Labels: {}, TaskTemplate: spec, Mode: { Replicated: { Replicas: 2 } } },
        specVersion: 1,
      });
    });
    for (const slot of [1, 2]) {
      const id = newId<TaskId>();
      const labels = [`com.docker.swarm.task.id=${id}`, "com.docker.swarm.task=", "com.docker.swarm.service.name=web"];
      const { stdout, stderr } = await run(
        ...["-d", "--name", `web.${slot}.${id}`, ...labels.flatMap((l) => ["-l", l])],
        ...[IMAGE, "sh", "-c", `echo out ${slot}; echo err ${slot} >&2; exec sleep 1000`],
      );
      match(stdout, /^[0-9a-f]{64}/, stderr);
      await door.store.update((tx) => {
        tx.create<"task">({
          kind: "task",
          id,
          serviceId,
          serviceName: "web",
          serviceLabels: {},
          slot,
          nodeId,
          spec,
          specVersion: 1,
          networks: [{ networkId, addresses: [`10.0.1.${2 + slot}/24`], aliases: [] }],
          status: {
            timestamp: tx.now,
            state: "running",
            message: "started",
            container: { id: stdout.trim(), pid: 1, exitCode: 0 },
          },
          desiredState: "running",
        });
      });
    }
    const filters = JSON.stringify({ label: ["com.docker.swarm.service.name=web"], network: ["net"] });
    const { json } = await askAt(door.socket, "GET", "/containers/json", { query: { filters } });
    const containers = json as Record<string, unknown>[];
    equal(containers.length, 2);
    const recorded = (recordings().find((r) => r.name === "39-containers")?.answer ?? [{}]) as object[];
    const ours = Object.keys(containers[0] ?? {}).sort();
    deepEqual(ours, Object.keys(recorded[0] ?? {}).sort());
    const settings = containers[0]?.NetworkSettings as
      | { Networks: Record<string, Record<string, unknown>> }
      | undefined;
    const { DNSNames, EndpointID, ...endpoint } = settings?.Networks.net ?? {};
    deepEqual([DNSNames, EndpointID], [null, ""]);
    deepEqual(endpoint, {
      Aliases: null,
      DriverOpts: null,
      Gateway: "",
      GlobalIPv6Address: "",
      GlobalIPv6PrefixLen: 0,
      IPAMConfig: { IPv4Address: "10.0.1.4" },
      IPAddress: "10.0.1.4",
      IPPrefixLen: 24,
      IPv6Gateway: "",
      Links: null,
      MacAddress: "02:42:0a:00:01:04",
      NetworkID: networkId,
    });
    const mode = await docker(["inspect", String(containers[0]?.Id), "--format", "{{.HostConfig.NetworkMode}}"]);
    equal(mode.stdout, "default\n");
    const lines = await eventually(t, async () => {
      const { stdout, stderr } = await docker(["service", "logs", "web"]);
      const all = `${stdout}${stderr}`.trim().split("\n").sort();
      return all.length === 4 ? all : undefined;
    });
    for (const [i, said] of ["err 1", "out 1", "err 2", "out 2"].entries()) {
      match(lines[i] ?? "", new RegExp(`^web\\.${said.slice(-1)}\\.[0-9a-z]{12}@vm +\\| ${said}$`));
    }
    const follow = request({
      socketPath: door.socket,
      path: "/v1.41/services/web/logs?stdout=1&follow=1&tail=0",
      agent: false,
    });
    follow.end();
    const [answer] = (await once(follow, "response")) as [IncomingMessage];
    await run("-d", "--name", "late", "-l", `com.docker.swarm.task.id=${newId()}`, IMAGE, "sh", "-c", "echo late");
    const late = (await docker(["inspect", "late", "--format", "{{.Id}}"])).stdout.trim();
    await door.store.update((tx) => {
      const [task] = tx.tasksOfService(serviceId);
      if (task)
        tx.update<"task">({ ...task, status: { ...task.status, container: { id: late, pid: 1, exitCode: 0 } } });
    });
    let text = "";
    for await (const chunk of answer) {
      text += chunk;
      if (text.endsWith("late\n")) break; // which also ends the request
    }
    equal(text.slice(8), "late\n"); // one frame; nothing of before, as no tail was asked for
    equal((await docker(["service", "logs", "nosuch"])).code, 1);
  });
});
