// A namespace of ours under a real container engine: Podman with conmon and runc, on storage of its own.
import { equal, match } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { freshNetns } from "./fixture.ts";
import { deleteNetns, isNetns, netnsId } from "./netns.ts";
import { RtNetlink } from "./rtnetlink.ts";

test("Podman starts a container in a namespace that createNetns made, and the name can go while it runs", (t) => {
  const [ns] = freshNetns(t) as [string];
  using rt = RtNetlink.open(ns);
  rt.addBridge("eth7", { up: true });
  rt.addAddress("eth7", "10.0.1.4/24");
  const dir = mkdtempSync(join(tmpdir(), "skep-podman-"));
  const rootfs = join(dir, "rootfs");
  for (const part of ["bin", "proc", "sys", "dev", "etc", "tmp", "run"])
    mkdirSync(join(rootfs, part), { recursive: true });
  copyFileSync("/bin/busybox", join(rootfs, "bin", "busybox"));
  const storage = ["--root", join(dir, "root"), "--runroot", join(dir, "run"), "--tmpdir", join(dir, "tmp")];
  const podman = (...args: string[]) =>
    spawnSync(
      "podman",
      [...storage, "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none", ...args],
      {
        encoding: "utf8",
      },
    );
  const name = `skep-kernel-${process.pid}`;
  t.after(async () => {
    podman("rm", "-f", "-t", "0", name);
    while (inUse(dir)) await setImmediate(); // conmon has Podman clean up after the container, on its own time
    spawnSync("umount", ["-R", join(dir, "root", "overlay")]);
    rmSync(dir, { recursive: true, force: true });
  });
  const run = podman(
    "run",
    "-d",
    // Podman asks for a million of each by default, which a host that cannot raise its limits refuses
    "--ulimit",
    "nofile=4096",
    "--ulimit",
    "nproc=4096",
    "--name",
    name,
    "--network",
    `ns:${ns}`,
    "--rootfs",
    rootfs,
    "/bin/busybox",
    "sleep",
    "600",
  );
  equal(run.status, 0, run.stderr);
  const inside = (...argv: string[]): string => podman("exec", name, "/bin/busybox", ...argv).stdout;
  equal(inside("readlink", "/proc/self/ns/net").trim(), netnsId(ns));
  match(inside("ip", "addr", "show", "dev", "eth7"), /10\.0\.1\.4\/24/);
  deleteNetns(ns);
  equal(isNetns(ns), false);
  match(inside("ip", "addr", "show", "dev", "eth7"), /10\.0\.1\.4\/24/);
});

/** Whether a process was started with this directory among its arguments. */
function inUse(dir: string): boolean {
  return spawnSync("pgrep", ["--full", dir]).status === 0;
}
