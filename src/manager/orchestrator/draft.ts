// A service's tasks as a plan works on them: copies that the steps (restart, scale, update, raise) change one after the other. What they
// changed becomes actions at the end; nothing here writes. The steps are in the *-step.ts files, their order in service-plan.ts.
import type { NodeId } from "../../model/ids.ts";
import type { Node, RestartHistory, Service, Task, UpdateStatus } from "../../model/objects.ts";
import { isOutdated } from "../../model/outdated.ts";
import type { ServiceSpec } from "../../model/spec.ts";
import { type DesiredState, isTerminal, isWantedAlive, type TaskState } from "../../model/task-state.ts";
import { isFinished, isLost, type SlotKey, slotKeyOf } from "../task-life.ts";

/** A task, stored or about to be. */
export interface DraftTask {
  readonly stored?: Task;
  readonly key: SlotKey;
  readonly state: TaskState;
  /** Made to the spec that the service has now. */
  readonly clean: boolean;
  desired: DesiredState;
  readonly startAfterMs?: number;
  readonly restarts?: RestartHistory;
}

export type Action =
  | { readonly do: "create"; readonly task: DraftTask }
  | { readonly do: "wish"; readonly task: Task; readonly desired: DesiredState }
  | { readonly do: "status"; readonly updateStatus: UpdateStatus }
  | { readonly do: "rollback"; readonly spec: ServiceSpec; readonly updateStatus: UpdateStatus }
  | { readonly do: "delete" };

export interface Plan {
  readonly actions: readonly Action[];
  /** When the service should be looked at again although nothing happened, in milliseconds since the epoch. */
  readonly dueMs?: number;
}

export interface Situation {
  readonly service: Service;
  readonly tasks: readonly Task[];
  readonly nodes: ReadonlyMap<NodeId, Node>;
  readonly nowMs: number;
  /** The transaction's time, for what is written: later than that of every task there is. */
  readonly now: string;
}

export class Draft {
  readonly service: Service;
  readonly nodes: ReadonlyMap<NodeId, Node>;
  readonly nowMs: number;
  readonly now: string;
  /** Tasks by slot, oldest first. */
  readonly slots = new Map<SlotKey, DraftTask[]>();
  readonly extra: Action[] = [];
  #dueMs: number | undefined;

  constructor(situation: Situation) {
    this.service = situation.service;
    this.nodes = situation.nodes;
    this.nowMs = situation.nowMs;
    this.now = situation.now;
    const tasks = [...situation.tasks].sort((a, b) =>
      a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : a.version - b.version,
    );
    for (const task of tasks) {
      this.#put({
        stored: task,
        key: slotKeyOf(task),
        state: task.status.state,
        desired: task.desiredState,
        clean: !isOutdated(task, this.service),
        ...(task.startAfter ? { startAfterMs: Date.parse(task.startAfter) } : {}),
        ...(task.restarts ? { restarts: task.restarts } : {}),
      });
    }
  }

  /** A new task in a slot, made to the spec that the service has now. */
  create(key: SlotKey, desired: "ready" | "running", more: Pick<DraftTask, "startAfterMs" | "restarts"> = {}): void {
    this.#put({ key, state: "new", clean: true, desired, ...more });
  }

  /** Asks to be called again at that time. */
  wakeAt(ms: number): void {
    this.#dueMs = Math.min(this.#dueMs ?? ms, ms);
  }

  /**
   * The slots that count as filled, in order: those with a task that is wanted alive, and those whose last task ended and, by its restart
   * policy, is not to be replaced.
   */
  filled(): SlotKey[] {
    const keys = [...this.slots].filter(([, tasks]) => isFilled(tasks)).map(([key]) => key);
    return keys.sort((a, b) =>
      typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : 1,
    );
  }

  /** Whether the task's node takes no part any more, so that nobody can stop or start it. */
  isOnLostNode(task: DraftTask): boolean {
    const id = task.stored?.nodeId;
    return id !== undefined && isLost(this.nodes.get(id));
  }

  plan(): Plan {
    const actions: Action[] = [...this.extra];
    for (const tasks of this.slots.values()) {
      for (const task of tasks) {
        if (!task.stored) {
          if (isWantedAlive(task.desired)) actions.push({ do: "create", task });
        } else if (task.stored.desiredState !== task.desired) {
          actions.push({ do: "wish", task: task.stored, desired: task.desired });
        }
      }
    }
    return { actions, ...(this.#dueMs === undefined ? {} : { dueMs: this.#dueMs }) };
  }

  #put(task: DraftTask): void {
    const slot = this.slots.get(task.key);
    if (slot) slot.push(task);
    else this.slots.set(task.key, [task]);
  }
}

/** Wanted alive, and not known to have ended. */
export function isAlive(task: DraftTask): boolean {
  return isWantedAlive(task.desired) && !isTerminal(task.state);
}

export function hasEnded(task: DraftTask): boolean {
  return isFinished({ desiredState: task.desired, status: { state: task.state, timestamp: "", message: "" } });
}

/** The last task of a slot decides, when none is wanted alive: one that its policy did not replace still fills it. */
export function isFilled(tasks: readonly DraftTask[]): boolean {
  if (tasks.some((t) => isWantedAlive(t.desired))) return true;
  const last = tasks.at(-1);
  if (last?.desired !== "shutdown") return false;
  // A global service's task that was stopped because its node went comes again when the node does.
  return (
    typeof last.key === "number" || last.state === "complete" || last.state === "failed" || last.state === "rejected"
  );
}
