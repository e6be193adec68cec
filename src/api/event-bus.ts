// Events as `docker events` shows them: a short memory for `--since`, filters, and followers. What makes events of swarm objects is
// swarm-events.ts; the engine's own events come in through `publish` or are merged by the route.
import type { Clock } from "../model/clock.ts";

/** moby keeps as many (daemon/events: eventsLimit). */
const HISTORY = 256;
/** A follower that reads nothing for this many events is cut off rather than kept in memory. */
const BACKLOG = 4096;

/** One event in the API's shape. */
export interface ApiEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly scope: "local" | "swarm";
  /** Seconds since the epoch, and the same in nanoseconds. */
  readonly time: number;
  readonly timeNano: bigint;
}

/** An event without its time. */
export type NewEvent = Omit<ApiEvent, "time" | "timeNano">;

/** The JSON line of an event, with the number beyond 2^53 that `timeNano` is. */
export function eventJson(event: ApiEvent): string {
  const { timeNano, ...rest } = event;
  return `${JSON.stringify(rest).slice(0, -1)},"timeNano":${timeNano}}`;
}

export class EventBus {
  readonly #clock: Clock;
  readonly #followers = new Set<Follower>();
  #history: ApiEvent[] = [];
  #lastNano = 0n;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Stamps the event with the present time and gives it to everyone. */
  publish(event: NewEvent): ApiEvent {
    const ms = this.#clock.now();
    // events of one millisecond keep their order in `timeNano`
    const nano = BigInt(Math.trunc(ms)) * 1_000_000n;
    this.#lastNano = nano > this.#lastNano ? nano : this.#lastNano + 1n;
    const full: ApiEvent = { ...event, time: Math.floor(ms / 1000), timeNano: this.#lastNano };
    this.#history.push(full);
    if (this.#history.length > HISTORY) this.#history = this.#history.slice(-HISTORY);
    for (const follower of this.#followers) follower.push(full);
    return full;
  }

  /** The remembered events from `sinceNano` on. */
  past(sinceNano: bigint): readonly ApiEvent[] {
    return this.#history.filter((e) => e.timeNano >= sinceNano);
  }

  /** What is published from this call on, until the signal aborts. Ends early when the reader is far too slow. */
  follow(signal: AbortSignal): AsyncIterable<ApiEvent> {
    const follower = new Follower(signal, () => this.#followers.delete(follower));
    if (!signal.aborted) this.#followers.add(follower);
    return follower;
  }
}

class Follower implements AsyncIterable<ApiEvent> {
  readonly #queue: ApiEvent[] = [];
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #gone: () => void;

  constructor(signal: AbortSignal, gone: () => void) {
    this.#gone = gone;
    if (signal.aborted) this.#ended = true;
    else signal.addEventListener("abort", () => this.end(), { once: true });
  }

  push(event: ApiEvent): void {
    if (this.#queue.length < BACKLOG) this.#queue.push(event);
    else this.end();
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#gone();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ApiEvent, void, void> {
    try {
      for (;;) {
        const event = this.#queue.shift();
        if (event) yield event;
        else if (this.#ended) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.end();
    }
  }
}
