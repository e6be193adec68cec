import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { isErrno } from "./errno.ts";
import { freshNetns, openFds, witness, witnessJson } from "./fixture.ts";
import { deleteNetns, inNetns } from "./netns.ts";
import { Nft, NftError } from "./nft.ts";
import { RtNetlink } from "./rtnetlink.ts";

const TABLE = `
table ip skep {
  map vips {
    type ipv4_addr : ipv4_addr
  }
}
`;
type Ruleset = { nftables: Record<string, { name?: string; elem?: unknown[] }>[] };
const refusal = (run: () => unknown): NftError => {
  try {
    run();
  } catch (e) {
    if (e instanceof NftError) return e;
    throw e;
  }
  throw new Error("it was not refused");
};

test("a script runs in its own namespace and nowhere else", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  using nftA = Nft.open(a);
  using nftB = Nft.open(b);
  equal(nftA.run(TABLE), "");
  nftA.run("add element ip skep vips { 10.0.1.2 : 10.0.1.4 }");
  const seen = witnessJson<Ruleset>(a, "nft", "-j", "list", "map", "ip", "skep", "vips");
  deepEqual(seen.nftables.find((x) => x.map)?.map?.elem, [["10.0.1.2", "10.0.1.4"]]);
  equal(witness(b, "nft", "list", "ruleset"), "");
  equal(nftB.run("list ruleset"), "");
  // and a context made while inside another namespace still belongs to its own
  using nftC = inNetns(b, () => Nft.open(a));
  equal(nftC.run("list tables"), "table ip skep\n");
});

test("interface names are those of the namespace, at each run", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  using rtA = RtNetlink.open(a);
  using rtB = RtNetlink.open(b);
  using nftA = Nft.open(a);
  using nftB = Nft.open(b);
  for (let i = 0; i < 5; i++) rtA.addBridge(`x${i}`);
  rtA.addBridge("eth0");
  rtB.addBridge("eth0");
  const script = "table ip t {\n chain c {\n  iif eth0 accept\n }\n}\n";
  // by index, so the name must be looked up on the right side
  for (const [nft, rt] of [
    [nftA, rtA],
    [nftB, rtB],
  ] as const) {
    nft.run(script);
    match(nft.run("list ruleset"), /iif "eth0" accept/);
    rt.setLink("eth0", { name: "eth9" });
    match(nft.run("list ruleset"), /iif "eth9" accept/);
    equal(refusal(() => nft.run("add rule ip t c iif eth0 accept")).lineNumber, 1);
  }
});

test("a refused script changes nothing, and the error names nft's reason and the line", (t) => {
  const [a] = freshNetns(t) as [string];
  using nft = Nft.open(a);
  nft.run(TABLE);
  const before = nft.run("list ruleset");
  const missing = refusal(() =>
    nft.run("add table ip second\nadd element ip skep nope { 10.0.0.1 : 10.0.0.2 }\nadd table ip third\n"),
  );
  ok(isErrno(missing, "ENOENT"));
  deepEqual([missing.lineNumber, missing.line], [2, "add element ip skep nope { 10.0.0.1 : 10.0.0.2 }"]);
  match(missing.message, /^nft: No such file or directory; did you mean map ‘vips’.*, in: add element ip skep nope/);
  equal(nft.run("list ruleset"), before);

  nft.run("add element ip skep vips { 10.0.0.1 : 10.0.0.2 }");
  ok(
    isErrno(
      refusal(() => nft.run("add element ip skep vips { 10.0.0.1 : 10.0.0.3 }")),
      "EEXIST",
    ),
  );
  ok(
    isErrno(
      refusal(() => nft.run("delete element ip skep vips { 10.0.0.9 : 10.0.0.3 }")),
      "ENOENT",
    ),
  );
  const syntax = refusal(() => nft.run("table ip skep {\n  chain c {\n    bogus words here\n  }\n}\n"));
  deepEqual([syntax.errnoName, syntax.lineNumber, syntax.line.trim()], ["EINVAL", 3, "bogus words here"]);
  // the trap: error text that quotes a rule with such words in it
  const comment = refusal(() => nft.run('add rule ip skep nochain accept comment "File exists"'));
  equal(comment.errnoName, "ENOENT");
  equal(nft.run("list table ip skep").includes("10.0.0.1 : 10.0.0.2"), true);
});

test("handles and JSON come when asked for, and only then", (t) => {
  const [a] = freshNetns(t) as [string];
  using nft = Nft.open(a);
  nft.run(TABLE);
  ok(!nft.run("list ruleset").includes("handle"));
  match(nft.run("list ruleset", { handles: true }), /table ip skep \{ # handle \d+/);
  const tree = nft.json("list ruleset") as Ruleset;
  deepEqual(tree, witnessJson(a, "nft", "-a", "-j", "list", "ruleset"));
  ok(!nft.run("list ruleset").includes("handle"));
  equal(nft.json("add element ip skep vips { 10.0.0.1 : 10.0.0.2 }"), undefined);
});

test("a large script fits", (t) => {
  const [a] = freshNetns(t) as [string];
  using nft = Nft.open(a);
  nft.run(TABLE);
  const elements = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.1 : 10.0.0.2`);
  nft.run(`add element ip skep vips { ${elements.join(", ")} }`);
  const rules = Array.from(
    { length: 3000 },
    (_, i) => `add rule ip skep c ip saddr 10.0.${i >> 8}.${i & 255} counter accept`,
  );
  nft.run(["add chain ip skep c", ...rules].join("\n"));
  equal(
    nft
      .run("list chain ip skep c")
      .split("\n")
      .filter((l) => l.includes("saddr")).length,
    3000,
  );
  const tree = nft.json("list map ip skep vips") as Ruleset;
  equal(tree.nftables.find((x) => x.map)?.map?.elem?.length, 20_000);
});

test("a context keeps its namespace, but no child inherits its socket", (t) => {
  const [a] = freshNetns(t) as [string];
  using nft = Nft.open(a);
  nft.run(TABLE);
  const inherited = spawnSync("sh", ["-c", "ls -l /proc/self/fd"], { encoding: "utf8" }).stdout;
  ok(!/ ([3-9]|\d\d+) -> socket:/.test(inherited), inherited); // 0 to 2 are sockets that spawnSync made
  deleteNetns(a);
  equal(nft.run("list tables"), "table ip skep\n");
});

test("a closed context says so", (t) => {
  const [a] = freshNetns(t) as [string];
  const nft = Nft.open(a);
  nft.close();
  nft.close();
  throws(
    () => nft.run("list tables"),
    (e) => isErrno(e, "EBADF"),
  );
  throws(
    () => Nft.open("/nowhere"),
    (e) => isErrno(e, "ENOENT"),
  );
});

test("10,000 runs, refused ones among them, leave no descriptor and no memory behind", (t) => {
  const [a] = freshNetns(t) as [string];
  using nft = Nft.open(a);
  nft.run(TABLE);
  const round = (n: number): void => {
    for (let i = 0; i < n; i++) {
      nft.run(`${i % 2 === 0 ? "add" : "delete"} element ip skep vips { 10.0.0.1 : 10.0.0.2 }`);
      if (i % 100 === 0) refusal(() => nft.run("delete table ip nope"));
      if (i % 100 === 1) Nft.open(a).close();
    }
  };
  round(1000);
  const [fds, bytes] = [openFds(), process.memoryUsage.rss()];
  round(10_000);
  equal(openFds(), fds);
  const grown = process.memoryUsage.rss() - bytes;
  ok(grown < 16 * 1024 * 1024, `${grown} bytes more`); // 1.6 kB a run would be a leak; V8's own heap breathes more than that
});

test("a process that leaves a context open, and an error unread in it, exits in peace", (t) => {
  const [a] = freshNetns(t) as [string];
  const script = `
    import { Nft } from ${JSON.stringify(join(import.meta.dirname, "nft.ts"))};
    const nft = Nft.open(${JSON.stringify(a)});
    try { nft.run("bogus"); } catch { console.log("refused"); }
    nft.run("list ruleset");`;
  const run = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", script], { encoding: "utf8" });
  deepEqual([run.stdout, run.status, run.signal], ["refused\n", 0, null]);
});
