// The front door on a real Podman, driven by the real CLI. Containers have no network or the host's, so that nothing of the host is touched.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { findService } from "../../engine/index.ts";
import { aPodman, IMAGE } from "../../engine/testing/podman.ts";
import { aRegistry } from "../../engine/testing/registry.ts";
import type { NetworkId } from "../../model/ids.ts";
import { newId } from "../../model/ids.ts";
import { askAt } from "../testing/world.ts";
import { keepAttachments } from "./attachment-keeper.ts";
import { type FrontDoor, frontDoor } from "./testing/front-door.ts";

/** Waits until `found` gives something, with each of the engine's events as an occasion to look. */
async function eventually<T>(t: TestContext, found: () => Promise<T | undefined>): Promise<T> {
  for (let n = 0; n < 500 && !t.signal.aborted; n++) {
    const value = await found();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("it never came");
}

async function attachable(door: FrontDoor, name: string, isAttachable: boolean): Promise<NetworkId> {
  const id = newId<NetworkId>();
  await door.store.update((tx) => {
    tx.create<"network">({
      kind: "network",
      id,
      spec: {
        Name: name,
        Labels: {},
        Driver: "overlay",
        Options: {},
        EnableIPv6: false,
        Internal: false,
        Attachable: isAttachable,
        Ingress: false,
      },
    });
  });
  return id;
}

test("the CLI against Podman", { timeout: 240_000 }, async (t) => {
  const podman = await aPodman(t);
  const door = await frontDoor(t, podman.socketPath);
  const docker = door.docker;
  const run = (...args: string[]) => docker(["run", "--network", "none", ...args]);

  await t.test("run: output, input and exit codes, also of containers that are removed at once", async () => {
    const three = await run("--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3");
    deepEqual(three, { code: 3, stdout: "out\n", stderr: "err\n" });
    const echo = await docker(["run", "-i", "--rm", "--network", "none", IMAGE, "cat"], "over there\n");
    deepEqual(echo, { code: 0, stdout: "over there\n", stderr: "" });
    const none = await run("--rm", IMAGE, "no-such-command");
    equal(none.code, 127);
    match(none.stderr, /failed to create task for container: .*executable file not found in \$PATH/);
    deepEqual((await docker(["ps", "-aq"])).stdout, "");
  });

  await t.test("ps and inspect look as Docker's", async () => {
    await run("-d", "--name", "one", "-l", "of=one", "-e", "A=b", IMAGE, "sleep", "1000");
    await docker(["run", "-d", "--network", "host", "--name", "two", IMAGE, "sh", "-c", "sleep 1000"]);
    const { stdout } = await docker(["ps", "--format", "{{.Names}}|{{.Image}}|{{.Command}}|{{.Networks}}|{{.State}}"]);
    deepEqual(stdout.trim().split("\n"), [
      `two|${IMAGE}|"sh -c 'sleep 1000'"|host|running`,
      `one|${IMAGE}|"sleep 1000"|none|running`,
    ]);
    const format = "{{json .Config.Env}} {{.Config.Image}} {{.HostConfig.NetworkMode}} {{json .HostConfig.CapDrop}}";
    const [env = "", ...rest] = (await docker(["inspect", "one", "--format", format])).stdout.trim().split(" ");
    deepEqual(rest, [IMAGE, "none", "null"]);
    deepEqual((JSON.parse(env) as string[]).sort(), [
      "A=b",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]);
    for (const [filter, names] of [
      ["label=of=one", "one"],
      ["name=^/two$", "two"],
      ["network=host", "two"],
      [`ancestor=${IMAGE}`, "two\none"],
      ["status=paused", ""],
      ["is-task=false", "two\none"],
    ] as const) {
      const ps = await docker(["ps", "-a", "--filter", filter, "--format", "{{.Names}}"]);
      equal(ps.stdout.trim(), names, filter);
    }
    match((await docker(["ps", "--filter", "bogus=1"])).stderr, /Invalid filter 'bogus'/);
    match((await docker(["inspect", "zz"])).stderr, /No such object: zz/);
    match((await run("--name", "one", IMAGE)).stderr, /Conflict\. The container name "\/one" is already in use by/);
    match((await docker(["rm", "one"])).stderr, /container is running: stop the container before removing or force/);
    match((await docker(["run", "nosuch/image"])).stderr, /Unable to find image 'nosuch\/image:latest' locally/);
  });

  await t.test("exec: streams, exit codes, detached, terminals and their size", async () => {
    deepEqual(await docker(["exec", "one", "sh", "-c", "echo out; echo err >&2; exit 5"]), {
      code: 5,
      stdout: "out\n",
      stderr: "err\n",
    });
    deepEqual(await docker(["exec", "-i", "one", "sh", "-c", "cat; exit 4"], "in\n"), {
      code: 4,
      stdout: "in\n",
      stderr: "",
    });
    equal((await docker(["exec", "-d", "one", "sleep", "1"])).code, 0);
    match((await docker(["exec", "zz", "true"])).stderr, /No such container: zz/);
    const { json } = await askAt(door.socket, "POST", "/containers/one/exec", {
      body: { Cmd: ["sleep", "1000"], Tty: true, AttachStdout: true },
    });
    const { Id } = json as { Id: string };
    equal((await askAt(door.socket, "POST", `/exec/${Id}/start`, { body: { Detach: true, Tty: true } })).status, 200);
    equal((await askAt(door.socket, "POST", `/exec/${Id}/resize`, { query: { h: "33", w: "77" } })).status, 200);
    equal((await askAt(door.socket, "GET", "/exec/nosuch/json")).status, 404);
  });

  await t.test("logs, top, stats, cp, diff, pause, rename, restart, kill and wait", async () => {
    await run("-d", "--name", "talker", IMAGE, "sh", "-c", "echo a; echo c; exec sleep 1000");
    await eventually(t, async () => ((await docker(["logs", "talker"])).stdout.includes("c") ? true : undefined));
    deepEqual(await docker(["logs", "talker"]), { code: 0, stdout: "a\nc\n", stderr: "" });
    equal((await docker(["logs", "--tail", "1", "talker"])).stdout, "c\n");
    match((await docker(["top", "talker"])).stdout, /UID +PID +PPID[\s\S]*sleep 1000/);
    const stats = await docker(["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "talker"]);
    equal(stats.stdout.trim(), "talker 1");
    await writeFile(join(podman.dir, "copied"), "copied\n");
    equal((await docker(["cp", join(podman.dir, "copied"), "talker:/copied"])).code, 0);
    equal((await docker(["exec", "talker", "cat", "/copied"])).stdout, "copied\n");
    match((await docker(["cp", "talker:/nosuch", "-"])).stderr, /Could not find the file \/nosuch in container talker/);
    match((await docker(["diff", "talker"])).stdout, /A \/copied/);
    equal((await docker(["pause", "talker"])).code, 0);
    match((await docker(["exec", "talker", "true"])).stderr, /is paused, unpause the container before exec/);
    equal((await docker(["ps", "--filter", "status=paused", "--format", "{{.Names}}"])).stdout, "talker\n");
    equal((await docker(["unpause", "talker"])).code, 0);
    equal((await docker(["rename", "talker", "renamed"])).code, 0);
    equal((await docker(["restart", "-t", "0", "renamed"])).code, 0);
    const waiting = docker(["wait", "renamed"]);
    equal((await docker(["kill", "renamed"])).code, 0);
    equal((await waiting).stdout.trim(), "137");
    match(
      (await docker(["kill", "renamed"])).stderr,
      /cannot kill container: renamed: container [0-9a-f]{64} is not running/,
    );
    equal((await docker(["rm", "renamed"])).code, 0);
    equal((await askAt(door.socket, "POST", "/containers/one/start")).status, 304);
    equal((await askAt(door.socket, "POST", "/containers/one/wait", { query: { condition: "x" } })).status, 400);
  });

  await t.test("images: names as Docker shows them, tag, history, save, load, rmi", async () => {
    const names = async () =>
      (await docker(["images", "--format", "{{.Repository}}:{{.Tag}}"])).stdout.trim().split("\n").sort();
    equal((await docker(["tag", IMAGE, "some/thing:2"])).code, 0);
    deepEqual(await names(), [IMAGE, "some/thing:2"]);
    equal((await docker(["images", "-q", "--filter", "reference=some/*"])).stdout.trim().length, 12);
    deepEqual(
      JSON.parse((await docker(["image", "inspect", "some/thing:2"])).stdout)[0].RepoTags.sort(),
      await names(),
    );
    match((await docker(["history", IMAGE])).stdout, /IMAGE +CREATED/);
    const tar = join(podman.dir, "saved.tar");
    equal((await docker(["save", "-o", tar, "some/thing:2"])).code, 0);
    equal((await docker(["rmi", "some/thing:2"])).stdout.split("\n")[0], "Untagged: some/thing:2");
    equal((await docker(["load", "-i", tar])).stdout.trim(), "Loaded image: some/thing:2");
    equal((await docker(["rmi", "some/thing:2"])).code, 0);
    match((await docker(["rmi", "nosuch"])).stderr, /No such image: nosuch:latest/);
    match((await docker(["rmi", IMAGE])).stderr, /container [0-9a-f]{12} is using its referenced image/);
    match((await docker(["save", "nosuch:1"])).stderr, /No such image: nosuch:1/);
  });

  await t.test("build, by the classic builder", async () => {
    const context = join(podman.dir, "context");
    await mkdir(context);
    await writeFile(join(context, "Dockerfile"), `FROM ${IMAGE}\nENV MADE=here\nCOPY Dockerfile /\nCMD ["env"]\n`);
    const built = await docker(["build", "-t", "built:1", context]);
    equal(built.code, 0, built.stderr);
    match(built.stdout, /Successfully tagged built:1/);
    match((await run("--rm", "built:1")).stdout, /MADE=here/);
    equal((await docker(["rmi", "built:1"])).code, 0);
  });

  await t.test("pull with progress, and the digest of a registry's image", async (t) => {
    const registry = await aRegistry(t);
    const digest = await askAt(door.socket, "GET", `/distribution/${registry}/app:1/json`);
    equal(digest.status, 200, digest.text);
    const { Descriptor, Platforms } = digest.json as { Descriptor: { digest: string }; Platforms: { os: string }[] };
    match(Descriptor.digest, /^sha256:[0-9a-f]{64}$/);
    equal(Platforms[0]?.os, "linux");
    equal((await askAt(door.socket, "GET", `/distribution/${registry}/private:1/json`)).status, 401);
    equal((await askAt(door.socket, "GET", `/distribution/${registry}/app:nosuch/json`)).status, 404);
    const pulled = await docker(["pull", `${registry}/app:1`]);
    equal(pulled.code, 0, pulled.stderr);
    match(pulled.stdout, /^1: Pulling from .*app\n[\s\S]*Digest: sha256:[0-9a-f]{64}\nStatus: Downloaded newer image/);
    equal((await docker(["rmi", `${registry}/app:1`])).stdout.split("\n")[0], `Untagged: ${registry}/app:1`);
    match(
      (await docker(["pull", `${registry}/app:nosuch`])).stderr,
      /manifest for .*app:nosuch not found: manifest unknown/,
    );
    match((await docker(["pull", `${registry}/private:1`])).stderr, /pull access denied for .*private/);
    const unreachable = await askAt(door.socket, "GET", "/distribution/127.0.0.1:2/app:1/json");
    equal(unreachable.status, 500);
    match(unreachable.text, /Get \\"http:\/\/127\.0\.0\.1:2\/v2\/\\": .*ECONNREFUSED/);
  });

  await t.test("volumes: exact names, and prune takes anonymous ones only", async () => {
    for (const name of ["vol", "volume2"]) equal((await docker(["volume", "create", name])).stdout.trim(), name);
    equal((await docker(["volume", "rm", "vol"])).code, 0);
    match((await docker(["volume", "rm", "vol"])).stderr, /get vol: no such volume/);
    await run("--name", "with", "-v", "/anonymous", IMAGE, "sh", "-c", "true");
    equal((await docker(["rm", "with"])).code, 0);
    const pruned = (await docker(["volume", "prune", "-f"])).stdout;
    match(pruned, /Deleted Volumes:\n[0-9a-f]{64}\n/);
    equal((await docker(["volume", "ls", "-q"])).stdout.trim(), "volume2");
    await run("-d", "--name", "user", "-v", "volume2:/v", IMAGE);
    match((await docker(["volume", "rm", "volume2"])).stderr, /remove volume2: volume is in use - \[[0-9a-f]{64}\]/);
    await docker(["rm", "-f", "user"]);
    equal((await docker(["volume", "rm", "volume2"])).code, 0);
  });

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
    const id = await attachable(door, "over", true);
    await attachable(door, "closed", false);
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

  await t.test("kill -9 of Podman's service while somebody waits: the exit code still comes", async () => {
    const sent = request({ socketPath: door.socket, method: "POST", path: "/containers/two/wait", agent: false });
    sent.end();
    const [answer] = (await once(sent, "response")) as [IncomingMessage]; // from here on it waits
    const pid = await findService(podman.socketPath);
    ok(pid !== undefined);
    process.kill(pid, "SIGKILL");
    await podman.engine().start(); // brings the service back
    equal((await docker(["kill", "two"])).code, 0);
    let text = "";
    for await (const chunk of answer) text += chunk;
    deepEqual(JSON.parse(text), { StatusCode: 137 });
  });
});
