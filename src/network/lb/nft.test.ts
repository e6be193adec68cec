// The nft driver: the contract of all drivers, and what is its own: it touches only what changes, and its cost.
import { deepEqual, equal, ok } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { createNetns, deleteNetns, Nft, removeNetnsDir } from "../../kernel/index.ts";
import type { Scheduler, VirtualService } from "./driver.ts";
import { aVirtualService, driverContract } from "./driver-contract.ts";
import { NftDriver } from "./nft.ts";

driverContract("nft", (probePath) => new NftDriver({ probePath }));

test("a change touches one service's chain: every other rule keeps its handle", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "skep-nft-"));
  const netns = join(dir, "lb");
  createNetns(netns);
  const driver = new NftDriver({ probePath: join(dir, "probe") });
  using nft = Nft.open(netns);
  t.after(() => {
    driver.close();
    nft.close();
    deleteNetns(netns);
    removeNetnsDir(dir);
    rmSync(dir, { recursive: true, force: true });
  });
  const many = Array.from({ length: 100 }, (_, i) => aVirtualService(i, [1, 1, 1]));
  await driver.ensure(netns, { sources: ["10.9.0.254"], services: many });
  const before = nft.run("list table ip skep", { handles: true }).split("\n");
  await driver.ensureServices(netns, [aVirtualService(7, [1, 1]), ...many.slice(8)]);
  const after = nft.run("list table ip skep", { handles: true }).split("\n");
  equal(after.length, before.length);
  const changed = before.flatMap((line, i) => (line === after[i] ? [] : [line]));
  equal(changed.length, 1);
  ok(changed[0]!.includes('comment "s7, VIP'));
});

test("a change of replicas leaves the very table that nft makes from text, for every scheduler, both families, and none", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "skep-nft-"));
  const [changed, fresh] = [join(dir, "changed"), join(dir, "fresh")] as const;
  const driver = new NftDriver({ probePath: join(dir, "probe") });
  t.after(() => {
    driver.close();
    for (const netns of [changed, fresh]) deleteNetns(netns);
    removeNetnsDir(dir);
    rmSync(dir, { recursive: true, force: true });
  });
  const sources = ["10.9.0.254", "fd00::fe"];
  const service = (n: number, replicas: number, scheduler: Scheduler): VirtualService => ({
    mark: 256 + n,
    name: `s${n}`,
    vips: [`10.9.0.${n + 1}`, `fd00::${n + 1}`],
    scheduler,
    servers: Array.from({ length: replicas }, (_, i) => [`10.9.1.${i + 1}`, `fd00::1:${i + 1}`])
      .flat()
      .map((address, i) => ({ address, weight: 1, name: `s${n}.${i}` })),
  });
  const after = [
    service(0, 3, "rr"),
    service(1, 2, "sh"),
    service(2, 4, "random"),
    service(3, 0, "rr"),
    service(4, 1, "sh"),
  ];
  createNetns(changed);
  await driver.ensure(changed, {
    sources,
    services: after.map((s) => ({ ...s, servers: service(s.mark - 256, 6, "rr").servers })),
  });
  const { run } = Nft.prototype;
  t.mock.method(Nft.prototype, "run", () => {
    throw new Error("not the quick way");
  });
  await driver.ensureServices(changed, after);
  t.mock.restoreAll();
  equal(Nft.prototype.run, run);
  createNetns(fresh);
  await driver.ensure(fresh, { sources, services: after });
  const text = (netns: string): string[] => {
    using nft = Nft.open(netns);
    return nft.run("list ruleset").split("\n");
  };
  deepEqual(text(changed), text(fresh));
  deepEqual(await driver.list(changed), await driver.list(fresh));
});

test("a change of more replicas than fit into one message goes through nft", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "skep-nft-"));
  const netns = join(dir, "lb");
  createNetns(netns);
  const driver = new NftDriver({ probePath: join(dir, "probe") });
  t.after(() => {
    driver.close();
    deleteNetns(netns);
    removeNetnsDir(dir);
    rmSync(dir, { recursive: true, force: true });
  });
  const servers = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      address: `10.8.${i >> 8}.${i & 255}`,
      weight: 1,
      name: `s.${i}.${"x".repeat(60)}`,
    }));
  const service = aVirtualService(0, []);
  for (const count of [3, 1000, 2]) {
    await driver.ensure(netns, { sources: ["10.9.0.254"], services: [{ ...service, servers: servers(count) }] });
    equal((await driver.list(netns))!.services[0]!.servers.length, count);
  }
});

test("names with characters that nft has no way to quote do no harm", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "skep-nft-"));
  const netns = join(dir, "lb");
  createNetns(netns);
  const driver = new NftDriver({ probePath: join(dir, "probe") });
  t.after(() => {
    driver.close();
    deleteNetns(netns);
    removeNetnsDir(dir);
    rmSync(dir, { recursive: true, force: true });
  });
  const name = `a"; flush ruleset; \n\\ü${"x".repeat(300)}`;
  await driver.ensure(netns, { sources: ["10.9.0.254"], services: [aVirtualService(0, [1], { name })] });
  const [service] = (await driver.list(netns))!.services;
  ok(service!.name.startsWith("a?; flush ruleset; "));
});
