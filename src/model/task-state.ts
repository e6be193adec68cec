// The states of a task and their order. After swarmkit's design/task_model.md and api/types.proto.

/**
 * Every state, in order: a task's observed state only ever moves to the right. The numbers are swarmkit's (64 apart, so that "greater"
 * means "later").
 */
export const TASK_STATES = {
  new: 0,
  pending: 64,
  assigned: 192,
  accepted: 256,
  preparing: 320,
  ready: 384,
  starting: 448,
  running: 512,
  complete: 576,
  shutdown: 640,
  failed: 704,
  rejected: 768,
  remove: 800,
  orphaned: 832,
} as const;

export type TaskState = keyof typeof TASK_STATES;
/** What the managers wish of a task. It too only moves forward: ready, running, (complete,) shutdown, remove. */
export type DesiredState = "ready" | "running" | "complete" | "shutdown" | "remove";

/** Whether `a` is later than `b`. */
export function isAfter(a: TaskState, b: TaskState): boolean {
  return TASK_STATES[a] > TASK_STATES[b];
}

/** Whether the task has ended, and nothing runs for it any more. */
export function isTerminal(state: TaskState): boolean {
  return TASK_STATES[state] > TASK_STATES.running;
}

/** Whether a wish asks for the task to be (or become) alive. */
export function isWantedAlive(desired: DesiredState): boolean {
  return TASK_STATES[desired] <= TASK_STATES.running;
}

/** Whether an observed state may be followed by another: only forward, and never out of an end (but into remove, or orphaned). */
export function mayMove(from: TaskState, to: TaskState): boolean {
  if (from === to) return true;
  if (isTerminal(from)) return to === "remove" || to === "orphaned";
  return isAfter(to, from);
}

/** Whether a wish may be followed by another: only forward. */
export function mayWish(from: DesiredState, to: DesiredState): boolean {
  return TASK_STATES[to] >= TASK_STATES[from];
}
