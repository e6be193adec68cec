// What the kernel takes its time over is done on a thread of its own (chores-thread.ts), so that the daemon's never waits: forgetting the
// tracked flows to a replica that has gone, for which the kernel walks its whole table of connections, and deleting links, after which it
// waits for every CPU to have let go of them (20 to 40 ms). The thread is started when there is something to do and ended when idle.
import { Worker } from "node:worker_threads";
import { closeFd, openNetnsFd, readSysctl } from "../kernel/index.ts";
import type { Clock, Timer } from "../model/clock.ts";
import { SkepError } from "../model/errors.ts";
import type { Log } from "../model/log.ts";

/** A thread costs some megabytes; starting one costs some 50 ms, of its own time. */
const IDLE_MS = 5000;

/** One job for the thread, all of it in one namespace. */
export type Chore =
  | { readonly kind: "forget"; readonly netns: string; readonly address: string; readonly streams: boolean }
  | { readonly kind: "unlink"; readonly netns: number; readonly link: string };

export interface ChoreReport {
  readonly id: number;
  /** What went wrong, in words. */
  readonly error?: string;
}

interface Open {
  resolve(): void;
  reject(e: Error): void;
}

export class Chores {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #open = new Map<number, Open>();
  #worker: Worker | undefined;
  #idle: Timer | undefined;
  #next = 0;
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
  forgetFlows(netns: string, address: string, options: { readonly streams?: boolean } = {}): void {
    if (readSysctl(netns, "net.netfilter.nf_conntrack_count") === "0") return;
    this.#give({ kind: "forget", netns, address, streams: options.streams ?? false }).catch((e: Error) => {
      this.#log.warn({ "netns.path": netns, "error.message": e.message }, "cannot forget flows"); // they end by their timeouts
    });
  }

  /** Deletes a link; gone already is success. Its namespace may be deleted meanwhile. Soon, not at once; `settled` tells when. */
  deleteLink(netns: string, link: string): void {
    const fd = openNetnsFd(netns);
    this.#give({ kind: "unlink", netns: fd, link })
      .catch((e: Error) => {
        const facts = { "netns.path": netns, "link.name": link, "error.message": e.message };
        this.#log.warn(facts, "cannot delete a link"); // it goes with its namespace, in the kernel's own time
      })
      .finally(() => closeFd(fd));
  }

  /** Resolves when everything asked for so far is done. */
  settled(): Promise<void> {
    return this.#open.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#settled.push(resolve));
  }

  /** Finishes what was asked for, and ends the thread. */
  async close(): Promise<void> {
    await this.settled();
    this.#idle?.cancel();
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #give(chore: Chore): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const id = this.#next++;
    this.#idle?.cancel();
    this.#open.set(id, { resolve, reject });
    this.#thread().postMessage({ id, chore });
    return promise;
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(new URL("./chores-thread.ts", import.meta.url), { name: "skep-chores" });
    worker.unref();
    worker.on("message", ({ id, error }: ChoreReport) => this.#done(id, error));
    worker.on("error", (e) => this.#log.warn({ "error.message": e.message }, "the thread for chores failed"));
    worker.on("exit", () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      for (const id of [...this.#open.keys()]) this.#done(id, "the thread ended");
    });
    this.#worker = worker;
    return worker;
  }

  #done(id: number, error?: string): void {
    const open = this.#open.get(id);
    this.#open.delete(id);
    if (error === undefined) open?.resolve();
    else open?.reject(new SkepError("internal", error));
    if (this.#open.size > 0) return;
    for (const resolve of this.#settled.splice(0)) resolve();
    this.#idle = this.#clock.after(IDLE_MS, () => void this.close());
  }
}
