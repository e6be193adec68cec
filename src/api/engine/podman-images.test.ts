// Images, builds, pulls and volumes behind the front door on a real Podman, driven by the real CLI.
import { deepEqual, equal, match } from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { aPodman, IMAGE } from "../../engine/testing/podman.ts";
import { aRegistry } from "../../engine/testing/registry.ts";
import { askAt } from "../testing/world.ts";
import { frontDoor } from "./testing/front-door.ts";

test("images and volumes: the CLI against Podman", { timeout: 240_000 }, async (t) => {
  const podman = await aPodman(t);
  const door = await frontDoor(t, podman.socketPath);
  const docker = door.docker;
  const run = (...args: string[]) => docker(["run", "--network", "none", ...args]);
  await run("-d", "--name", "user-of-image", IMAGE); // so that removing the image is refused

  await t.test("images: names as Docker shows them, tag, history, save, load, rmi", async () => {
    const names = async () =>
      (await docker(["images", "--format", "{{.Repository}}:{{.Tag}}"])).stdout.trim().split("\n").sort();
    equal((await docker(["tag", IMAGE, "some/thing:2"])).code, 0);
    deepEqual(await names(), [IMAGE, "some/thing:2"]);
    equal((await docker(["images", "-q", "--filter", "reference=some/*"])).stdout.trim().length, 12);
    deepEqual(
      JSON.parse((await docker(["image", "inspect", "some/thing:2"])).stdout)[0].RepoTags.sort(),
      await names(),
    );
    match((await docker(["history", IMAGE])).stdout, /IMAGE +CREATED/);
    const tar = join(podman.dir, "saved.tar");
    equal((await docker(["save", "-o", tar, "some/thing:2"])).code, 0);
    equal((await docker(["rmi", "some/thing:2"])).stdout.split("\n")[0], "Untagged: some/thing:2");
    equal((await docker(["load", "-i", tar])).stdout.trim(), "Loaded image: some/thing:2");
    equal((await docker(["rmi", "some/thing:2"])).code, 0);
    match((await docker(["rmi", "nosuch"])).stderr, /No such image: nosuch:latest/);
    match((await docker(["rmi", IMAGE])).stderr, /container [0-9a-f]{12} is using its referenced image/);
    match((await docker(["save", "nosuch:1"])).stderr, /No such image: nosuch:1/);
  });

  await t.test("build, by the classic builder", async () => {
    const context = join(podman.dir, "context");
    await mkdir(context);
    await writeFile(join(context, "Dockerfile"), `FROM ${IMAGE}\nENV MADE=here\nCOPY Dockerfile /\nCMD ["env"]\n`);
    const built = await docker(["build", "-t", "built:1", context]);
    equal(built.code, 0, built.stderr);
    match(built.stdout, /Successfully tagged built:1/);
    match((await run("--rm", "built:1")).stdout, /MADE=here/);
    equal((await docker(["rmi", "built:1"])).code, 0);
  });

  await t.test("pull with progress, and the digest of a registry's image", async (t) => {
    const registry = await aRegistry(t);
    const digest = await askAt(door.socket, "GET", `/distribution/${registry}/app:1/json`);
    equal(digest.status, 200, digest.text);
    const { Descriptor, Platforms } = digest.json as { Descriptor: { digest: string }; Platforms: { os: string }[] };
    match(Descriptor.digest, /^sha256:[0-9a-f]{64}$/);
    equal(Platforms[0]?.os, "linux");
    equal((await askAt(door.socket, "GET", `/distribution/${registry}/private:1/json`)).status, 401);
    equal((await askAt(door.socket, "GET", `/distribution/${registry}/app:nosuch/json`)).status, 404);
    const pulled = await docker(["pull", `${registry}/app:1`]);
    equal(pulled.code, 0, pulled.stderr);
    match(pulled.stdout, /^1: Pulling from .*app\n[\s\S]*Digest: sha256:[0-9a-f]{64}\nStatus: Downloaded newer image/);
    equal((await docker(["rmi", `${registry}/app:1`])).stdout.split("\n")[0], `Untagged: ${registry}/app:1`);
    match(
      (await docker(["pull", `${registry}/app:nosuch`])).stderr,
      /manifest for .*app:nosuch not found: manifest unknown/,
    );
    match((await docker(["pull", `${registry}/private:1`])).stderr, /pull access denied for .*private/);
    const unreachable = await askAt(door.socket, "GET", "/distribution/127.0.0.1:2/app:1/json");
    equal(unreachable.status, 500);
    match(unreachable.text, /Get \\"http:\/\/127\.0\.0\.1:2\/v2\/\\": .*connection refused/);
  });

  await t.test("volumes: exact names, and prune takes anonymous ones only", async () => {
    for (const name of ["vol", "volume2"]) equal((await docker(["volume", "create", name])).stdout.trim(), name);
    equal((await docker(["volume", "rm", "vol"])).code, 0);
    match((await docker(["volume", "rm", "vol"])).stderr, /get vol: no such volume/);
    await run("--name", "with", "-v", "/anonymous", IMAGE, "sh", "-c", "true");
    equal((await docker(["rm", "with"])).code, 0);
    const pruned = (await docker(["volume", "prune", "-f"])).stdout;
    match(pruned, /Deleted Volumes:\n[0-9a-f]{64}\n/);
    equal((await docker(["volume", "ls", "-q"])).stdout.trim(), "volume2");
    await run("-d", "--name", "user", "-v", "volume2:/v", IMAGE);
    match((await docker(["volume", "rm", "volume2"])).stderr, /remove volume2: volume is in use - \[[0-9a-f]{64}\]/);
    await docker(["rm", "-f", "user"]);
    equal((await docker(["volume", "rm", "volume2"])).code, 0);
  });
});
