// Tracked flows to replicas that have gone are forgotten, on a thread of its own: the kernel walks its whole table of connections for that,
// which takes 10 ms and more on a large machine. The thread (flows-thread.ts) is started when there is something to do and ended when idle.
import { Worker } from "node:worker_threads";
import { readSysctl } from "../../kernel/index.ts";
import type { Clock, Timer } from "../../model/clock.ts";
import type { Log } from "../../model/log.ts";

/** A thread costs some megabytes; starting one costs some 50 ms. */
const IDLE_MS = 5000;

export interface FlowOrder {
  readonly netns: string;
  /** The replica's address. */
  readonly address: string;
  readonly protocols: readonly ("udp" | "tcp" | "sctp")[];
}

export interface FlowReport {
  /** What went wrong, in words. */
  readonly error?: string;
}

export class Flows {
  readonly #clock: Clock;
  readonly #log: Log;
  #worker: Worker | undefined;
  #idle: Timer | undefined;
  #open = 0;
  #settled: (() => void)[] = [];

  constructor(needs: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = needs.clock;
    this.#log = needs.log;
  }

  /**
   * Forgets datagram flows to a replica that has gone: they would go on to it as long as packets come, and now their next packet is balanced
   * anew. With `streams` TCP and SCTP too, so that the next packet of a dead stream is answered by a reset instead of by nobody. Soon, not
   * at once; `settled` tells when.
   */
  forget(netns: string, address: string, options: { readonly streams?: boolean } = {}): void {
    if (readSysctl(netns, "net.netfilter.nf_conntrack_count") === "0") return;
    const protocols: FlowOrder["protocols"] = options.streams ? ["udp", "tcp", "sctp"] : ["udp"];
    this.#idle?.cancel();
    this.#open++;
    this.#thread().postMessage({ netns, address, protocols } satisfies FlowOrder);
  }

  /** Resolves when everything asked for so far is done. */
  settled(): Promise<void> {
    return this.#open === 0 ? Promise.resolve() : new Promise((resolve) => this.#settled.push(resolve));
  }

  /** Finishes what was asked for, and ends the thread. */
  async close(): Promise<void> {
    await this.settled();
    this.#idle?.cancel();
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(new URL("./flows-thread.ts", import.meta.url), { name: "skep-flows" });
    worker.unref();
    worker.on("message", (report: FlowReport) => {
      if (report.error !== undefined) this.#log.warn({ "error.message": report.error }, "cannot forget flows");
      this.#done(1);
    });
    worker.on("error", (e) => this.#log.warn({ "error.message": e.message }, "the thread for flows failed"));
    worker.on("exit", () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.#done(this.#open); // what it had to do is lost: those flows end by their timeouts
    });
    this.#worker = worker;
    return worker;
  }

  #done(count: number): void {
    this.#open -= count;
    if (this.#open > 0) return;
    for (const resolve of this.#settled.splice(0)) resolve();
    this.#idle = this.#clock.after(IDLE_MS, () => void this.close());
  }
}
