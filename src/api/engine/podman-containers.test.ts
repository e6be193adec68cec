// Containers behind the front door on a real Podman, driven by the real CLI. They have no network or the host's, so that nothing of the host
// is touched.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { findService } from "../../engine/index.ts";
import { aPodman, IMAGE } from "../../engine/testing/podman.ts";
import { askAt } from "../testing/world.ts";
import { frontDoor } from "./testing/front-door.ts";
import { eventually } from "./testing/helpers.ts";

test("containers: the CLI against Podman", { timeout: 240_000 }, async (t) => {
  const podman = await aPodman(t);
  const door = await frontDoor(t, podman.socketPath);
  const docker = door.docker;
  const run = (...args: string[]) => docker(["run", "--network", "none", ...args]);

  await t.test("run: output, input and exit codes, also of containers that are removed at once", async () => {
    const three = await run("--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3");
    deepEqual(three, { code: 3, stdout: "out\n", stderr: "err\n" });
    const echo = await docker(["run", "-i", "--rm", "--network", "none", IMAGE, "cat"], "over there\n");
    deepEqual(echo, { code: 0, stdout: "over there\n", stderr: "" });
    for (const _again of [1, 2, 3, 4, 5]) {
      const none = await run("--rm", IMAGE, "no-such-command"); // Podman may have removed it before it is started
      equal(none.code, 127);
      match(none.stderr, /^docker: Error .*failed to create task for container: .*executable file not found in \$PATH/);
    }
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
