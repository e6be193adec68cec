// Staying with Podman's service over its restarts: whenever it is gone, bring it back, and compare what happened meanwhile. Also learns where
// conmon leaves exit codes; until that is known, Podman's events tell of deaths, a third of a second late.
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import { type ExitWatch, LOST_EXIT_CODE } from "./exit-watch.ts";
import { heldUntilGone } from "./lifeline.ts";
import { type Ceilings, ceilingsOf } from "./limits.ts";
import { object, readContainer, text } from "./podman-answers.ts";
import { exitDirOf, isAlive } from "./podman-host.ts";
import type { PodmanService } from "./podman-service.ts";
import type { ContainerSummary, EngineEvent } from "./port.ts";

const RAPID_MS = 100;
const PAUSE_MS = 500;

export interface FollowNeeds {
  readonly log: Log;
  readonly service: Pick<PodmanService, "ensure" | "pid">;
  readonly exits: ExitWatch;
  readonly socketPath: string;
  /** Where conmon leaves exit codes, when that is known from the start. */
  readonly exitDir: string | undefined;
  list(): Promise<ContainerSummary[]>;
  /** Podman's own answer; it also makes Podman look at the process. */
  inspect(id: string): Promise<unknown>;
  events(signal: AbortSignal): AsyncIterable<EngineEvent>;
  /** Called when the service may be another one than before. */
  reconnected(): void;
}

export class PodmanFollow {
  readonly #needs: FollowNeeds;
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;
  #eventsUntil = new AbortController();
  #ceilings: Ceilings;

  constructor(needs: FollowNeeds) {
    this.#needs = needs;
  }

  /** The limits that the service can give to containers. */
  get ceilings(): Ceilings {
    return this.#ceilings;
  }

  /** Resolves when the service answers and what happened before is compared. Safe to call twice. */
  async start(): Promise<void> {
    if (this.#running !== undefined) return;
    await this.#connect();
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
  }

  /** Compares with Podman's list in the background. */
  catchUp(): void {
    if (this.#closed.signal.aborted) return;
    this.#resync().catch((e: unknown) => {
      // The service is gone, then: #run sees that too, and compares when it is back.
      this.#needs.log.warn({ error: messageOf(e) }, "cannot look for missed container exits");
    });
  }

  /** Takes the exit directory from a running container, by Podman's inspection of it. Known already is fine. */
  async learnExitDir(inspected: unknown): Promise<void> {
    const conmonPidFile = text(object(inspected).ConmonPidFile);
    if (this.#needs.exits.dir !== undefined || conmonPidFile === "") return;
    const dir = await exitDirOf(conmonPidFile);
    if (dir === undefined) return;
    await this.#needs.exits.arm(dir);
    this.#eventsUntil.abort(); // and so to #connect, which finds who died before we watched
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      const since = performance.now();
      if (this.#needs.exits.dir !== undefined) await heldUntilGone(this.#needs.socketPath, signal);
      else await this.#followEvents();
      // A service that answers and hangs up at once must not keep us busy. An abort ends the pause early.
      if (performance.now() - since < RAPID_MS)
        await delay(PAUSE_MS, undefined, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      await this.#connect().catch((e: unknown) => {
        if (!signal.aborted) this.#needs.log.warn({ error: messageOf(e) }, "cannot catch up with podman; trying again");
      });
    }
  }

  async #followEvents(): Promise<void> {
    this.#eventsUntil = new AbortController();
    const signal = AbortSignal.any([this.#closed.signal, this.#eventsUntil.signal]);
    try {
      for await (const event of this.#needs.events(signal)) this.#note(event);
    } catch (e) {
      if (!signal.aborted) this.#needs.log.warn({ error: messageOf(e) }, "podman's event stream broke off");
    }
  }

  #note(event: EngineEvent): void {
    if (event.type !== "container") return;
    const { exits } = this.#needs;
    if (event.action === "start") exits.started(event.actorId, event.at);
    if (event.action === "remove") exits.forget(event.actorId);
    if (event.action === "died") {
      const exitCode = Number.parseInt(event.attributes.containerExitCode ?? "", 10);
      exits.report({
        id: event.actorId,
        exitCode: Number.isNaN(exitCode) ? LOST_EXIT_CODE : exitCode,
        at: event.at,
      });
    }
  }

  async #connect(): Promise<void> {
    const { service, exits, exitDir, reconnected } = this.#needs;
    await service.ensure();
    reconnected();
    this.#ceilings = await ceilingsOf(service.pid ?? "self");
    if (exitDir !== undefined) await exits.arm(exitDir);
    await this.#resync();
  }

  async #resync(): Promise<void> {
    const { exits, inspect } = this.#needs;
    const settled: ContainerSummary[] = [];
    for (const c of await this.#needs.list()) {
      if (c.state !== "running" || c.pid === 0) {
        settled.push(c);
        continue;
      }
      if (exits.dir === undefined) await this.learnExitDir(await inspect(c.id));
      // A dead one that Podman's list does not know of yet: the inspection makes Podman look.
      const looked = (await isAlive(c.pid)) ? c : await inspect(c.id);
      if (looked !== undefined) settled.push(looked === c ? c : readContainer(looked));
    }
    exits.resync(settled);
  }
}
