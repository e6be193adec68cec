// Rolling updates: brings slots with an outdated task to the service's spec, a few at a time. All that must be known is in the store (the
// tasks, when they started, the service's update status), so an update goes on after a crash as if nothing had been.
import type { Service, UpdateState, UpdateStatus } from "../../model/objects.ts";
import type { UpdateConfig } from "../../model/spec.ts";
import { isWantedAlive, TASK_STATES } from "../../model/task-state.ts";
import type { SlotKey } from "../task-life.ts";
import { type Draft, type DraftTask, isAlive } from "./draft.ts";

const NS_PER_MS = 1_000_000;
/** swarmkit, api/defaults/service.go: for services without an UpdateConfig, and for a monitor time of 0. */
const DEFAULT_PARALLELISM = 1;
const DEFAULT_MONITOR_MS = 5_000;

/** A slot that this update has given a new task. */
interface Touched {
  readonly key: SlotKey;
  /** When its new task ran first, or failed to. */
  readonly doneMs: number | undefined;
  readonly failures: readonly DraftTask[];
}

export function updateStep(draft: Draft): void {
  retireOutdated(draft);
  const dirty = draft.filled().filter((key) => isDirty(draft.slots.get(key) ?? []));
  let status = draft.service.updateStatus;
  const startsNow = dirty.length > 0 && (!status || isOver(status.state));
  if (startsNow) {
    status = { state: "updating", startedAt: draft.now, message: "update in progress" };
    draft.extra.push({ do: "status", updateStatus: status });
  }
  if (!status || (status.state !== "updating" && status.state !== "rollback_started")) return;
  const config = configOf(draft.service, status.state);
  const touched = startsNow ? [] : touchedSlots(draft, status, monitorMs(config));
  if (stopOnFailure(draft, status, config, touched, dirty.length)) return;
  const busy = touched.filter((t) => isBusy(draft, t, (config.Delay ?? 0) / NS_PER_MS)).length;
  const parallelism = config.Parallelism === 0 ? Number.POSITIVE_INFINITY : config.Parallelism;
  for (const key of dirty.slice(0, Math.max(0, parallelism - busy))) replace(draft, key, config);
  if (dirty.length === 0) complete(draft, status, config, touched);
}

/** Outdated tasks go as soon as their successor runs, whatever becomes of the update. */
function retireOutdated(draft: Draft): void {
  for (const tasks of draft.slots.values()) {
    if (!tasks.some((t) => t.clean && isAlive(t) && t.state === "running")) continue;
    for (const task of tasks) if (!task.clean && isWantedAlive(task.desired)) task.desired = "shutdown";
  }
}

function isDirty(tasks: readonly DraftTask[]): boolean {
  const alive = tasks.filter((t) => isWantedAlive(t.desired));
  return alive.length > 0 ? alive.every((t) => !t.clean) : tasks.at(-1)?.clean === false;
}

function isOver(state: UpdateState): boolean {
  return state === "completed" || state === "rollback_completed";
}

function configOf(service: Service, state: UpdateState): UpdateConfig {
  const config = state === "rollback_started" ? service.spec.RollbackConfig : service.spec.UpdateConfig;
  return config ?? { Parallelism: DEFAULT_PARALLELISM };
}

function monitorMs(config: UpdateConfig): number {
  return config.Monitor ? config.Monitor / NS_PER_MS : DEFAULT_MONITOR_MS;
}

function touchedSlots(draft: Draft, status: UpdateStatus, monitor: number): Touched[] {
  const touched: Touched[] = [];
  for (const [key, tasks] of draft.slots) {
    const made = tasks.filter(
      (t) => t.clean && t.stored && t.stored.createdAt >= status.startedAt && t.desired !== "remove",
    );
    if (made.length === 0) continue;
    const done = made.map(doneMs).filter((ms) => ms !== undefined);
    const failures = made.filter((t) => isEarlyEnd(t, monitor));
    touched.push({ key, doneMs: done.length > 0 ? Math.min(...done) : undefined, failures });
  }
  return touched;
}

/** When the task first ran, or ended without. */
function doneMs(task: DraftTask): number | undefined {
  if (TASK_STATES[task.state] < TASK_STATES.running || !task.stored) return undefined;
  return Date.parse(task.stored.startedAt ?? task.stored.status.timestamp);
}

/** Ended by itself, before or within the monitor time after it began to run. */
function isEarlyEnd(task: DraftTask, monitor: number): boolean {
  if (!task.stored || !["failed", "rejected", "complete"].includes(task.state)) return false;
  const { startedAt, status } = task.stored;
  return !startedAt || Date.parse(status.timestamp) - Date.parse(startedAt) <= monitor;
}

/** @returns whether the update does not go on */
function stopOnFailure(
  draft: Draft,
  status: UpdateStatus,
  config: UpdateConfig,
  touched: readonly Touched[],
  dirty: number,
): boolean {
  const action = config.FailureAction ?? "pause";
  const failures = touched.flatMap((t) => t.failures);
  const ratio = failures.length / Math.max(1, touched.length + dirty);
  if (action === "continue" || failures.length === 0 || ratio <= (config.MaxFailureRatio ?? 0)) return false;
  const because = `due to failure or early termination of task ${failures.at(-1)?.stored?.id}`;
  const rollingBack = status.state === "rollback_started";
  const previous = draft.service.previousSpec;
  if (action === "rollback" && !rollingBack && previous) {
    const message = `update rolled back ${because}`;
    const updateStatus: UpdateStatus = { state: "rollback_started", startedAt: draft.now, message };
    draft.extra.push({ do: "rollback", spec: previous, updateStatus });
  } else {
    const state = rollingBack ? "rollback_paused" : "paused";
    const message = `${rollingBack ? "rollback" : "update"} paused ${because}`;
    draft.extra.push({ do: "status", updateStatus: { ...status, state, message } });
  }
  return true;
}

/** Whether a slot still takes one of the places for parallel work: being replaced, or within the delay after that. */
function isBusy(draft: Draft, slot: Touched, delayMs: number): boolean {
  if (slot.doneMs === undefined) return true;
  const freeMs = slot.doneMs + delayMs;
  if (freeMs > draft.nowMs) draft.wakeAt(freeMs);
  return freeMs > draft.nowMs;
}

function replace(draft: Draft, key: SlotKey, config: UpdateConfig): void {
  const old = (draft.slots.get(key) ?? []).filter((t) => isWantedAlive(t.desired));
  const startFirst = config.Order === "start-first";
  // Start-first: the new one comes beside the one that serves, which goes when the new one runs. What an update before this one had begun
  // beside it goes at once.
  const serving = startFirst ? (old.find((t) => t.state === "running") ?? old[0]) : undefined;
  for (const task of old) if (task !== serving) task.desired = "shutdown";
  draft.create(key, startFirst ? "running" : "ready");
}

/** Nothing is left to do: over once the last new task has run for the monitor time. */
function complete(draft: Draft, status: UpdateStatus, config: UpdateConfig, touched: readonly Touched[]): void {
  if (touched.some((t) => t.doneMs === undefined)) return;
  const lastMs = Math.max(0, ...touched.map((t) => t.doneMs ?? 0));
  const overMs = config.FailureAction === "continue" ? lastMs : lastMs + monitorMs(config);
  if (overMs > draft.nowMs) {
    draft.wakeAt(overMs);
    return;
  }
  const rollingBack = status.state === "rollback_started";
  const state = rollingBack ? "rollback_completed" : "completed";
  const message = rollingBack ? "rollback completed" : "update completed";
  draft.extra.push({ do: "status", updateStatus: { ...status, state, message, completedAt: draft.now } });
}
