import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { type DesiredState, isTerminal, TASK_STATES, type TaskState } from "../model/task-state.ts";
import { type ContainerPresence, nextStep, type Situation, type Step } from "./next-step.ts";

const at = (change: Partial<Situation>): Situation => ({
  state: "assigned",
  desired: "running",
  released: false,
  container: "none",
  plumbed: false,
  ...change,
});

const CASES: [string, Partial<Situation>, Step][] = [
  ["a new task is accepted", {}, "accept"],
  ["then prepared", { state: "accepted" }, "prepare"],
  ["then started", { state: "ready", container: "created", plumbed: true }, "start"],
  ["unless it is to be ready only", { state: "ready", container: "created", plumbed: true, desired: "ready" }, "wait"],
  ["a running task is left alone", { state: "running", container: "running", plumbed: true }, "wait"],
  ["after a restart of the daemon it is adopted", { state: "running", container: "running" }, "adopt"],
  ["even when its start was not reported yet", { state: "starting", container: "running" }, "adopt"],
  ["or not even begun to be reported", { state: "preparing", container: "running" }, "adopt"],
  ["a container without a sandbox is prepared again", { state: "ready", container: "created" }, "prepare"],
  ["a start that was cut short is begun again", { state: "starting", container: "created", plumbed: true }, "start"],
  ["a process that ended concludes the task", { state: "running", container: "exited", plumbed: true }, "conclude"],
  ["as does one that ended before its start was reported", { state: "starting", container: "exited" }, "conclude"],
  ["a running task without a container has ended", { state: "running" }, "conclude"],
  [
    "an unwanted process is stopped",
    { state: "running", container: "running", plumbed: true, desired: "shutdown" },
    "stop",
  ],
  ["one that never ran is abandoned", { state: "preparing", desired: "shutdown", plumbed: true }, "abandon"],
  ["one to be removed is stopped as well", { state: "running", container: "running", desired: "remove" }, "stop"],
  ["an ended task keeps its container for logs", { state: "failed", container: "exited" }, "wait"],
  ["but not its sandbox", { state: "failed", container: "exited", plumbed: true }, "unplumb"],
  ["nor a process that is still there", { state: "failed", container: "running", plumbed: true }, "stop"],
  ["when its record is gone, so is everything", { state: "failed", container: "exited", released: true }, "erase"],
  ["a running one is stopped gently first", { state: "running", container: "running", released: true }, "stop"],
];

for (const [name, change, step] of CASES) {
  test(name, () => equal(nextStep(at(change)), step));
}

test("every situation comes to rest, in an end that fits the wish", () => {
  const states = Object.keys(TASK_STATES) as TaskState[];
  const desires: DesiredState[] = ["ready", "running", "shutdown", "remove"];
  const presences: ContainerPresence[] = ["none", "created", "running", "exited"];
  let seen = 0;
  for (const state of states.slice(2)) {
    for (const desired of desires)
      for (const container of presences)
        for (const plumbed of [true, false])
          for (const released of [true, false]) {
            const end = settle({ state, desired, container, plumbed, released });
            seen++;
            if (released) continue;
            if (desired === "running" && !isTerminal(end.state)) ok(end.state === "running" && end.plumbed);
            if (desired === "shutdown" || desired === "remove")
              ok(isTerminal(end.state) && end.container !== "running");
            if (isTerminal(end.state)) ok(!end.plumbed);
          }
  }
  ok(seen > 500);
});

/** Carries out steps as the runner does when all goes well, until there is nothing to do. */
function settle(from: Situation): Situation {
  let s = from;
  for (let i = 0; i < 10; i++) {
    const step = nextStep(s);
    if (step === "wait" || step === "erase") return s;
    s = after(step, s);
  }
  throw new Error(`does not come to rest: ${JSON.stringify(from)}`);
}

function after(step: Exclude<Step, "wait" | "erase">, s: Situation): Situation {
  switch (step) {
    case "accept":
      return { ...s, state: "accepted" };
    case "prepare":
      return {
        ...s,
        state: s.state === "starting" ? "starting" : "ready",
        plumbed: true,
        container: s.container === "none" || s.container === "exited" ? "created" : s.container,
      };
    case "start":
    case "adopt":
      return { ...s, state: "running", plumbed: true, container: "running" };
    case "conclude":
      return { ...s, state: "failed", plumbed: false };
    case "stop":
      return { ...s, state: isTerminal(s.state) ? s.state : "shutdown", container: "exited", plumbed: false };
    case "abandon":
      return { ...s, state: "shutdown", plumbed: false };
    case "unplumb":
      return { ...s, plumbed: false };
  }
}
