// One connection to the engine's events for all who wait for some: `wait`, `events`, attachments. It opens with the first follower and
// closes with the last. Each of the engine's events is translated to Docker's form once, by translate-event.ts.
import { messageOf } from "../../model/errors.ts";
import type { Log } from "../../model/log.ts";
import type { ApiEvent } from "../event-bus.ts";
import { translateEvent } from "./translate-event.ts";
import { LIBPOD, type Upstream } from "./upstream.ts";

/** Between attempts to reach the engine again. */
const RETRY_MS = 250;
/** How far back a connection asks when another broke off; what was seen before is dropped. */
const OVERLAP_MS = 2_000;
/** Events remembered for that: more than an engine makes in the overlap. */
const REMEMBERED = 4_096;
/** A follower that reads nothing for this many events is cut off rather than kept in memory. */
const BACKLOG = 65_536;

/** An event, or word that some may have been missed because the engine's service went away and came back. */
export type FeedItem = { readonly event: ApiEvent } | { readonly gap: true };

export class EngineFeed {
  readonly #upstream: Upstream;
  readonly #log: Log;
  readonly #followers = new Set<Follower>();
  #stop: AbortController | undefined;
  #ready: Promise<void> = Promise.resolve();
  #recent = new Set<string>();

  constructor(upstream: Upstream, log: Log) {
    this.#upstream = upstream;
    this.#log = log;
  }

  /** Follows from now on, until the signal aborts. Resolves when the engine sends its events, so that what happens after is seen. */
  async follow(signal: AbortSignal): Promise<AsyncIterable<FeedItem>> {
    const follower: Follower = new Follower(signal, () => this.#left(follower));
    this.#followers.add(follower);
    if (!this.#stop) this.#open();
    await this.#ready;
    return follower;
  }

  #left(follower: Follower): void {
    this.#followers.delete(follower);
    if (this.#followers.size > 0) return;
    this.#stop?.abort();
    this.#stop = undefined;
  }

  #open(): void {
    const stop = new AbortController();
    this.#stop = stop;
    this.#ready = new Promise((resolve) => {
      this.#run(stop.signal, resolve).catch((e: unknown) => {
        this.#log.error({ err: messageOf(e) }, "following the engine's events failed for good");
        for (const follower of this.#followers) follower.end();
        resolve();
      });
    });
  }

  async #run(signal: AbortSignal, ready: () => void): Promise<void> {
    let first = true;
    const openedMs = Date.now();
    while (!signal.aborted) {
      try {
        // Also the first time: Podman answers a little before it begins to look.
        const since = (Math.max(openedMs, Date.now() - OVERLAP_MS) / 1000).toFixed(3);
        const query = { stream: "true", since };
        const answer = await this.#upstream.send("GET", `${LIBPOD}/events`, { query, signal });
        if (!first) this.#tell({ gap: true });
        first = false;
        ready();
        await this.#read(answer, BigInt(openedMs) * 1_000_000n);
      } catch (e) {
        if (signal.aborted) break;
        this.#log.debug({ err: messageOf(e) }, "the engine's events broke off");
        ready(); // an engine that is down has no events to miss; followers get a gap when it is back
        first = false;
      }
      if (!signal.aborted) await pause(RETRY_MS, signal);
    }
    ready();
  }

  async #read(answer: AsyncIterable<Buffer>, sinceNano: bigint): Promise<void> {
    let rest = "";
    for await (const chunk of answer) {
      const lines = (rest + chunk.toString("utf8")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line, sinceNano);
    }
  }

  #take(line: string, sinceNano: bigint): void {
    if (line.trim() === "") return;
    const event = translateEvent(line);
    if (!event || event.timeNano < sinceNano) return;
    const key = `${event.timeNano} ${event.Action} ${event.Actor.ID}`;
    if (this.#recent.has(key)) return;
    this.#recent.add(key);
    if (this.#recent.size > 2 * REMEMBERED) this.#recent = new Set([...this.#recent].slice(-REMEMBERED));
    this.#tell({ event });
  }

  #tell(item: FeedItem): void {
    for (const follower of this.#followers) follower.push(item);
  }
}

class Follower implements AsyncIterable<FeedItem> {
  readonly #queue: FeedItem[] = [];
  readonly #gone: () => void;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(signal: AbortSignal, gone: () => void) {
    this.#gone = gone;
    if (signal.aborted) this.#ended = true;
    else signal.addEventListener("abort", () => this.end(), { once: true });
  }

  push(item: FeedItem): void {
    if (this.#queue.length < BACKLOG) this.#queue.push(item);
    else this.end();
    this.#wake?.();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#gone();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<FeedItem, void, void> {
    try {
      for (;;) {
        const item = this.#queue.shift();
        if (item) yield item;
        else if (this.#ended) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.end();
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
