import { deepEqual, rejects } from "node:assert/strict";
import { test } from "node:test";
import { silent } from "../model/log.ts";
import { type Part, startParts } from "./parts.ts";

function parts(calls: string[], failing: { start?: string; stop?: string } = {}): Part[] {
  return ["a", "b", "c"].map((name) => ({
    name,
    start: async () => {
      if (failing.start === name) throw new Error(`${name} does not start`);
      calls.push(`+${name}`);
    },
    stop: async () => {
      calls.push(`-${name}`);
      if (failing.stop === name) throw new Error(`${name} does not stop`);
    },
  }));
}

test("parts start in order and stop in reverse", async () => {
  const calls: string[] = [];
  const stop = await startParts(parts(calls), silent);
  await stop();
  deepEqual(calls, ["+a", "+b", "+c", "-c", "-b", "-a"]);
});

test("a part that does not start stops those before it", async () => {
  const calls: string[] = [];
  await rejects(startParts(parts(calls, { start: "c" }), silent), /c does not start/);
  deepEqual(calls, ["+a", "+b", "-b", "-a"]);
});

test("a part that does not stop does not keep the others from stopping", async () => {
  const calls: string[] = [];
  const stop = await startParts(parts(calls, { stop: "b" }), silent);
  await rejects(stop(), AggregateError);
  deepEqual(calls, ["+a", "+b", "+c", "-c", "-b", "-a"]);
});
