// The `podman system service` process that answers on our socket: started where none runs, used where one does, started again when it dies.
// It outlives the daemon (a restarted daemon finds it answering), and containers outlive both. How it is told to run is podman-config.ts.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, statSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf, SkepError } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import type { PodmanClient } from "./http-client.ts";
import { type PodmanStorage, podmanCommand } from "./podman-config.ts";
import { findService, isAlive, send } from "./podman-host.ts";
import { mountPoints, noteStorageMounts, removeStorageMounts } from "./storage-mounts.ts";

/** Podman answers about 100 ms after its start; much later it will not. */
const START_TIMEOUT_MS = 20_000;
const POLL_MS = 15;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 10_000;
const STOP_TIMEOUT_MS = 5_000;
/** How long a caller's request is held back for a service that is being brought back. */
const PATIENCE_MS = 15_000;
const MAX_LOG_BYTES = 1 << 20;

export interface ServiceOptions {
  readonly client: PodmanClient;
  readonly log: Log;
  /** Our own service, and the directory for its configuration and log; absent: somebody else runs it, and we only wait for it. */
  readonly own?: { readonly stateDir: string; readonly storage: PodmanStorage };
  /** Called for each new service process before anybody's `ensure` resolves: to clean up after the one before. */
  readonly tidy?: (pid: number) => Promise<void>;
}

export class PodmanService {
  readonly #options: ServiceOptions;
  #ensuring: Promise<void> | undefined;
  #pid: number | undefined;
  #closed = new AbortController();

  constructor(options: ServiceOptions) {
    this.#options = options;
  }

  /** The service's process, once `ensure` has resolved; `undefined` when it cannot be seen (another pid namespace, a proxy). */
  get pid(): number | undefined {
    return this.#pid;
  }

  /**
   * Resolves when the service answers, after starting it if it is ours; tries for ever, ever more slowly, until `close`. Many callers
   * share one attempt.
   * @throws SkepError "unavailable" after `close`
   */
  ensure(): Promise<void> {
    this.#ensuring ??= this.#ensure().finally(() => {
      this.#ensuring = undefined;
    });
    return this.#ensuring;
  }

  /** `ensure`, but for a limited time. @throws SkepError "unavailable" when it does not answer for 15 s */
  async recover(): Promise<void> {
    const enough = new AbortController();
    const tooLong = delay(PATIENCE_MS, undefined, { signal: enough.signal }).then(() => {
      throw new SkepError("unavailable", `podman at ${this.#options.client.socketPath} does not answer`);
    });
    try {
      await Promise.race([this.ensure(), tooLong]);
    } finally {
      tooLong.catch(() => {}); // ended by us, or told to the caller already
      enough.abort();
    }
  }

  /** Whether it answers now. @throws SkepError "unavailable" */
  async ping(): Promise<void> {
    const answer = await this.#options.client.ask("GET", "/libpod/_ping", {
      signal: AbortSignal.timeout(5_000),
      once: true,
    });
    if (answer.status !== 200) throw new SkepError("unavailable", `podman's ping answered ${answer.status}`);
  }

  /** Gives up waiting; leaves the service running. */
  close(): void {
    this.#closed.abort();
  }

  /**
   * Ends our own service; containers run on. Nothing to end is success. Somebody else's service is left alone.
   *
   * @param settled waits for what still uses the storage and will end by itself
   */
  async stop(settled: () => Promise<void>): Promise<void> {
    this.close();
    if (this.#options.own === undefined) return;
    const { socketPath } = this.#options.client;
    for (let pid = await findService(socketPath); pid !== undefined; pid = await findService(socketPath)) {
      await terminate(pid);
    }
    await rm(socketPath, { force: true });
    await settled();
    await removeStorageMounts(this.#options.own.stateDir);
  }

  async #ensure(): Promise<void> {
    const { log, client } = this.#options;
    for (let backoff = FIRST_BACKOFF_MS; ; backoff = Math.min(backoff * 2, MAX_BACKOFF_MS)) {
      if (this.#closed.signal.aborted) throw new SkepError("unavailable", "the engine is shut down");
      try {
        await this.#bringUp();
        const pid = await findService(client.socketPath);
        if (pid !== undefined && pid !== this.#pid) await this.#options.tidy?.(pid);
        this.#pid = pid;
        return;
      } catch (e) {
        log.warn({ error: messageOf(e), retryMs: backoff }, "podman does not answer");
      }
      // An abort ends the wait early, and the top of the loop then says so.
      await delay(backoff, undefined, { signal: this.#closed.signal }).catch(() => {});
    }
  }

  async #bringUp(): Promise<void> {
    try {
      return await this.ping();
    } catch (e) {
      if (this.#options.own === undefined) throw e;
    }
    // A service may be there that is only now starting, perhaps from a daemon that was killed: wait for it instead of adding one.
    const { own } = this.#options;
    const before = await mountPoints();
    const pid = (await findService(this.#options.client.socketPath)) ?? (await this.#spawn(own));
    await this.#answering(pid);
    await noteStorageMounts(own.stateDir, own.storage.root, before);
    this.#options.log.info({ pid, socket: this.#options.client.socketPath }, "podman answers");
  }

  async #spawn(own: NonNullable<ServiceOptions["own"]>): Promise<number> {
    const { socketPath } = this.#options.client;
    await mkdir(own.stateDir, { recursive: true, mode: 0o700 });
    await mkdir(dirname(socketPath), { recursive: true });
    await rm(socketPath, { force: true });
    const { program, args, env } = await podmanCommand(own.stateDir, own.storage, socketPath);
    const logFile = join(own.stateDir, "podman.log");
    const isLong = (statSync(logFile, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES;
    const output = openSync(logFile, isLong ? "w" : "a", 0o600);
    try {
      const child = spawn(program, args, { detached: true, stdio: ["ignore", output, output], env, cwd: "/" });
      await Promise.race([once(child, "spawn"), once(child, "error").then(([e]) => Promise.reject(e as Error))]);
      child.unref();
      child.on("exit", (code, signal) => {
        if (!this.#closed.signal.aborted)
          this.#options.log.warn({ pid: child.pid, code, signal }, "podman's service ended");
      });
      return child.pid ?? 0;
    } finally {
      closeSync(output);
    }
  }

  async #answering(pid: number): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        return await this.ping();
      } catch (e) {
        if (!(await isAlive(pid))) {
          throw new SkepError("unavailable", `podman's service ended at once; see podman.log`, { pid }, e);
        }
        if (Date.now() > deadline) {
          await terminate(pid);
          throw e;
        }
      }
      await delay(POLL_MS);
    }
  }
}

async function terminate(pid: number): Promise<void> {
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  send(pid, "SIGTERM");
  while (await isAlive(pid)) {
    if (Date.now() > deadline) send(pid, "SIGKILL");
    await delay(POLL_MS);
  }
}
