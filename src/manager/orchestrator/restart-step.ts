// Restarts: what ended although it was wanted alive, and what is on a node that is drained or lost, is shut down and, by its policy,
// replaced in its slot. A replacement starts when its delay is over and its predecessor has stopped: see raise-step.ts.

import { timestamp } from "../../model/clock.ts";
import type { RestartHistory } from "../../model/objects.ts";
import type { RestartPolicy } from "../../model/spec.ts";
import { isTerminal, isWantedAlive } from "../../model/task-state.ts";
import type { Draft, DraftTask } from "./draft.ts";

const NS_PER_MS = 1_000_000;
/** swarmkit, api/defaults/service.go. */
export const DEFAULT_RESTART_DELAY_MS = 5_000;

/** @param replaces whether a lost task of this slot is to be replaced there (a global service has no place for it on a drained node) */
export function restartStep(draft: Draft, replaces: (task: DraftTask) => boolean): void {
  for (const tasks of draft.slots.values()) {
    for (const task of [...tasks]) {
      if (!isWantedAlive(task.desired)) continue;
      const ended = isTerminal(task.state);
      const drained = isDrained(draft, task);
      if (!ended && !drained && !draft.isOnLostNode(task)) continue;
      if (ended && task.desired === "ready" && (task.startAfterMs ?? 0) > draft.nowMs) {
        draft.wakeAt(task.startAfterMs ?? 0); // it failed while it got ready: not sooner than it would have run is the next one tried
        continue;
      }
      task.desired = "shutdown";
      if (tasks.some((t) => t !== task && t.clean && isWantedAlive(t.desired))) continue; // its successor is there already
      if (!replaces(task) || !isRestarted(draft, task, ended)) continue;
      const delay = drained ? 0 : delayMs(task.stored?.spec.RestartPolicy);
      draft.create(task.key, "ready", {
        startAfterMs: draft.nowMs + delay,
        ...(ended ? { restarts: nextHistory(draft, task) } : {}),
      });
    }
  }
}

function isDrained(draft: Draft, task: DraftTask): boolean {
  const id = task.stored?.nodeId;
  return id !== undefined && draft.nodes.get(id)?.spec.Availability === "drain";
}

/** Whether the policy has a task like this replaced. Moving away from a node is no restart, but for tasks that never restart. */
function isRestarted(draft: Draft, task: DraftTask, ended: boolean): boolean {
  const policy = task.stored?.spec.RestartPolicy;
  const condition = policy?.Condition ?? "any";
  if (condition === "none") return false;
  if (condition === "on-failure" && task.state === "complete") return false;
  const limit = policy?.MaxAttempts ?? 0;
  if (!ended || limit === 0 || !task.clean) return true; // attempts count anew for a new spec
  return pastRestarts(policy, task.restarts, draft.nowMs) < limit;
}

function pastRestarts(policy: RestartPolicy | undefined, history: RestartHistory | undefined, nowMs: number): number {
  if (!history) return 0;
  const windowMs = (policy?.Window ?? 0) / NS_PER_MS;
  return windowMs > 0 ? history.at.filter((t) => Date.parse(t) >= nowMs - windowMs).length : history.count;
}

function nextHistory(draft: Draft, task: DraftTask): RestartHistory {
  const before = task.clean ? task.restarts : undefined;
  const keep = task.stored?.spec.RestartPolicy?.MaxAttempts ?? 0;
  const at = [...(before?.at ?? []), timestamp(draft.nowMs)];
  return { count: (before?.count ?? 0) + 1, at: keep > 0 ? at.slice(-keep) : [] };
}

function delayMs(policy: RestartPolicy | undefined): number {
  return policy?.Delay === undefined ? DEFAULT_RESTART_DELAY_MS : policy.Delay / NS_PER_MS;
}
