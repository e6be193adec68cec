// The nft driver: the contract of all drivers, and what is its own: it touches only what changes, and its cost.
import { equal, ok } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { createNetns, deleteNetns, Nft, removeNetnsDir } from "../../kernel/index.ts";
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
