import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type DaemonConfig, parseDaemonConfig } from "../daemon/config.ts";
import { hasCode, messageOf } from "../model/errors.ts";
import { down } from "./down.ts";
import { takeLock } from "./lock.ts";
import { answers, filesOf, isRunning, pidOf, waitUntil, withLastPodman } from "./running.ts";
import { status } from "./status.ts";
import { up } from "./up.ts";

const FAKE = join(import.meta.dirname, "testing/fake-daemon.ts");

test("up starts a daemon that answers, status finds it, down stops it", async (t) => {
  const { config, roots, said, say, command } = world(t);
  equal(await status(roots, { say }), 3);
  equal(await up(config, { say, command }), "started");
  ok(await answers(config));
  equal(readFileSync(filesOf(config).pid, "utf8"), `${pidOf(config)}\n`);
  ok(said.includes(`  export DOCKER_HOST=unix://${config.execRoot}/skep.sock`));
  ok(
    said.some((line) => line.includes(`docker context create skep --docker host=unix://${config.execRoot}/skep.sock`)),
  );
  equal(await status(roots, { say }), 0);

  await down(roots, { say, purge: false });
  equal(isRunning(config), false);
  equal(existsSync(filesOf(config).pid), false);
  equal(await status(roots, { say }), 3);
});

test("up is harmless where a daemon runs already, and so is down where none does", async (t) => {
  const { config, roots, said, say, command } = world(t);
  await up(config, { say, command });
  const pid = pidOf(config);
  equal(await up(config, { say, command }), "already running");
  equal(pidOf(config), pid);
  await down(roots, { say, purge: false });
  await down(roots, { say, purge: false });
  equal(said.at(-1), `skep is not running on ${config.execRoot}`);
});

test("of many ups at once one starts a daemon, and all succeed", async (t) => {
  const { config, roots, say, command } = world(t);
  await Promise.all([1, 2, 3].map(() => up(config, { say, command })));
  ok(await answers(config));
  await down(roots, { say, purge: false });
  equal(isRunning(config), false);
});

test("a daemon that was killed does not count as running, and the next one starts", async (t) => {
  const { config, roots, say, command } = world(t);
  await up(config, { say, command });
  process.kill(pidOf(config)!, "SIGKILL");
  ok(await waitUntil(() => !isRunning(config), 5000));
  ok(existsSync(filesOf(config).pid), "the pid file of the dead is still there");
  equal(await up(config, { say, command }), "started");
  await down(roots, { say, purge: false });
});

test("a daemon that dies at once: its last words, and only those of this start", async (t) => {
  const { config, say, command } = world(t, { FAKE_DAEMON: "dies" });
  await rejects(
    async () => {
      writeLog(config, "words of an earlier run\n");
      await up(config, { say, command });
    },
    (e) => {
      ok(hasCode(e, "unavailable"));
      match(messageOf(e), /did not start \(exit code 1\)/);
      match(messageOf(e), /no podman in PATH/);
      ok(!messageOf(e).includes("earlier run"));
      return true;
    },
  );
  equal(isRunning(config), false);
});

test("a daemon that never answers is given up, and not left behind", async (t) => {
  const { config, say, command } = world(t, { FAKE_DAEMON: "mute" });
  await rejects(up(config, { say, command, timeoutMs: 1000 }), (e) => hasCode(e, "timeout"));
  ok(await waitUntil(() => !isRunning(config), 5000));
});

test("down --purge stops the daemon first, then purges with the flags it was started with, and lets no other start meanwhile", async (t) => {
  const { config, roots, say, command } = world(t);
  const storage = { root: join(config.dataRoot, "podman"), runRoot: "/var/tmp/not-in-the-roots" };
  const started: DaemonConfig = { ...config, logLevel: "debug", podman: { kind: "own", storage } };
  await up(started, { say, command });
  mkdirSync(join(storage.root, "overlay"), { recursive: true });
  execFileSync("mount", ["--bind", join(storage.root, "overlay"), join(storage.root, "overlay")]);
  const seen: DaemonConfig[] = [];
  await down(roots, {
    say,
    purge: true,
    load: async () => ({
      runDaemon: async () => {},
      purge: async (purged) => {
        ok(isRunning(purged), "the lock is held");
        await rejects(up(started, { say: () => {}, command, timeoutMs: 100 }));
        seen.push(purged);
      },
    }),
  });
  deepEqual(seen, [started]);
  equal(isRunning(config), false);
  equal(existsSync(config.dataRoot), false);
  equal(existsSync(config.execRoot), false);
});

test("the next up uses the Podman of the last one, unless it is told another", async (t) => {
  const { config, roots, say, command, dir } = world(t);
  const storage = { podmanRoot: join(dir, "p"), podmanRunroot: join(dir, "pr") };
  deepEqual(withLastPodman(roots), roots);
  await up(parseDaemonConfig({ ...roots, ...storage }), { say, command });
  await down(roots, { say, purge: false });
  deepEqual(withLastPodman({ ...roots, logLevel: "warn" }), { ...roots, logLevel: "warn", ...storage });
  deepEqual(withLastPodman({ ...roots, podman: "unix:///x" }), { ...roots, podman: "unix:///x" });
  equal(isRunning(config), false);
});

test("down --purge leaves what others put into the roots", async (t) => {
  const { config, roots, say, command } = world(t);
  await up(config, { say, command });
  writeFileSync(join(config.dataRoot, "theirs"), "");
  await down(roots, { say, purge: true, load: async () => ({ runDaemon: async () => {}, purge: async () => {} }) });
  deepEqual(readdirSync(config.dataRoot), ["theirs"]);
  equal(existsSync(config.execRoot), false);
});

test("two daemons cannot share one data root", async (t) => {
  const { config, say, command, dir } = world(t);
  const lock = takeLock(config.dataRoot);
  t.after(() => lock.release());
  const other = { ...config, execRoot: join(dir, "other") };
  await rejects(up(other, { say, command }), (e) => /already uses/.test(messageOf(e)));
});

/** Roots of this test's own, gone afterwards with whatever daemon runs there. */
function world(t: TestContext, env: Record<string, string> = {}) {
  const dir = mkdtempSync(join(tmpdir(), "skep-cli-"));
  const roots = { dataRoot: join(dir, "data"), execRoot: join(dir, "run") };
  const config = parseDaemonConfig(roots);
  t.after(async () => {
    const pid = pidOf(config);
    if (pid !== undefined) process.kill(pid, "SIGKILL");
    await waitUntil(() => !isRunning(config), 5000);
    rmSync(dir, { recursive: true, force: true });
  });
  const said: string[] = [];
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const command = ["env", ...settings, process.execPath, "--disable-warning=ExperimentalWarning", FAKE] as const;
  return {
    dir,
    roots,
    config,
    said,
    say: (line: string) => void said.push(line),
    command: [...command] as [string, ...string[]],
  };
}

function writeLog(config: DaemonConfig, text: string): void {
  takeLock(config.dataRoot).release(); // makes the folder
  writeFileSync(filesOf(config).log, text);
}
