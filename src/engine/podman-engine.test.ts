// The engine against a real Podman, started for the test in a directory of its own.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { hasCode } from "../model/errors.ts";
import { silent } from "../model/log.ts";
import { PodmanClient } from "./http-client.ts";
import type { ContainerCreate, ContainerExit } from "./index.ts";
import { PodmanEngine } from "./podman-engine.ts";
import { findService, isAlive } from "./podman-host.ts";
import { aPodman, IMAGE, mountsUnder } from "./testing/podman.ts";

const root = process.getuid?.() === 0 ? {} : { skip: "needs root" };
const NO_NETWORK = { nsmode: "none" } as const;

function aContainer(name: string, more: Partial<ContainerCreate> = {}): ContainerCreate {
  return { name, image: IMAGE, netns: NO_NETWORK, labels: { "": "" }, ...more };
}

/** The next death of this container. */
function exitOf(engine: PodmanEngine, id: () => string): Promise<ContainerExit> {
  return new Promise((resolve) => {
    const off = engine.onExit((exit) => {
      if (exit.id !== id()) return;
      off();
      resolve(exit);
    });
  });
}

/** Runs a shell script in a container to its end; resolves with its output. */
async function output(engine: PodmanEngine, script: string, more: Partial<ContainerCreate> = {}): Promise<string> {
  let id = "";
  const exit = exitOf(engine, () => id);
  ({ id } = await engine.createContainer(aContainer(`run${Math.random()}`, { args: ["sh", "-c", script], ...more })));
  await engine.startContainer(id);
  await exit;
  const path = `/v4.0.0/libpod/containers/${id}/logs?stdout=true&stderr=true`;
  const [response] = await once(request({ socketPath: engine.socketPath, path }).end(), "response");
  const said = payloads(await buffer(response));
  await engine.removeContainer(id, { force: true, volumes: true });
  return said.trim();
}

/** Docker's stream format: eight bytes of header, whose last four are the length, before each piece. */
function payloads(stream: Buffer): string {
  let said = "";
  for (let at = 0; at < stream.length; ) {
    const end = at + 8 + stream.readUInt32BE(at + 4);
    said += stream.toString("utf8", at + 8, end);
    at = end;
  }
  return said;
}

test("a container lives and dies", root, async (t) => {
  const podman = await aPodman(t);
  const engine = podman.engine();
  await engine.start();
  await t.test("created, started, killed: each is told, and the death within 100 ms", async () => {
    const { id } = await engine.createContainer(aContainer("one", { labels: { "": "", a: "1" } }));
    equal((await engine.inspectContainer("one"))?.state, "created");
    const { pid } = await engine.startContainer(id);
    ok(await isAlive(pid));
    const running = await engine.inspectContainer(id);
    deepEqual([running?.state, running?.pid, running?.labels.a, running?.name], ["running", pid, "1", "one"]);
    const exit = exitOf(engine, () => id);
    const killed = performance.now();
    process.kill(pid, "SIGKILL");
    equal((await exit).exitCode, 137);
    const late = performance.now() - killed;
    t.diagnostic(`exit heard ${late.toFixed(1)} ms after the kill`);
    ok(late < 100, `${late} ms`);
    await engine.stopContainer(id, { graceMs: 10 });
    await engine.removeContainer(id);
    equal(await engine.inspectContainer(id), undefined);
    await engine.removeContainer(id);
    await engine.stopContainer(id, { graceMs: 10 });
  });

  await t.test("its stop signal comes first, SIGKILL after the grace period", async () => {
    const polite = await engine.createContainer(
      aContainer("polite", {
        args: ["sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.01; done"],
        stopSignal: "USR1",
      }),
    );
    const deaf = await engine.createContainer(
      aContainer("deaf", { args: ["sh", "-c", "trap '' TERM; while :; do sleep 0.01; done"] }),
    );
    for (const { id } of [polite, deaf]) await engine.startContainer(id);
    const seen = exitOf(engine, () => polite.id);
    await engine.stopContainer(polite.id, { graceMs: 20_000 });
    equal((await seen).exitCode, 7);
    const killed = exitOf(engine, () => deaf.id);
    await engine.stopContainer(deaf.id, { graceMs: 50 });
    equal((await killed).exitCode, 137);
  });

  await t.test("a stop that the caller gives up leaves the container running", async () => {
    const { id } = await engine.createContainer(
      aContainer("kept", { args: ["sh", "-c", "trap '' TERM; while :; do sleep 0.01; done"] }),
    );
    const { pid } = await engine.startContainer(id);
    await rejects(engine.stopContainer(id, { graceMs: 60_000, signal: AbortSignal.timeout(20) }), (e) =>
      hasCode(e, "timeout"),
    );
    ok(await isAlive(pid));
  });

  await t.test("mistakes get Docker's words", async () => {
    const says = (code: "invalid" | "not_found" | "conflict", words: RegExp) => (e: unknown) => {
      ok(hasCode(e, code), String(e));
      match(e.message, words);
      return true;
    };
    await rejects(
      engine.createContainer(aContainer("x", { image: "nope" })),
      says("not_found", /^No such image: nope:latest$/),
    );
    const { id } = await engine.createContainer(aContainer("twice", { args: ["nonesuch"] }));
    await rejects(
      engine.createContainer(aContainer("twice")),
      says("conflict", /^Conflict\. The container name "\/twice" is already in use/),
    );
    await rejects(
      engine.startContainer(id),
      says(
        "invalid",
        /OCI runtime create failed: runc create failed: .*exec: "nonesuch": executable file not found in \$PATH: unknown$/,
      ),
    );
    const missing = { type: "bind", source: join(podman.dir, "none"), target: "/x" } as const;
    await rejects(
      engine.createContainer(aContainer("y", { mounts: [missing] })),
      says("invalid", /bind source path does not exist/),
    );
    await rejects(engine.killContainer(id, "TERM"), says("conflict", /./));
  });

  await t.test("the whole spec reaches the container", async () => {
    const source = join(podman.dir, "bound");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "from the host");
    const script = [
      "hostname; pwd; id -u; id -G; env | sort; cat /b/file /etc/hosts; stat -c %a /t",
      "cat /proc/sys/net/core/somaxconn /proc/1/oom_score_adj; grep -E 'CapEff' /proc/1/status",
      "grep 'open files' /proc/1/limits; touch /x 2>/dev/null || echo read-only; touch /v/x && echo volume",
    ].join(";");
    const said = await output(engine, script, {
      hostname: "given",
      dir: "/etc",
      user: "0:0",
      groups: ["1234"],
      env: ["A=b=c", "LONELY", "EMPTY="],
      readOnly: true,
      sysctls: { "net.core.somaxconn": "321" },
      oomScoreAdj: 123,
      capabilityDrop: ["ALL"],
      capabilityAdd: ["net_admin"],
      ulimits: [{ name: "nofile", soft: 100, hard: 200 }],
      mounts: [
        { type: "bind", source, target: "/b", readOnly: true },
        { type: "tmpfs", target: "/t", sizeBytes: 4096, mode: 0o711 },
        { type: "volume", source: "named", target: "/v", labels: { l: "1" } },
      ],
      files: [{ source: join(source, "file"), target: "/etc/hosts" }],
      limits: { memoryBytes: 32 << 20, nanoCpus: 5e8, pids: 20 },
      healthcheck: { test: ["CMD", "true"], intervalMs: 1000 },
    });
    deepEqual(said.split("\n"), [
      "given",
      "/etc",
      "0",
      "0 1234",
      "A=b=c",
      "EMPTY=",
      "HOME=/root",
      "HOSTNAME=given",
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "PWD=/etc",
      "SHLVL=1",
      "from the hostfrom the host711",
      "321",
      "123",
      "CapEff:\t0000000000001000",
      said.split("\n").find((line) => line.startsWith("Max open files")),
      "read-only",
      "volume",
    ]);
    match(said, /Max open files +100 +200/);
  });

  await t.test(
    "by default it is called by its short id, and has Docker's capabilities and no limit on processes",
    async () => {
      const { id } = await engine.createContainer(aContainer("plain"));
      const { pid } = await engine.startContainer(id);
      const inside = (file: string) => readFileSync(`/proc/${pid}/${file}`, "utf8");
      equal(
        execFileSync("nsenter", ["-t", String(pid), "-u", "hostname"], { encoding: "utf8" }).trim(),
        id.slice(0, 12),
      );
      match(inside("status"), /CapEff:\s+00000000a80425fb/);
      const pids = inside("cgroup")
        .split("\n")
        .find((line) => line.includes(":pids:"))
        ?.split(":")[2];
      if (pids !== undefined) equal(readFileSync(`/sys/fs/cgroup/pids${pids}/pids.max`, "utf8").trim(), "max");
    },
  );

  await t.test("a label finds it, in any state", async () => {
    const { id } = await engine.createContainer(aContainer("labelled", { labels: { "": "", role: "x" } }));
    deepEqual(
      (await engine.listContainers({ label: "role=x" })).map((c) => [c.id, c.state, c.name]),
      [[id, "created", "labelled"]],
    );
    deepEqual(await engine.listContainers({ label: "role=y" }), []);
  });

  await t.test("its image is found by any of Docker's names, also one that Podman calls localhost/", async () => {
    equal((await engine.imageExists(`docker.io/library/${IMAGE}`))?.labels.of, "skep");
    await engine.tagImage(`docker.io/library/${IMAGE}`, "localhost/mine/app:1");
    equal(await engine.imageExists("mine/app"), undefined);
    ok((await engine.imageExists("mine/app:1"))?.tags.includes("docker.io/mine/app:1"));
    await engine.createContainer(aContainer("of-local", { image: "mine/app:1" }));
  });

  await t.test("info counts, and names things as Docker does", async () => {
    const info = await engine.info();
    match(info.engineVersion, /^\d+\.\d+/);
    equal(info.arch, execFileSync("uname", ["-m"], { encoding: "utf8" }).trim());
    equal(info.containers, (await engine.listContainers({ label: "" })).length);
    ok(info.images >= 1 && info.cpus >= 1 && info.memoryBytes > 0);
  });

  await t.test("events tell what happens", async () => {
    const abort = new AbortController();
    const events = engine.events(abort.signal, new Date());
    const { id } = await engine.createContainer(aContainer("eventful"));
    for await (const event of events) if (event.actorId === id && event.action === "create") break;
    abort.abort();
  });
});

test("Podman's service dies: it is started again, and a death meanwhile is told", root, async (t) => {
  const podman = await aPodman(t);
  const engine = podman.engine();
  await engine.start();
  const { id } = await engine.createContainer(aContainer("survivor"));
  const { pid } = await engine.startContainer(id);
  const service = await findService(podman.socketPath);
  ok(service !== undefined);
  const exit = exitOf(engine, () => id);
  process.kill(service, "SIGKILL");
  process.kill(pid, "SIGKILL");
  equal((await exit).exitCode, 137);
  equal((await engine.inspectContainer(id))?.state, "exited"); // a request in the meantime only takes longer
  const back = await until(async () => {
    const now = await findService(podman.socketPath);
    return (
      now !== undefined &&
      now !== service &&
      (await engine.ping().then(
        () => true,
        () => false,
      ))
    );
  });
  ok(back);
  await engine.removeContainer(id, { force: true });
  equal(await engine.inspectContainer(id), undefined);
});

test("a death while nobody listened is told at the next start; the service is the same one", root, async (t) => {
  const podman = await aPodman(t);
  const before = podman.engine();
  await before.start();
  const dead = await before.createContainer(aContainer("dead"));
  const alive = await before.createContainer(aContainer("alive"));
  const { pid } = await before.startContainer(dead.id);
  await before.startContainer(alive.id);
  const service = await findService(podman.socketPath);
  await before.close();
  process.kill(pid, "SIGKILL");
  const after = podman.engine();
  const told: ContainerExit[] = [];
  after.onExit((exit) => told.push(exit));
  const exit = exitOf(after, () => dead.id);
  await after.start();
  equal((await exit).exitCode, 137);
  deepEqual(
    told.map((e) => e.id),
    [dead.id],
  );
  equal(await findService(podman.socketPath), service);
});

test("stopping the service leaves containers running and, without any, no mounts", root, async (t) => {
  const podman = await aPodman(t);
  const engine = podman.engine();
  await engine.start();
  const { id } = await engine.createContainer(aContainer("stays"));
  const { pid } = await engine.startContainer(id);
  const exec = new PodmanClient(podman.socketPath, () => Promise.reject(new Error("not expected to be away")));
  const session = await exec.json("POST", `/libpod/containers/${id}/exec`, {
    json: { Cmd: ["true"], AttachStdout: true },
  });
  await exec.ask("POST", `/libpod/exec/${(session as { Id: string }).Id}/start`, { json: { Detach: true } });
  exec.close();
  await engine.stopService();
  await until(async () => conmons(podman.dir).length === 1); // the container's own
  equal(await findService(podman.socketPath), undefined);
  ok(!existsSync(podman.socketPath));
  ok(await isAlive(pid));
  const again = podman.engine();
  await again.start();
  equal((await again.inspectContainer(id))?.pid, pid);
  await again.removeContainer(id, { force: true });
  await again.stopService();
  deepEqual(await mountsUnder(podman.dir), []);
});

test("somebody else's Podman: where it leaves exit codes is learnt, and it is left alone", root, async (t) => {
  const podman = await aPodman(t);
  const engine = new PodmanEngine({ socketPath: podman.socketPath, log: silent });
  t.after(() => engine.close());
  await engine.start();
  const { id } = await engine.createContainer(aContainer("brief", { args: ["sh", "-c", "exit 3"] }));
  const first = exitOf(engine, () => id); // perhaps gone before anything could be learnt: then by Podman's event
  await engine.startContainer(id);
  equal((await first).exitCode, 3);
  const longer = await engine.createContainer(aContainer("longer"));
  const { pid } = await engine.startContainer(longer.id);
  const second = exitOf(engine, () => longer.id);
  const killed = performance.now();
  process.kill(pid, "SIGKILL");
  equal((await second).exitCode, 137);
  const late = performance.now() - killed;
  ok(late < 100, `${late} ms`);
  const service = await findService(podman.socketPath);
  await engine.stopService();
  equal(await findService(podman.socketPath), service);
});

test("the lot: 40 containers at once, all deaths told once", root, async (t) => {
  const podman = await aPodman(t);
  const engine = podman.engine();
  await engine.start();
  const told = new Map<string, number>();
  const done = new Promise<void>((resolve) =>
    engine.onExit((exit) => {
      told.set(exit.id, (told.get(exit.id) ?? 0) + 1);
      if (told.size === 40) resolve();
    }),
  );
  const started = performance.now();
  const made = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const { id } = await engine.createContainer(aContainer(`lot${i}`));
      return { id, ...(await engine.startContainer(id)) };
    }),
  );
  t.diagnostic(`40 created and started in ${(performance.now() - started).toFixed(0)} ms`);
  for (const { pid } of made) process.kill(pid, "SIGKILL");
  await done;
  await Promise.all(made.map(({ id }) => engine.removeContainer(id, { force: true })));
  deepEqual(await engine.listContainers({ label: "" }), []);
  ok([...told.values()].every((times) => times === 1));
});

test(
  "Podman's service dies in the middle of starts: each runs or is told to be lost, and nothing is left",
  root,
  async (t) => {
    const podman = await aPodman(t);
    const engine = podman.engine();
    await engine.start();
    for (let round = 0; round < 3; round++) {
      let done = 0;
      let lost = 0;
      const some = Promise.withResolvers<void>();
      const work = Array.from({ length: 16 }, async (_, i) => {
        const { id } = await engine.createContainer(aContainer(`r${round}-${i}`));
        const pid = await engine.startContainer(id).then(
          (started) => started.pid,
          (e: unknown) => {
            ok(hasCode(e, "unavailable"), String(e));
            lost++;
          },
        );
        if (++done === 2 + 2 * round) some.resolve();
        return { id, pid };
      });
      await some.promise;
      process.kill((await findService(podman.socketPath)) ?? 0, "SIGKILL");
      const all = await Promise.all(work);
      for (const { pid } of all) if (pid !== undefined) ok(await isAlive(pid));
      ok(lost < 8, `${lost} lost`); // some of those that were being started just then
      await Promise.all(all.map(({ id }) => engine.removeContainer(id, { force: true })));
      deepEqual(await engine.listContainers({ label: "" }), []);
      await until(async () => conmons(podman.dir).length === 0); // the last of them ends a moment after its container
    }
  },
);

function conmons(dir: string): string[] {
  const all = execFileSync("ps", ["-eo", "args"], { encoding: "utf8" }).split("\n");
  return all.filter((args) => /^\S*conmon /.test(args) && args.includes(` ${dir}/`));
}

/** Asks again until it is true. */
async function until(ask: () => Promise<boolean>): Promise<boolean> {
  while (!(await ask())) await new Promise((resolve) => setImmediate(resolve));
  return true;
}
