// One watcher's queue of commits.
import { SkepError } from "../model/errors.ts";
import type { Commit } from "./backend.ts";

/** A reader this far behind has stalled: it is cut off, and starts again from a snapshot, rather than fill the memory. */
const MAX_BEHIND = 10_000;

export class Watcher implements AsyncIterable<Commit>, AsyncIterator<Commit> {
  #queue: Commit[];
  #ended = false;
  #error: SkepError | undefined;
  #wake: (() => void) | undefined;
  readonly #onEnd: (self: Watcher) => void;

  constructor(missed: readonly Commit[], signal: AbortSignal, onEnd: (self: Watcher) => void) {
    this.#queue = [...missed];
    this.#onEnd = onEnd;
    if (signal.aborted) this.end();
    else signal.addEventListener("abort", () => this.end(), { once: true });
  }

  push(commit: Commit): void {
    this.#queue.push(commit);
    if (this.#queue.length > MAX_BEHIND) {
      this.#error = new SkepError("stale", `watcher is ${MAX_BEHIND} commits behind`);
      this.#queue = [];
      this.end();
    }
    this.#wake?.();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(this);
    this.#wake?.();
  }

  [Symbol.asyncIterator](): AsyncIterator<Commit> {
    return this;
  }

  async next(): Promise<IteratorResult<Commit>> {
    for (;;) {
      if (this.#error) throw this.#error;
      const commit = this.#ended ? undefined : this.#queue.shift();
      if (commit) return { done: false, value: commit };
      if (this.#ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  async return(): Promise<IteratorResult<Commit>> {
    this.end();
    return { done: true, value: undefined };
  }
}
