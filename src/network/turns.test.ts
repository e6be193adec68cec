import { deepEqual, rejects } from "node:assert/strict";
import test from "node:test";
import { setImmediate } from "node:timers/promises";
import { Turns } from "./turns.ts";

test("one after another, urgent ones first, and a failure is its own only", async () => {
  const turns = new Turns();
  const seen: string[] = [];
  const job = (name: string) => async (): Promise<void> => {
    seen.push(`${name} in`);
    await setImmediate();
    seen.push(`${name} out`);
  };
  const bad = turns.take(async () => {
    throw new Error("no");
  });
  const all = [turns.take(job("a")), turns.take(job("b")), turns.take(job("urgent"), { urgent: true })];
  await rejects(bad, /no/);
  await Promise.all(all);
  deepEqual(seen, ["urgent in", "urgent out", "a in", "a out", "b in", "b out"]);
});
