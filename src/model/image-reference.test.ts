import { equal } from "node:assert/strict";
import { test } from "node:test";
import { isImageReference } from "./image-reference.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;

test("image references follow distribution's grammar", () => {
  const good = [
    "alpine",
    "alpine:3.20",
    "a/b",
    "docker.io/library/alpine:latest",
    "localhost:5000/x",
    "xiaopeng163/net-box",
  ];
  for (const text of [...good, `a@${DIGEST}`, `reg.example.com/a_b/c__d/e--f:T.1-x@${DIGEST}`, "[::1]:5000/a"]) {
    equal(isImageReference(text), true, text);
  }
  const bad = [
    "",
    "Alpine",
    "a b",
    "/a",
    "a/",
    "a//b",
    "a:",
    ":a",
    "a:-x",
    "a@sha256:xyz",
    "-a",
    "a".repeat(2000),
    "a\nb",
  ];
  for (const text of [...bad, "a".repeat(64), "https://a/b", `a@${DIGEST}:tag`])
    equal(isImageReference(text), false, text);
});

test("no text makes the check slow", () => {
  const nasty = [
    "a-".repeat(400),
    "a.".repeat(400),
    "a_".repeat(400),
    `${"a-".repeat(300)}!`,
    `${"0".repeat(600)}!`,
    `${"a/".repeat(300)}A`,
  ];
  const start = performance.now();
  for (const text of nasty) isImageReference(text);
  equal(performance.now() - start < 200, true);
});
