import { equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../model/errors.ts";
import { familiarImageName, familiarRepository, fullImageName, parseImageName } from "./image-names.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;

test("familiar names become full ones, and back", () => {
  const cases = [
    ["alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"],
    ["containous/whoami", "docker.io/containous/whoami:latest", "containous/whoami:latest"],
    ["docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
    ["index.docker.io/a/b:1", "docker.io/a/b:1", "a/b:1"],
    ["quay.io/a/b", "quay.io/a/b:latest", "quay.io/a/b:latest"],
    ["localhost/x", "localhost/x:latest", "localhost/x:latest"],
    ["localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"],
    ["host:5000/x:y", "host:5000/x:y", "host:5000/x:y"],
    [`alpine@${DIGEST}`, `docker.io/library/alpine@${DIGEST}`, `alpine@${DIGEST}`],
    [`alpine:3@${DIGEST}`, `docker.io/library/alpine:3@${DIGEST}`, `alpine:3@${DIGEST}`],
    ["a/b/c__d-e.f", "docker.io/a/b/c__d-e.f:latest", "a/b/c__d-e.f:latest"],
  ] as const;
  for (const [typed, full, familiar] of cases) {
    equal(fullImageName(typed), full);
    equal(fullImageName(full), full);
    equal(familiarImageName(full), familiar);
  }
});

test("ids stay ids", () => {
  const id = "0123456789abcdef".repeat(4);
  for (const ref of [id, `sha256:${id}`]) {
    equal(fullImageName(ref), ref);
    equal(familiarImageName(ref), ref);
  }
});

test("the repository is the name without tag and digest", () => {
  equal(familiarRepository(parseImageName(`alpine:3@${DIGEST}`)), "alpine");
  equal(familiarRepository(parseImageName("quay.io/a/b:1")), "quay.io/a/b");
});

test("what is no name is refused in Docker's words", () => {
  for (const bad of ["", "a b", "-a", "a:", "a:b:c", "a@b", "a/", "/a", "a//b", "a:-x", "é"]) {
    throws(
      () => fullImageName(bad),
      (e) => hasCode(e, "invalid") && /^invalid reference format/.test(e.message),
      bad,
    );
  }
  throws(() => fullImageName("library/Alpine"), /repository name \(library\/Alpine\) must be lowercase/);
  equal(familiarImageName("a b"), "a b");
});
