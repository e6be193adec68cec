// The shape of a control loop, and the runner that all loops share. What each loop does is in its own folder.
import type { Clock, Timer } from "../model/clock.ts";
import { hasCode, messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import type { Change, Store, View } from "../store/index.ts";

/** A key that waits for its time: at `at` (milliseconds since the epoch) it is settled again. */
export interface Due<K> {
  readonly key: K;
  readonly at: number;
}

/**
 * A control loop keeps something true. It is told which keys may need work, and decides and writes in one transaction. It must be correct
 * when it is started in the middle of anything: what it remembers beside the store is a cache.
 */
export interface Loop<K> {
  readonly name: string;
  /** Every key that may need work, at the start and whenever the watch was lost. Drops the loop's caches. */
  seed(view: View): Iterable<K>;
  /** The keys that a change may concern. Cheap, synchronous, no I/O. */
  note(change: Change, view: View): Iterable<K>;
  /** Does what is to be done for these keys, and says which of them wait for a time. Doing it twice is harmless. */
  settle(keys: readonly K[]): Promise<readonly Due<K>[]>;
}

/** After a failure a key is tried again after this, doubled with each further failure up to the cap. */
const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 30_000;
/** A loop looks at the clock at least this often while keys wait: longer timers than 2^31 ms fire at once in Node. */
const LONGEST_SLEEP_MS = 24 * 3_600_000;

export interface LoopNeeds {
  readonly store: Pick<Store, "view" | "watch">;
  readonly clock: Clock;
  readonly log: Log;
}

/** Runs one loop: commits come in, keys become dirty, keys are settled a batch at a time. */
export class LoopRunner<K = unknown> {
  readonly name: string;
  readonly #loop: Loop<K>;
  readonly #store: LoopNeeds["store"];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #dirty = new Set<K>();
  readonly #due = new Map<K, number>();
  readonly #failures = new Map<K, number>();
  #seenRevision = -1;
  #busy = false;
  #isOver = false;
  #timer: Timer | undefined;
  #wake: () => void = () => undefined;
  #waiting: (() => void)[] = [];

  constructor(loop: Loop<K>, needs: LoopNeeds) {
    this.name = loop.name;
    this.#loop = loop;
    this.#store = needs.store;
    this.#clock = needs.clock;
    this.#log = needs.log.child({ loop: loop.name });
  }

  /** Follows the store until `signal` aborts; starts again from a snapshot when it fell too far behind. Can be run once. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        try {
          await this.#follow(signal);
        } catch (e) {
          if (!hasCode(e, "stale")) throw e;
          this.#log.warn({ error: messageOf(e) }, "too far behind: starting again from a snapshot");
        }
      }
    } finally {
      this.#isOver = true;
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
  }

  /** Whether everything up to that revision has been worked off and nothing is at hand (keys may wait for their time). */
  isSettledAt(revision: number): boolean {
    return this.#seenRevision >= revision && this.#dirty.size === 0 && !this.#busy;
  }

  /** Resolves when `isSettledAt(revision)`, or when the loop runs no more. */
  async settledAt(revision: number): Promise<void> {
    while (!this.isSettledAt(revision) && !this.#isOver)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async #follow(outer: AbortSignal): Promise<void> {
    const lost = new AbortController();
    const signal = AbortSignal.any([outer, lost.signal]);
    const { view, commits } = this.#store.watch(signal);
    for (const key of this.#loop.seed(view)) this.#dirty.add(key);
    this.#seenRevision = view.revision;
    const pump = this.#pump(signal);
    try {
      for await (const commit of commits) {
        for (const change of commit.changes) for (const key of this.#loop.note(change, view)) this.#dirty.add(key);
        this.#seenRevision = commit.revision;
        this.#wake();
      }
    } finally {
      lost.abort();
      this.#wake();
      await pump;
    }
  }

  async #pump(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#takeDue();
      if (this.#dirty.size === 0) {
        await this.#idle(signal);
        continue;
      }
      this.#busy = true;
      await turnOfTheEventLoop(); // commits that are under way come into the same batch
      const keys = [...this.#dirty];
      this.#dirty.clear();
      await this.#settle(keys);
      this.#busy = false;
    }
    this.#timer?.cancel();
  }

  async #idle(signal: AbortSignal): Promise<void> {
    for (const resolve of this.#waiting.splice(0)) resolve();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    const next = earliest(this.#due.values());
    if (next !== undefined) {
      const sleepMs = Math.min(LONGEST_SLEEP_MS, next - this.#clock.now());
      this.#timer = this.#clock.after(sleepMs, () => this.#wake());
    }
    if (!signal.aborted) await woken;
    this.#timer?.cancel();
    this.#wake = () => undefined;
  }

  #takeDue(): void {
    const now = this.#clock.now();
    for (const [key, at] of this.#due) {
      if (at > now) continue;
      this.#due.delete(key);
      this.#dirty.add(key);
    }
  }

  /** One bad key never stops the rest: when a batch fails, each of its keys is tried alone. Unless nothing can be stored at present. */
  async #settle(keys: readonly K[]): Promise<void> {
    try {
      const due = await this.#loop.settle(keys);
      for (const key of keys) {
        this.#failures.delete(key);
        this.#due.delete(key);
      }
      for (const { key, at } of due) this.#due.set(key, at);
    } catch (e) {
      if (keys.length > 1 && !hasCode(e, "unavailable")) for (const key of keys) await this.#settle([key]);
      else this.#backOff(keys, e);
    }
  }

  #backOff(keys: readonly K[], error: unknown): void {
    let delay = 0;
    for (const key of keys) {
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      delay = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (failures - 1));
      this.#due.set(key, this.#clock.now() + delay);
    }
    const facts = { key: keys[0], keys: keys.length, "retry.ms": delay, error: messageOf(error) };
    this.#log.warn(facts, "cannot settle, will try again");
  }
}

function earliest(times: Iterable<number>): number | undefined {
  let first: number | undefined;
  for (const t of times) if (first === undefined || t < first) first = t;
  return first;
}

function turnOfTheEventLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
