import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ExecError, exec } from "./exec.ts";
import { freshNetns, openFds, witness } from "./fixture.ts";
import { iptablesRestore, iptablesSave } from "./iptables.ts";
import { netnsId } from "./netns.ts";

test("a command reads its input and answers both outputs", async () => {
  const said = await exec(["sh", "-c", "cat; echo oops >&2"], { stdin: "hello\n" });
  deepEqual(said, { stdout: "hello\n", stderr: "oops\n" });
  const big = "x".repeat(1 << 20);
  equal((await exec(["cat"], { stdin: big })).stdout.length, big.length);
  equal((await exec(["true"], { stdin: big })).stdout, ""); // never reads it
});

test("a command runs in the namespace that was asked for, and this process stays", async (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  const where = ["readlink", "/proc/self/ns/net"] as const;
  const said = await Promise.all([undefined, a, b, undefined].map((netns) => exec(where, { netns })));
  deepEqual(
    said.map((s) => s.stdout.trim()),
    [netnsId(undefined), netnsId(a), netnsId(b), netnsId(undefined)],
  );
});

test("a failure tells the exit code and the command's own first words", async () => {
  const e = await failure(exec(["sh", "-c", "echo out; echo first >&2; echo second >&2; exit 3"]));
  deepEqual([e.exitCode, e.signal, e.stdout, e.stderr], [3, null, "out\n", "first\nsecond\n"]);
  match(e.message, /exit code 3: first$/);
  equal((await failure(exec(["/no/such/command"]))).code, "ENOENT");
  equal((await failure(exec(["sh", "-c", "kill -TERM $$"]))).signal, "SIGTERM");
  await rejects(exec(["true"], { netns: "/nowhere" }), { name: "KernelError", errnoName: "ENOENT" });
});

test("a command is ended by time or by the caller, and its output until then is kept", async () => {
  const slow = await failure(exec(["sh", "-c", "echo begun; exec sleep 60"], { timeoutMs: 300 }));
  match(slow.message, /not done after 300 ms/);
  deepEqual([slow.signal, slow.stdout], ["SIGKILL", "begun\n"]);

  const gone = new AbortController();
  const running = failure(exec(["sleep", "60"], { signal: gone.signal }));
  gone.abort(new Error("no longer wanted"));
  match(String((await running).cause), /no longer wanted/);
  match((await failure(exec(["sleep", "60"], { signal: gone.signal }))).message, /before it began/);
});

test("nothing is left open", async () => {
  await exec(["true"]);
  const before = openFds();
  for (let i = 0; i < 20; i++) {
    await exec(["true"]);
    await failure(exec(["false"]));
    await failure(exec(["/no/such/command"]));
  }
  while (openFds() > before) await setImmediate(); // node closes the pipes of what it could not start a moment later
});

test("iptables' rules are restored and saved in a namespace, a whole table or nothing", async (t) => {
  const [a] = freshNetns(t) as [string];
  await iptablesRestore(a, "*nat\n:SKEP - [0:0]\n-A SKEP -s 10.0.0.0/8 -j MASQUERADE\nCOMMIT\n");
  await iptablesRestore(a, "*nat\n-A POSTROUTING -j SKEP\nCOMMIT\n");
  const saved = await iptablesSave(a, "nat");
  match(saved, /-A SKEP -s 10\.0\.0\.0\/8 -j MASQUERADE/);
  match(saved, /-A POSTROUTING -j SKEP/);
  equal(witness(a, "iptables", "-t", "nat", "-S", "SKEP"), "-N SKEP\n-A SKEP -s 10.0.0.0/8 -j MASQUERADE\n");
  await rejects(iptablesRestore(a, "*nat\n-A SKEP -j ACCEPT\n-A NOPE -j ACCEPT\nCOMMIT\n"), ExecError);
  equal(witness(a, "iptables", "-t", "nat", "-S", "SKEP"), "-N SKEP\n-A SKEP -s 10.0.0.0/8 -j MASQUERADE\n");
  await iptablesRestore(a, "*nat\nCOMMIT\n", { noflush: false });
  equal((await iptablesSave(a, "nat")).includes("SKEP"), false);
  await iptablesRestore(a, "*filter\n-A INPUT -s fd00::/8 -j ACCEPT\nCOMMIT\n", { family: 6 });
  match(await iptablesSave(a, "filter", 6), /-A INPUT -s fd00::\/8 -j ACCEPT/);
});

async function failure(running: Promise<unknown>): Promise<ExecError> {
  try {
    await running;
  } catch (e) {
    if (e instanceof ExecError) return e;
    throw e;
  }
  throw new Error("it did not fail");
}
