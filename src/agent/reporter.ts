// Carries task statuses to the manager: the newest of a task wins, and what could not be delivered is sent again.
import type { DispatcherSession, StatusReport } from "../model/assignment.ts";
import type { Clock, Timer } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { TaskId } from "../model/ids.ts";
import type { Log } from "../model/log.ts";
import type { TaskStatus } from "../model/objects.ts";

const RETRY_MS = 500;

interface Waiter {
  readonly status: TaskStatus;
  readonly resolve: () => void;
}

export class Reporter {
  readonly #clock: Clock;
  readonly #log: Log;
  #session: DispatcherSession | undefined;
  #pending = new Map<TaskId, Waiter[]>();
  #sending = false;
  #retry: Timer | undefined;

  constructor(needs: { clock: Clock; log: Log }) {
    this.#clock = needs.clock;
    this.#log = needs.log;
  }

  /** Where to send from now on; `undefined` while there is no manager. Nothing that was not delivered is lost. */
  use(session: DispatcherSession | undefined): void {
    this.#session = session;
    void this.#send();
  }

  /** Resolves when this status, or a newer one of the task, is stored by the manager. */
  report(taskId: TaskId, status: TaskStatus): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#pending.get(taskId) ?? [];
      waiters.push({ status, resolve });
      this.#pending.set(taskId, waiters);
      void this.#send();
    });
  }

  /** The task's record is gone: nobody wants its status any more. */
  forget(taskId: TaskId): void {
    for (const w of this.#pending.get(taskId) ?? []) w.resolve();
    this.#pending.delete(taskId);
  }

  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    this.#retry?.cancel();
    try {
      await Promise.resolve(); // gathers what is reported in the same turn
      while (this.#session && this.#pending.size > 0) {
        const batch = this.#pending;
        this.#pending = new Map();
        const reports: StatusReport[] = [];
        for (const [taskId, waiters] of batch) reports.push({ taskId, status: waiters.at(-1)!.status });
        try {
          await this.#session.report(reports);
        } catch (e) {
          this.#log.warn({ error: messageOf(e) }, "cannot report task statuses; will try again");
          for (const [id, waiters] of batch) this.#pending.set(id, [...waiters, ...(this.#pending.get(id) ?? [])]);
          this.#retry = this.#clock.after(RETRY_MS, () => void this.#send());
          return;
        }
        for (const waiters of batch.values()) for (const w of waiters) w.resolve();
      }
    } finally {
      this.#sending = false;
    }
  }
}
