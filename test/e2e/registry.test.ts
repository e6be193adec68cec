// Images that come from a registry: push and pull with progress, services pinned to a digest, and private images with the user's login.
// The registry is Debian's docker-registry, on the host's loopback, where Docker needs no TLS.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { inNetns } from "../../src/kernel/index.ts";
import { debianFile } from "./debian.ts";
import { Host, until } from "./host.ts";

const OPEN = "127.0.0.1:5000";
const PRIVATE = "127.0.0.1:5001";
const program = debianFile("docker-registry/usr/bin/docker-registry");

suite("a registry", { skip: program === undefined && "Debian's docker-registry cannot be had" }, () => {
  let host: Host;
  const registries: ChildProcess[] = [];

  before(async () => {
    host = await Host.swarm();
    mkdirSync(join(host.dir, "registry"));
    const passwords = join(host.dir, "registry/htpasswd");
    writeFileSync(passwords, `somebody:${bcrypt("secret")}\n`);
    registries.push(await serve(OPEN), await serve(PRIVATE, `auth: {htpasswd: {realm: test, path: ${passwords}}}\n`));
  });
  after(async () => {
    for (const registry of registries) {
      registry.kill();
      if (registry.exitCode === null && registry.signalCode === null) await once(registry, "exit");
    }
    await host.remove();
  });

  test("push tells each layer and the digest; pull tells whether anything was new", async () => {
    const name = `${OPEN}/whoami:v1`;
    await host.docker("tag", "containous/whoami", name);
    const pushed = await host.docker("push", name);
    const [, digest] =
      /^The push refers to repository \[127\.0\.0\.1:5000\/whoami\]\n[0-9a-f]{12}: Preparing\n[0-9a-f]{12}: Pushed\nv1: digest: (sha256:[0-9a-f]{64}) size: \d+$/.exec(
        pushed,
      ) ?? [];
    ok(digest, pushed);
    const known = await host.docker("pull", name);
    match(
      known,
      new RegExp(`^v1: Pulling from whoami\n(.*\n)*Digest: ${digest}\nStatus: Image is up to date for ${name}\n`),
    );
    await host.docker("rmi", "-f", name, "containous/whoami");
    const fresh = await host.docker("pull", name);
    match(
      fresh.replace(/^([0-9a-f]{12}): /gm, "LAYER: "),
      /^v1: Pulling from whoami\nLAYER: Pulling fs layer\n(LAYER: .*\n)*Digest: /,
    );
    match(fresh, new RegExp(`\nDigest: ${digest}\nStatus: Downloaded newer image for ${name}\n${name}$`));
    equal(await host.docker("inspect", "-f", "{{index .RepoDigests 0}}", name), `${OPEN}/whoami@${digest}`);
    await host.docker("tag", name, `${OPEN}/whoami:v2`);
    const all = await host.docker("push", "-a", `${OPEN}/whoami`);
    match(all, /^v1: digest: sha256:/m);
    match(all, /^v2: digest: sha256:/m);
    await host.docker("tag", name, "containous/whoami");
  });

  test("what is not there cannot be pushed or pulled, in Docker's words", async () => {
    const push = await host.tryDocker("push", `${OPEN}/nosuch`);
    match(push.stderr, /An image does not exist locally with the tag: 127\.0\.0\.1:5000\/nosuch\n/);
    equal(push.code, 1);
    const pull = await host.tryDocker("pull", `${OPEN}/nosuch`);
    equal(
      pull.stderr,
      `Error response from daemon: manifest for ${OPEN}/nosuch:latest not found: manifest unknown: manifest unknown\n`,
    );
    const dead = await host.tryDocker("pull", "127.0.0.1:1/x");
    match(dead.stderr, /^Error response from daemon: .*dial tcp 127\.0\.0\.1:1: connect: connection refused\n$/);
  });

  test("a service is pinned to the digest that the registry tells, and runs from it", async () => {
    const name = `${OPEN}/whoami:v1`;
    const made = await host.tryDocker("service", "create", "-d", "--name", "pinned", name);
    deepEqual([made.code, made.stderr], [0, ""]);
    const image = await host.docker("service", "inspect", "-f", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", "pinned");
    match(image, /^127\.0\.0\.1:5000\/whoami:v1@sha256:[0-9a-f]{64}$/);
    await runs("pinned");
    match(await host.docker("service", "ls"), / pinned +replicated +1\/1 +127\.0\.0\.1:5000\/whoami:v1$/m);
    match(await host.docker("service", "inspect", "--pretty", "pinned"), new RegExp(` Image:\t\t${image}\n`));
    await host.docker("service", "rm", "pinned");
    await gone("pinned");
    await forget("whoami");
    await host.docker("service", "create", "-d", "--name", "pinned", name);
    await runs("pinned");
    await host.docker("service", "rm", "pinned");
    await gone("pinned");
  });

  test("login, and push to a private repository", async () => {
    const name = `${PRIVATE}/team/whoami:v1`;
    await host.docker("pull", "-q", `${OPEN}/whoami:v1`);
    await host.docker("tag", `${OPEN}/whoami:v1`, name);
    match((await host.tryDocker("push", name)).stderr, /^no basic auth credentials$/m);
    const wrong = await login("wrong");
    match(
      wrong.stderr,
      /^Error response from daemon: login attempt to http:\/\/127\.0\.0\.1:5001\/v2\/ failed with status: 401 Unauthorized$/m,
    );
    equal(wrong.code, 1);
    const right = await login("secret");
    deepEqual([right.code, /^Login Succeeded$/m.test(right.stdout + right.stderr)], [0, true], right.stderr);
    match(await host.docker("push", name), /^v1: digest: sha256:/m);
  });

  test("a private image: with the login the task pulls it, without it the task is rejected", async () => {
    const name = `${PRIVATE}/team/whoami:v1`;
    await forget("whoami");
    const create = ["service", "create", "-d", "--no-resolve-image", "--restart-delay", "100ms"];
    await host.docker(...create, "--name", "stranger", name);
    await until(async () => {
      const tasks = await host.docker(
        "service",
        "ps",
        "--no-trunc",
        "--format",
        "{{.CurrentState}}|{{.Error}}",
        "stranger",
      );
      return tasks
        .split("\n")
        .some((l) => /^Rejected .*\|"No such image: 127\.0\.0\.1:5001\/team\/whoami:v1"$/.test(l));
    }, "rejected with the reason");
    await host.docker("service", "rm", "stranger");
    await host.docker(...create, "--name", "friend", "--with-registry-auth", name);
    await runs("friend");
    const shown = JSON.stringify([
      (await host.api("GET", "/services/friend")).body,
      (await host.api("GET", '/tasks?filters={"service":["friend"]}')).body,
    ]);
    ok(!/registryAuth|c2VjcmV0|somebody/i.test(shown), "the login is nobody's business");
    await host.docker("service", "rm", "friend");
    await gone("friend");
  });

  /** One registry server with storage of its own, when it answers. */
  async function serve(address: string, more = ""): Promise<ChildProcess> {
    const config = join(host.dir, "registry", `${address.replace(":", "-")}.yml`);
    const storage = join(host.dir, "registry", address.replace(":", "-"));
    writeFileSync(
      config,
      `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nhttp: {addr: "${address}"}\n` +
        `storage: {filesystem: {rootdirectory: ${storage}}}\n${more}`,
    );
    const child = inNetns(host.netns, () => spawn(program!, ["serve", config], { stdio: "ignore" }));
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`the registry ended with ${child.exitCode}`);
      return (await host.run(["curl", "-s", "-o", "/dev/null", `http://${address}/v2/`])).code === 0;
    }, `the registry on ${address} answers`);
    return child;
  }

  function login(password: string) {
    return host.run(["docker", "login", "-u", "somebody", "--password-stdin", PRIVATE], { input: password });
  }

  async function runs(service: string): Promise<void> {
    await until(async () => {
      const lines = await host.docker(
        "service",
        "ps",
        "--no-trunc",
        "--format",
        "{{.CurrentState}} {{.Error}}",
        service,
      );
      const bad = lines.split("\n").find((l) => l.startsWith("Rejected"));
      if (bad !== undefined) throw new Error(`${service}: ${bad}`);
      return lines.split("\n").some((l) => l.startsWith("Running"));
    }, `${service} runs`);
  }

  async function gone(service: string): Promise<void> {
    await until(
      async () => (await host.docker("ps", "-aq", "--filter", `name=${service}.`)) === "",
      `the containers of ${service} are gone`,
    );
  }

  /** Takes an image out of the engine under all its names. */
  async function forget(what: string): Promise<void> {
    const ids = (await host.docker("images", "-q", "--no-trunc", "--filter", `reference=*/*${what}`)).split("\n");
    const more = (await host.docker("images", "-q", "--no-trunc", "--filter", `reference=*/*/*${what}`)).split("\n");
    for (const id of new Set([...ids, ...more].filter((i) => i !== ""))) await host.docker("rmi", "-f", id);
    ok(!(await host.docker("images")).includes(what));
  }
});

/** A line of an htpasswd file for docker-registry, which takes bcrypt only. */
function bcrypt(password: string): string {
  return execFileSync("perl", ["-e", "print crypt($ARGV[0], q($2y$05$abcdefghijklmnopqrstuu))", password], {
    encoding: "utf8",
  });
}
