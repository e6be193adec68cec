import { deepEqual, equal, match, notEqual, ok, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isErrno } from "./errno.ts";
import { freshNetns, freshNetnsDir, openFds, witness, witnessJson } from "./fixture.ts";
import {
  closeFd,
  createNetns,
  deleteNetns,
  inNetns,
  isNetns,
  listNetns,
  netnsId,
  netnsOfPid,
  openNetnsFd,
  prepareNetnsDir,
  removeNetnsDir,
  sameNetns,
} from "./netns.ts";

const here = (): string => readlinkSync("/proc/thread-self/ns/net");

test("a new namespace has a down loopback and nothing else, and can be entered by ip netns' own means", (t) => {
  const [path] = freshNetns(t) as [string];
  const links = witnessJson<{ ifname: string; operstate: string }[]>(path, "ip", "-j", "link");
  deepEqual(
    links.map((l) => [l.ifname, l.operstate]),
    [["lo", "DOWN"]],
  );
  const nsenter = spawnSync("nsenter", [`--net=${path}`, "readlink", "/proc/self/ns/net"], { encoding: "utf8" });
  equal(nsenter.stdout.trim(), netnsId(path));
  notEqual(netnsId(path), netnsId(undefined));
});

test("creating one that is there keeps it; a plain file left by a crash is taken over", (t) => {
  const dir = freshNetnsDir(t);
  const path = join(dir, "a");
  createNetns(path);
  const first = netnsId(path);
  createNetns(path);
  equal(netnsId(path), first);

  const half = join(dir, "half");
  writeFileSync(half, "");
  equal(isNetns(half), false);
  createNetns(half);
  equal(isNetns(half), true);
});

test("making one leaves this thread and its children at home", (t) => {
  const before = here();
  const [path] = freshNetns(t) as [string];
  equal(here(), before);
  equal(witness(undefined, "readlink", "/proc/self/ns/net").trim(), before);
  equal(sameNetns(undefined, netnsOfPid(process.pid)), true);
  equal(sameNetns(path, undefined), false);
});

test("deleting takes the file and every mount on it away, and may be repeated", (t) => {
  const dir = freshNetnsDir(t);
  const path = join(dir, "a");
  createNetns(path);
  spawnSync("mount", ["--bind", path, path]); // stacked, as a second daemon or a bind of the directory would
  equal(mountsBelow(dir), 3);
  deleteNetns(path);
  equal(isNetns(path), false);
  throws(() => statSync(path), { code: "ENOENT" });
  deleteNetns(path);
  deleteNetns(join(dir, "missing", "deeper"));
  equal(mountsBelow(dir), 1);
  throws(() => deleteNetns(dir), { code: "EISDIR" }); // a mount too, but no namespace
  equal(mountsBelow(dir), 1);
});

test("only network namespaces are listed", (t) => {
  const dir = freshNetnsDir(t);
  createNetns(join(dir, "b"));
  createNetns(join(dir, "a"));
  writeFileSync(join(dir, "plain"), "");
  writeFileSync(join(dir, "uts"), "");
  spawnSync("mount", ["--bind", "/proc/self/ns/uts", join(dir, "uts")]); // nsfs too, but of another kind
  deepEqual(listNetns(dir), [join(dir, "a"), join(dir, "b")]);
  deepEqual(listNetns(join(dir, "missing")), []);
  equal(isNetns(join(dir, "missing")), false);
  equal(isNetns("/proc/self/ns/uts"), false);
  equal(isNetns("/proc/self/ns/net"), true);
});

test("the directory becomes a shared mount once, and goes back to what it was", (t) => {
  const parent = freshNetnsDir(t);
  const dir = join(parent, "netns");
  prepareNetnsDir(dir);
  prepareNetnsDir(dir);
  equal(mountsBelow(dir), 1);
  match(readFileSync("/proc/self/mountinfo", "utf8"), new RegExp(` ${dir} .* shared:`));
  createNetns(join(dir, "a"));
  throws(
    () => removeNetnsDir(dir),
    (e) => isErrno(e, "ENOTEMPTY"),
  );
  deleteNetns(join(dir, "a"));
  removeNetnsDir(dir);
  removeNetnsDir(dir);
  equal(mountsBelow(dir), 0);
  throws(() => statSync(dir), { code: "ENOENT" });
});

test("a directory with something else in it keeps that", (t) => {
  const parent = freshNetnsDir(t);
  const dir = join(parent, "netns");
  mkdirSync(dir);
  writeFileSync(join(dir, "note"), "mine");
  prepareNetnsDir(dir);
  removeNetnsDir(dir);
  equal(readFileSync(join(dir, "note"), "utf8"), "mine");
  spawnSync("rm", ["-r", dir]);
});

test("a mount namespace made earlier sees namespaces come and go", async (t) => {
  const dir = freshNetnsDir(t);
  prepareNetnsDir(dir);
  // as a container engine's own mount namespace would: a slave of ours
  const other = spawnSync(
    "unshare",
    ["--mount", "--propagation", "slave", "sh", "-c", `sleep 60 >/dev/null 2>&1 & echo $!`],
    {
      encoding: "utf8",
    },
  );
  const pid = Number(other.stdout.trim());
  t.after(() => process.kill(pid, "SIGKILL"));
  const seen = (): number =>
    readFileSync(`/proc/${pid}/mountinfo`, "utf8")
      .split("\n")
      .filter((l) => l.includes(`${dir}/a`)).length;
  createNetns(join(dir, "a"));
  equal(seen(), 1);
  deleteNetns(join(dir, "a"));
  equal(seen(), 0);
});

test("inNetns is inside, answers, and is home again; also when fn throws, and when nested", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  const home = here();
  equal(
    inNetns(a, () => here()),
    netnsId(a),
  );
  equal(here(), home);
  throws(
    () =>
      inNetns(a, () => {
        throw new Error("from inside");
      }),
    /from inside/,
  );
  equal(here(), home);
  inNetns(a, () => {
    equal(
      inNetns(b, () => here()),
      netnsId(b),
    );
    equal(here(), netnsId(a));
    createNetns(`${b}-too`);
    equal(here(), netnsId(a));
    throws(() => inNetns("/nowhere", () => 1));
    equal(here(), netnsId(a));
  });
  equal(here(), home);
  equal(
    inNetns(undefined, () => here()),
    home,
  );
});

test("entering what is no network namespace is refused, and this thread stays", () => {
  const home = here();
  throws(
    () => inNetns("/nowhere/at/all", () => 1),
    (e) => isErrno(e, "ENOENT"),
  );
  throws(
    () => inNetns("/proc/self/ns/uts", () => 1),
    (e) => isErrno(e, "EINVAL"),
  );
  throws(
    () => inNetns(100_000, () => 1),
    (e) => isErrno(e, "EBADF"),
  );
  equal(here(), home);
});

test("if home cannot be reached again, the process dies instead of acting on the wrong network", (t) => {
  const [path] = freshNetns(t) as [string];
  // closes the descriptor of home while away, which nothing in skep does
  const script = `
    import { inNetns } from ${JSON.stringify(join(import.meta.dirname, "netns.ts"))};
    import { readdirSync, readlinkSync, closeSync } from "node:fs";
    const home = readlinkSync("/proc/thread-self/ns/net");
    inNetns(${JSON.stringify(path)}, () => {
      for (const fd of readdirSync("/proc/self/fd")) {
        try { if (readlinkSync("/proc/self/fd/" + fd) === home) closeSync(Number(fd)); } catch {}
      }
    });
    console.log("still running");`;
  const run = spawnSync(
    "sh",
    ["-c", 'ulimit -c 0; exec "$0" "$@"', process.execPath, "--input-type=module-typescript", "-e", script],
    {
      encoding: "utf8",
    },
  );
  equal(run.stdout, "");
  match(run.stderr, /cannot return to the own network namespace/);
  ok(run.signal === "SIGABRT" || run.status === 134);
});

test("threads that node starts later are at home, also if the first inNetns came before them", (t) => {
  const [path] = freshNetns(t) as [string];
  const script = `
    import { inNetns } from ${JSON.stringify(join(import.meta.dirname, "netns.ts"))};
    import { readdirSync, readlinkSync, stat } from "node:fs";
    inNetns(${JSON.stringify(path)}, () => { stat("/", () => {}); });
    const all = readdirSync("/proc/self/task").map((task) => readlinkSync("/proc/self/task/" + task + "/ns/net"));
    console.log(new Set(all).size, all.length > 4);`;
  const run = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", script], { encoding: "utf8" });
  equal(run.stdout.trim(), "1 true", run.stderr);
});

test("a descriptor keeps a namespace whose file is gone, and compares as the same", (t) => {
  const [path] = freshNetns(t) as [string];
  const fd = openNetnsFd(path);
  const id = netnsId(path);
  equal(sameNetns(fd, path), true);
  deleteNetns(path);
  equal(
    inNetns(fd, () => here()),
    id,
  );
  closeFd(fd);
  throws(
    () => closeFd(fd),
    (e) => isErrno(e, "EBADF"),
  );
});

test("nothing is left open", (t) => {
  const dir = freshNetnsDir(t);
  const round = (): void => {
    createNetns(join(dir, "a"));
    inNetns(join(dir, "a"), () => 1);
    throws(() => inNetns("/nowhere", () => 1));
    listNetns(dir);
    deleteNetns(join(dir, "a"));
  };
  round();
  const before = openFds();
  for (let i = 0; i < 20; i++) round();
  equal(openFds(), before);
});

function mountsBelow(dir: string): number {
  const at = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4]);
  return at.filter((path) => path === dir || path?.startsWith(`${dir}/`)).length;
}
