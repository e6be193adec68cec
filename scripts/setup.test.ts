import { deepEqual, equal, match, ok } from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";

const SETUP = join(import.meta.dirname, "setup");

/** What the script itself is made of; on a machine in these tests there is nothing else in /usr/bin. */
const TOOLS = "sh awk grep tr paste head tail dirname cat mkdir flock id ls sed rm chmod sleep uname".split(" ");

test("--check names each missing package once, installs nothing, and fails", (t) => {
  const { status, stdout } = setup(t, {}, "--check");
  const missing = stdout.trim().split("\n");
  for (const name of ["podman", "bind9-dnsutils", "busybox-static", "curl"])
    ok(missing.includes(name), `${name} is not in ${missing}`);
  equal(new Set(missing).size, missing.length);
  equal(status, 1);
});

test("a program that is there is not asked for, wherever it comes from", (t) => {
  const { stdout } = setup(t, { podman: "", curl: "" }, "--check");
  ok(!/^(podman|curl)$/m.test(stdout));
});

test("podman-docker's imitation is no docker command", (t) => {
  match(setup(t, { docker: "exec podman" }, "--check").stdout, /^docker-cli$/m);
  ok(!/^docker-cli$/m.test(setup(t, { docker: "echo the real one" }, "--check").stdout));
});

for (const [manager, line] of [
  ["dnf", /dnf install .*\bbind-utils\b/],
  ["pacman", /pacman -S .*\bpodman\b.*\bdocker\b/],
  ["apk", /apk add .*\biputils-ping\b/],
  ["zypper", /zypper install .*\bbusybox-static\b/],
] as const) {
  test(`where ${manager} is the package manager: what to type, and a failure`, (t) => {
    const { status, stdout } = setup(t, { [manager]: "exit 99" });
    match(stdout, line);
    equal(status, 1);
  });
}

test("on a system it does not know: Debian's names", (t) => {
  const { status, stdout } = setup(t, {});
  match(stdout, /Debian calls them: .*\bpodman\b/);
  equal(status, 1);
});

test("without root: says so, and does not try", (t) => {
  const { status, stderr } = setup(t, { "apt-get": "echo tried >&2", dpkg: "", id: "echo 1000" });
  match(stderr, /takes root/);
  ok(!stderr.includes("tried"));
  equal(status, 1);
});

test("a failing apt-get: its own last words, and a failure", (t) => {
  const { status, stderr } = setup(t, { "apt-get": "echo E: no network; exit 100", dpkg: "", id: "echo 0" });
  match(stderr, /E: no network/);
  match(stderr, /apt-get update failed/);
  equal(status, 1);
});

test("an unknown flag: how to use it", (t) => {
  const { status, stderr } = setup(t, {}, "--fast");
  match(stderr, /usage: scripts\/setup/);
  equal(status, 2);
});

test("nothing missing: silent", (t) => {
  const { status, stdout, stderr } = setup(t, {}, "--node-only");
  deepEqual([status, stdout, stderr], [0, "", ""]);
});

/** Runs the script where there are only its tools and these programs (name → shell text). */
function setup(t: TestContext, programs: Record<string, string>, ...args: string[]) {
  const bin = mkdtempSync(join(tmpdir(), "skep-setup-"));
  t.after(() => rmSync(bin, { recursive: true }));
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  for (const tool of TOOLS.filter((name) => !(name in programs))) symlinkSync(which(tool), join(bin, tool));
  return spawnSync(SETUP, args, { env: { PATH: bin }, encoding: "utf8" });
}

function which(tool: string): string {
  return execFileSync("sh", ["-c", `command -v ${tool}`], { encoding: "utf8" }).trim();
}
