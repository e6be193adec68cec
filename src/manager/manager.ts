// The manager: all control loops and the dispatcher over one store, started and stopped together.
import type { Dispatcher } from "../model/assignment.ts";
import type { Clock } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { Prefix } from "../model/ip.ts";
import type { Log } from "../model/log.ts";
import type { Store } from "../store/index.ts";
import { AllocatorLoop } from "./allocator/allocator-loop.ts";
import { InProcessDispatcher } from "./dispatcher/dispatcher.ts";
import { type Loop, LoopRunner } from "./loop.ts";
import { ServiceLoop } from "./orchestrator/service-loop.ts";
import { ReaperLoop } from "./reaper/reaper-loop.ts";
import { SchedulerLoop } from "./scheduler/scheduler-loop.ts";

export interface ManagerNeeds {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** Destinations that this host reaches by other ways than skep's: networks keep clear of them. Asked for each new network. */
  readonly hostRoutes: () => readonly Prefix[];
  /** Called when a loop has died of an error of ours: the daemon should stop rather than run without it. */
  readonly onDeath?: (error: unknown) => void;
  /** How long agents' reports are gathered before they are written, in milliseconds. */
  readonly reportPoolMs?: number;
}

/** Keeps the store's objects as their specs want them, from any state that it is started on. */
export class Manager {
  readonly #needs: ManagerNeeds;
  readonly #dispatcher: InProcessDispatcher;
  #running:
    | { readonly stop: AbortController; readonly runners: LoopRunner[]; readonly done: Promise<unknown> }
    | undefined;

  constructor(needs: ManagerNeeds) {
    this.#needs = needs;
    this.#dispatcher = new InProcessDispatcher(needs);
  }

  /** Where agents connect, while the manager runs. */
  get dispatcher(): Dispatcher {
    return this.#dispatcher;
  }

  /** Resolves when every loop has worked off what it found. Starting twice is harmless. */
  async start(): Promise<void> {
    if (this.#running) return;
    const stop = new AbortController();
    const { store, clock, log, hostRoutes } = this.#needs;
    const runner = <K>(loop: Loop<K>) => new LoopRunner<K>(loop, { store, clock, log }) as unknown as LoopRunner;
    const runners = [
      runner(new AllocatorLoop({ store, clock, log, hostRoutes })),
      runner(new ServiceLoop({ store, clock })),
      runner(new SchedulerLoop({ store })),
      runner(new ReaperLoop({ store })),
    ];
    this.#dispatcher.start(stop.signal);
    const done = Promise.all(runners.map((r) => this.#run(r, stop.signal)));
    this.#running = { stop, runners, done };
    await this.settled();
  }

  /** Ends all loops and sessions; resolves when nothing of them runs any more. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    this.#running = undefined;
    running.stop.abort();
    await running.done;
  }

  /** Resolves when every loop has worked off every commit. What waits for its time does not count. */
  async settled(): Promise<void> {
    const { store } = this.#needs;
    for (;;) {
      const running = this.#running;
      if (!running) return;
      const { revision } = store.view;
      const { runners, stop } = running;
      await Promise.all(runners.map((r) => r.settledAt(revision)));
      if (stop.signal.aborted) return;
      if (store.view.revision === revision && runners.every((r) => r.isSettledAt(revision))) return;
    }
  }

  async #run(runner: LoopRunner, signal: AbortSignal): Promise<void> {
    try {
      await runner.run(signal);
    } catch (e) {
      this.#running?.stop.abort(); // the others would go on with half of the work
      this.#needs.log.error({ loop: runner.name, error: messageOf(e) }, "control loop died");
      this.#needs.onDeath?.(e);
    }
  }
}
