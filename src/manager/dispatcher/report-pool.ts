// Agents' reports, gathered for a moment and written in one transaction.
import type { StatusReport } from "../../model/assignment.ts";
import type { Clock } from "../../model/clock.ts";
import type { NodeId } from "../../model/ids.ts";
import type { Task, TaskStatus } from "../../model/objects.ts";
import { mayMove, TASK_STATES } from "../../model/task-state.ts";
import type { Store, Tx } from "../../store/index.ts";

/** Long enough to gather what fifty tasks say in one go, short enough to keep a dead task's traffic away at once. */
export const REPORT_POOL_MS = 5;

interface Pooled extends StatusReport {
  readonly nodeId: NodeId;
}

export class ReportPool {
  readonly #store: Pick<Store, "update">;
  readonly #clock: Clock;
  readonly #poolMs: number;
  #pooled: Pooled[] = [];
  #flushed: Promise<void> | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(store: Pick<Store, "update">, clock: Clock, poolMs = REPORT_POOL_MS) {
    this.#store = store;
    this.#clock = clock;
    this.#poolMs = poolMs;
  }

  /** Resolves when the reports are stored. The first after a pause goes at once, the others with those that come in the meantime. */
  add(nodeId: NodeId, reports: readonly StatusReport[]): Promise<void> {
    for (const report of reports) this.#pooled.push({ ...report, nodeId });
    this.#flushed ??= this.#flush();
    return this.#flushed;
  }

  async #flush(): Promise<void> {
    const waitMs = this.#lastMs + this.#poolMs - this.#clock.now();
    await new Promise<void>((resolve) => (waitMs > 0 ? this.#clock.after(waitMs, resolve) : setImmediate(resolve)));
    const reports = this.#pooled;
    this.#pooled = [];
    this.#flushed = undefined;
    this.#lastMs = this.#clock.now();
    await this.#store.update((tx) => {
      for (const report of reports) write(tx, report);
    });
  }
}

/** A report about a task that is gone or another node's, and one that comes late, changes nothing. */
function write(tx: Tx, { taskId, nodeId, status }: Pooled): void {
  const task = tx.get("task", taskId);
  if (!task || task.nodeId !== nodeId || !mayMove(task.status.state, status.state)) return;
  if (isSameStatus(task.status, status)) return;
  tx.update<"task">({ ...task, status, ...startOf(task, status) });
}

function startOf(task: Task, status: TaskStatus): Pick<Task, "startedAt"> | undefined {
  return status.state === "running" && !task.startedAt ? { startedAt: status.timestamp } : undefined;
}

function isSameStatus(a: TaskStatus, b: TaskStatus): boolean {
  return (
    TASK_STATES[a.state] === TASK_STATES[b.state] &&
    a.message === b.message &&
    a.err === b.err &&
    JSON.stringify([a.container, a.ports]) === JSON.stringify([b.container, b.ports])
  );
}
