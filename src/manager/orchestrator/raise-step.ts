// Raising: a task that only got ready is told to run once its delay is over and whatever ran in its slot before has stopped.

import { isWantedAlive } from "../../model/task-state.ts";
import { type Draft, hasEnded } from "./draft.ts";

export function raiseStep(draft: Draft): void {
  for (const tasks of draft.slots.values()) {
    // What is on a lost node cannot be waited for.
    const stopping = tasks.some((t) => !isWantedAlive(t.desired) && !hasEnded(t) && !draft.isOnLostNode(t));
    for (const task of tasks) {
      if (task.desired !== "ready") continue;
      const startAfterMs = task.startAfterMs ?? 0;
      if (startAfterMs > draft.nowMs) draft.wakeAt(startAfterMs);
      else if (!stopping) task.desired = "running";
    }
  }
}
