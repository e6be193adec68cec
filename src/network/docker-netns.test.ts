import { equal, ok } from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { linkDockerNetns, unlinkDockerNetns } from "./docker-netns.ts";

test("the link is made where nobody is, taken away again, and never where a Docker is", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "skep-link-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const run = join(dir, "docker");
  linkDockerNetns("/run/skep/netns", run);
  linkDockerNetns("/run/skep/netns", run);
  equal(readlinkSync(join(run, "netns")), "/run/skep/netns");
  unlinkDockerNetns("/elsewhere", run);
  ok(existsSync(run));
  unlinkDockerNetns("/run/skep/netns", run);
  unlinkDockerNetns("/run/skep/netns", run);
  ok(!existsSync(run));

  mkdirSync(join(run, "netns"), { recursive: true });
  writeFileSync(join(run, "docker.pid"), "1");
  linkDockerNetns("/run/skep/netns", run);
  unlinkDockerNetns("/run/skep/netns", run);
  ok(existsSync(join(run, "netns")) && existsSync(join(run, "docker.pid")));
});
