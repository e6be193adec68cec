// Pulling, from a registry of the test's own.
import { equal, match, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../model/errors.ts";
import { aPodman } from "./testing/podman.ts";
import { aRegistry, PASSWORD, USER } from "./testing/registry.ts";

test("images are pulled, with progress, credentials and Docker's words for what goes wrong", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const podman = await aPodman(t);
  const registry = await aRegistry(t);
  const engine = podman.engine();
  await engine.start();

  await t.test("a public one", async () => {
    const progress: string[] = [];
    equal(await engine.imageExists(`${registry}/app:1`), undefined);
    const image = await engine.pullImage(`${registry}/app:1`, { onProgress: (line) => progress.push(line) });
    equal(image.labels.from, "registry");
    ok(image.tags.includes(`${registry}/app:1`));
    match(progress.join("\n"), /Copying blob/);
    equal((await engine.imageExists(image.id))?.id, image.id);
    equal((await engine.imageExists(image.digests[0] ?? ""))?.id, image.id);
  });

  await t.test("a private one, with the header that Docker clients send", async () => {
    const login = (password: string) =>
      Buffer.from(JSON.stringify({ username: USER, password, serveraddress: registry })).toString("base64url");
    const refused = (e: unknown) => {
      ok(hasCode(e, "not_found"), String(e));
      match(
        e.message,
        /^pull access denied for 127\.0\.0\.1:\d+\/private, repository does not exist or may require 'docker login'/,
      );
      return true;
    };
    await rejects(engine.pullImage(`${registry}/private:1`), refused);
    await rejects(engine.pullImage(`${registry}/private:1`, { authHeader: login("wrong") }), refused);
    const image = await engine.pullImage(`${registry}/private:1`, { authHeader: login(PASSWORD) });
    equal(image.labels.from, "registry");
  });

  await t.test("one that does not exist", async () => {
    await rejects(engine.pullImage(`${registry}/app:2`), (e: unknown) => {
      ok(hasCode(e, "not_found"), String(e));
      match(e.message, /^manifest for 127\.0\.0\.1:\d+\/app:2 not found: manifest unknown: manifest unknown$/);
      return true;
    });
  });

  await t.test("from a registry that is not there, and given up", async () => {
    await rejects(engine.pullImage("127.0.0.1:1/app:1"), (e) => hasCode(e, "unavailable"));
    await rejects(engine.pullImage(`${registry}/app:1`, { signal: AbortSignal.abort() }), (e) => hasCode(e, "timeout"));
  });
});
