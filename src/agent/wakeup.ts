// One sleeper, woken by a change or by time. A change that comes while it is at work is not missed.
import type { Clock } from "../model/clock.ts";

export class Wakeup {
  readonly #clock: Clock;
  #pending = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something changed: `wait` returns, now or the next time. */
  now(): void {
    this.#pending = true;
    this.#wake?.();
  }

  /** What changed so far is being looked at: only changes after this count. */
  rest(): void {
    this.#pending = false;
  }

  /** Resolves at the next change since `rest`, or after `ms`. */
  async wait(ms?: number): Promise<void> {
    if (this.#pending) return;
    await new Promise<void>((resolve) => {
      const timer = ms === undefined ? undefined : this.#clock.after(ms, resolve);
      this.#wake = () => {
        timer?.cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
