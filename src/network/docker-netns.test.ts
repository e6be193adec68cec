import { deepEqual, equal, ok } from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import { silent } from "../model/log.ts";
import { DockerNetnsView } from "./docker-netns.ts";

const OURS = "/run/skep/netns";

function world(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), "skep-view-"));
  const dockerRun = join(dir, "docker");
  const views: DockerNetnsView[] = [];
  const view = (): DockerNetnsView => {
    const one = new DockerNetnsView({ dir: OURS, log: silent, dockerRun });
    views.push(one);
    return one;
  };
  t.after(() => {
    for (const one of views) one.stop();
    rmSync(dir, { recursive: true });
  });
  const shown = (): string[] =>
    existsSync(join(dockerRun, "netns")) ? readdirSync(join(dockerRun, "netns")).sort() : [];
  return { dockerRun, view, shown };
}

test("a link for each namespace where no Docker is, kept in step, and taken away again", (t) => {
  const { dockerRun, view, shown } = world(t);
  const v = view();
  v.start([`${OURS}/1-abc`]);
  v.add(`${OURS}/lb_abc`);
  v.add(`${OURS}/lb_abc`);
  deepEqual(shown(), ["1-abc", "lb_abc"]);
  equal(readlinkSync(join(dockerRun, "netns", "lb_abc")), `${OURS}/lb_abc`);
  v.remove(`${OURS}/1-abc`);
  deepEqual(shown(), ["lb_abc"]);
  v.stop();
  v.stop();
  ok(!existsSync(dockerRun));
});

test("what a killed daemon left is renewed by the next", (t) => {
  const { dockerRun, view, shown } = world(t);
  view().start([`${OURS}/1-old`, `${OURS}/1-kept`]);
  const next = view();
  next.start([`${OURS}/1-kept`]);
  deepEqual(shown(), ["1-kept"]);
  next.stop();
  ok(!existsSync(dockerRun));
});

test("where a Docker is, or has been, nothing is shown and nothing is touched", (t) => {
  const { dockerRun, view, shown } = world(t);
  mkdirSync(join(dockerRun, "netns"), { recursive: true });
  writeFileSync(join(dockerRun, "netns", "default"), "");
  const v = view();
  v.start([`${OURS}/1-abc`]);
  v.add(`${OURS}/lb_abc`);
  v.stop();
  deepEqual(shown(), ["default"]);
});

test("when a Docker moves in our links go, and its files stay", async (t) => {
  const { dockerRun, view, shown } = world(t);
  const v = view();
  v.start([`${OURS}/ingress_sbox`]);
  deepEqual(shown(), ["ingress_sbox"]);
  mkdirSync(join(dockerRun, "plugins"));
  while (shown().length > 0) await setTimeout(5);
  v.add(`${OURS}/lb_abc`);
  writeFileSync(join(dockerRun, "netns", "ingress_sbox"), "Docker's");
  v.remove(`${OURS}/ingress_sbox`);
  v.stop();
  deepEqual(shown(), ["ingress_sbox"]);
  deepEqual(readdirSync(dockerRun).sort(), ["netns", "plugins"]);
});
