// Keeps the resolver's thread alive, and carries changes to it. What is sent is server.ts's business; the thread's inside is worker.ts.

import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { messageOf } from "../../model/errors.ts";
import type { Change, Report, WorkerData } from "./messages.ts";

/** A thread that ends sooner than this would be started over and over: the next start waits as long. */
const SHORT_LIFE_MS = 1000;

/** What DnsServer tells its owner. */
export type DnsLog = { warn(facts: Record<string, string | number>, message: string): void };

/** Starts the thread. Tests put their own in to get hold of it. */
export type Spawn = (data: WorkerData) => Worker;

export type DnsThreadNeeds = {
  readonly log: DnsLog;
  readonly data: WorkerData;
  readonly spawn?: Spawn;
  /** A fresh thread is there, and knows nothing: called synchronously, may `send`. */
  readonly up: () => void;
  /** The thread is gone with all it had open, asked to or not. */
  readonly down: () => void;
};

export class DnsThread {
  readonly #needs: DnsThreadNeeds;
  #worker: Worker | undefined;
  #wanted = false;
  #queue: Change[] = [];
  #seq = 0;
  readonly #syncs = new Map<number, () => void>();

  constructor(needs: DnsThreadNeeds) {
    this.#needs = needs;
  }

  /** Whether there is a thread to send to right now. */
  get isUp(): boolean {
    return this.#worker !== undefined;
  }

  /** Whether it was started and not stopped; it may be down for a moment all the same. */
  get isWanted(): boolean {
    return this.#wanted;
  }

  async start(): Promise<void> {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#begin();
    await this.flush();
  }

  /** Resolves when the thread has ended. */
  async stop(): Promise<void> {
    this.#wanted = false;
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#forget();
    await worker.terminate();
    this.#needs.down();
  }

  /** Sends a change, with all others of this turn of the event loop in one message. While there is no thread it is dropped: see `up`. */
  send(change: Change): void {
    if (this.#worker === undefined) return;
    this.#queue.push(change);
    if (this.#queue.length > 1) return;
    queueMicrotask(() => {
      const changes = this.#queue;
      this.#queue = [];
      if (changes.length > 0) this.#worker?.postMessage(changes);
    });
  }

  /** Resolves when everything sent so far is done (or the thread is gone, and with it everything it had open). */
  flush(): Promise<void> {
    if (this.#worker === undefined) return Promise.resolve();
    const seq = ++this.#seq;
    return new Promise((resolve) => {
      this.#syncs.set(seq, resolve);
      this.send({ op: "sync", seq });
    });
  }

  #begin(): void {
    const bornMs = performance.now();
    const worker = (this.#needs.spawn ?? spawnWorker)(this.#needs.data);
    this.#worker = worker;
    worker.on("message", (report: Report) => this.#heed(report));
    worker.on("error", (error) => this.#needs.log.warn({ "error.message": messageOf(error) }, "the DNS thread failed"));
    worker.on("exit", () => {
      if (this.#worker !== worker) return; // stopped
      this.#forget();
      this.#needs.down();
      const waitMs = performance.now() - bornMs < SHORT_LIFE_MS ? SHORT_LIFE_MS : 0;
      this.#needs.log.warn({ "wait.ms": waitMs }, "the DNS thread ended, starting it again");
      void sleep(waitMs, undefined, { ref: false }).then(() => {
        if (this.#wanted && this.#worker === undefined) this.#begin();
      });
    });
    this.#needs.up();
  }

  #forget(): void {
    this.#worker = undefined;
    this.#queue = [];
    for (const release of this.#syncs.values()) release();
    this.#syncs.clear();
  }

  #heed(report: Report): void {
    if (report.kind === "warning") {
      this.#needs.log.warn(report.facts, report.message);
      return;
    }
    this.#syncs.get(report.seq)?.();
    this.#syncs.delete(report.seq);
  }
}

/** The thread as it is in earnest. */
export function spawnWorker(workerData: WorkerData): Worker {
  // No flags of the process: some of them (--input-type, --watch) mean something else to a thread, or are refused.
  return new Worker(new URL("./worker.ts", import.meta.url), { workerData, name: "skep-dns", execArgv: [] });
}
