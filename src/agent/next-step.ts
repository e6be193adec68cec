// What to do next for a task: the decision alone, as a pure function of what is wished and what is there. task-runner.ts carries it out.
import type { DesiredState, TaskState } from "../model/task-state.ts";
import { isAfter, isTerminal, isWantedAlive } from "../model/task-state.ts";

/** What the engine has for a task. */
export type ContainerPresence = "none" | "created" | "running" | "exited";

export interface Situation {
  /** The last state that this agent reported (or found in the task). */
  readonly state: TaskState;
  readonly desired: DesiredState;
  /** The task's record is gone from the store: nothing of it may remain here. */
  readonly released: boolean;
  readonly container: ContainerPresence;
  /** The data plane holds the task's sandbox. */
  readonly plumbed: boolean;
}

/**
 * - `accept`: say that this node has seen the task
 * - `prepare`: image, sandbox, container; then "ready"
 * - `start`: run the process, take traffic; then "running"
 * - `adopt`: a running container of an earlier life of this daemon: take it over as it is
 * - `conclude`: the process is gone by itself: complete or failed
 * - `stop`: drain, stop, then "shutdown"
 * - `abandon`: it never ran, and need not: "shutdown"
 * - `unplumb`: the task has ended: its sandbox goes, its container stays for logs
 * - `erase`: container and sandbox go, and the runner with them
 */
export type Step =
  | "accept"
  | "prepare"
  | "start"
  | "adopt"
  | "conclude"
  | "stop"
  | "abandon"
  | "unplumb"
  | "erase"
  | "wait";

export function nextStep(s: Situation): Step {
  if (s.released) return s.container === "running" && !isTerminal(s.state) ? "stop" : "erase";
  if (isTerminal(s.state)) {
    if (s.container === "running") return "stop";
    return s.plumbed ? "unplumb" : "wait";
  }
  if (!isWantedAlive(s.desired)) {
    if (s.container === "running") return "stop";
    return isAfter("starting", s.state) ? "abandon" : "conclude";
  }
  if (s.state === "running" || s.state === "starting") {
    if (s.container === "running") return s.state === "running" && s.plumbed ? "wait" : "adopt";
    if (s.state === "running" || s.container !== "created") return "conclude";
    return s.plumbed ? "start" : "prepare";
  }
  if (isAfter("accepted", s.state)) return "accept";
  // After a crash of the daemon: the process was started, and only the report of it was lost.
  if (s.container === "running") return "adopt";
  if (s.state !== "ready" || s.container !== "created" || !s.plumbed) return "prepare";
  return s.desired === "running" ? "start" : "wait";
}
