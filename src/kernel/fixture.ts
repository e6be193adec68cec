// For tests: network namespaces of the test's own, in a directory of its own, gone when the test is; and `ip`, `nft`, `bridge` as second
// witnesses of what the code under test says it did.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNetns, deleteNetns, inNetns, listNetns, type NetnsRef, removeNetnsDir } from "./netns.ts";

/** What a test context offers for cleaning up; node:test's TestContext does. */
export interface Cleanup {
  after(fn: () => void): void;
}

/** Makes `count` fresh namespaces and answers their paths. They and their directory are removed after the test. */
export function freshNetns(t: Cleanup, count = 1): string[] {
  const dir = freshNetnsDir(t);
  const paths = Array.from({ length: count }, (_, i) => join(dir, `ns${i}`));
  for (const path of paths) createNetns(path);
  return paths;
}

/** An empty directory for namespaces; it and what is in it are removed after the test. */
export function freshNetnsDir(t: Cleanup): string {
  const dir = mkdtempSync(join(tmpdir(), "skep-netns-"));
  t.after(() => {
    for (const path of listNetns(dir)) deleteNetns(path);
    for (const name of readdirSync(dir)) deleteNetns(join(dir, name)); // what a test left half made
    removeNetnsDir(dir);
  });
  return dir;
}

/** Runs a command in a namespace and answers what it printed. */
export function witness(netns: NetnsRef, ...argv: [string, ...string[]]): string {
  return inNetns(netns, () =>
    execFileSync(argv[0], argv.slice(1), { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
  );
}

/** The same for one that prints JSON: `witnessJson(ns, "ip", "-j", "addr")`. */
export function witnessJson<T>(netns: NetnsRef, ...argv: [string, ...string[]]): T {
  const text = witness(netns, ...argv);
  return JSON.parse(text.trim() === "" ? "[]" : text) as T;
}

/** The descriptors that this process has open. */
export function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}
