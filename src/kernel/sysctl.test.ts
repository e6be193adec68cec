import { equal, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { freshNetns, witness } from "./fixture.ts";
import { RtNetlink } from "./rtnetlink.ts";
import { readSysctl, writeSysctl } from "./sysctl.ts";

test("a setting is written and read in its namespace, and nowhere else", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  const name = "net.ipv4.ip_local_port_range";
  const host = readSysctl(undefined, name);
  writeSysctl(a, name, "40000 41000");
  equal(readSysctl(a, name), "40000\t41000");
  equal(witness(a, "sysctl", "-n", name).trim(), "40000\t41000");
  equal(readSysctl(b, name), "32768\t60999");
  equal(readSysctl(undefined, name), host);
  equal(spawnSync("sysctl", ["-n", name], { encoding: "utf8" }).stdout.trim(), host);
});

test("an interface whose name has a dot is written with a slash, as in sysctl(8)", (t) => {
  const [a] = freshNetns(t) as [string];
  using rt = RtNetlink.open(a);
  rt.addBridge("br0.100");
  writeSysctl(a, "net.ipv4.conf.br0/100.rp_filter", 2);
  equal(readSysctl(a, "net.ipv4.conf.br0/100.rp_filter"), "2");
});

test("unknown settings, bad values and names that lead elsewhere are refused", (t) => {
  const [a] = freshNetns(t) as [string];
  throws(() => readSysctl(a, "net.ipv4.no_such_thing"), { code: "ENOENT" });
  throws(() => writeSysctl(a, "net.ipv4.no_such_thing", 1), { code: "ENOENT" });
  throws(() => writeSysctl(a, "net.ipv4.ip_forward", "many"), { code: "EINVAL" });
  throws(() => readSysctl(a, "net.//.//.self"), TypeError);
  throws(() => readSysctl(a, ""), TypeError);
});

test("it is the thread's namespace that counts: a worker in another one reads its own", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  writeSysctl(a, "net.ipv4.ip_default_ttl", 11);
  writeSysctl(b, "net.ipv4.ip_default_ttl", 22);
  const script = `
    import { Worker, isMainThread, parentPort } from "node:worker_threads";
    import { inNetns } from ${JSON.stringify(join(import.meta.dirname, "netns.ts"))};
    import { readSysctl } from ${JSON.stringify(join(import.meta.dirname, "sysctl.ts"))};
    const [a, b, file] = process.argv.slice(-3);
    if (isMainThread) {
      const worker = new Worker(file, { argv: process.argv.slice(-3) });
      worker.on("message", (ttl) => console.log(inNetns(a, () => readSysctl(undefined, "net.ipv4.ip_default_ttl")), ttl));
    } else parentPort.postMessage(inNetns(b, () => readSysctl(undefined, "net.ipv4.ip_default_ttl")));`;
  const file = join(mkdtempSync(join(tmpdir(), "skep-sysctl-")), "threads.mts");
  t.after(() => rmSync(dirname(file), { recursive: true }));
  writeFileSync(file, script);
  const run = spawnSync(process.execPath, [file, a, b, file], { encoding: "utf8" });
  equal(run.stdout, "11 22\n", run.stderr);
});
