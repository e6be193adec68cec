// Runs one task: asks next-step.ts what is to be done and does it, until the task's record is gone and nothing of it is left here.
import type { ContainerEngine, ContainerExit, ContainerSummary } from "../engine/index.ts";
import { type Clock, timestamp } from "../model/clock.ts";
import { hasCode, messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import { type Task, type TaskStatus, taskName } from "../model/objects.ts";
import { isAfter, isTerminal, isWantedAlive, type TaskState } from "../model/task-state.ts";
import { type NodeNetwork, type Sandbox, sandboxIdOf } from "../network/index.ts";
import { containerOf, stopGraceMs } from "./container-of-task.ts";
import type { Images } from "./images.ts";
import type { Limiter } from "./limiter.ts";
import { type ContainerPresence, nextStep, type Step } from "./next-step.ts";
import type { Reporter } from "./reporter.ts";
import { sandboxOf } from "./sandbox-of-task.ts";
import { Wakeup } from "./wakeup.ts";

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;

export interface RunnerNeeds {
  readonly engine: ContainerEngine;
  readonly network: NodeNetwork;
  readonly images: Images;
  readonly reporter: Reporter;
  /** How many tasks may be created or started at once: more only queue inside the engine. */
  readonly limiter: Limiter;
  readonly clock: Clock;
  readonly log: Log;
}

export class TaskRunner {
  readonly #needs: RunnerNeeds;
  readonly #log: Log;
  readonly sandboxId: string;
  readonly #wakeup: Wakeup;
  #task: Task;
  #status: TaskStatus;
  #released = false;
  /** Aborts when this daemon stops: what has not begun is the next one's. */
  #daemonStops: AbortSignal = new AbortController().signal;
  /** Aborts when nothing need be prepared for this task any more: wishes only move forward, so that is for good. */
  readonly #unwanted = new AbortController();
  #sandbox: Sandbox | undefined;
  #presence: ContainerPresence = "none";
  #container: { id: string; pid: number; exitCode: number } | undefined;

  constructor(needs: RunnerNeeds, task: Task, found?: ContainerSummary) {
    this.#needs = needs;
    this.#log = needs.log.child({ "task.id": task.id, "task.name": taskName(task) });
    this.#wakeup = new Wakeup(needs.clock);
    this.#task = task;
    this.#status = task.status;
    this.sandboxId = sandboxIdOf(task.id);
    if (found) {
      this.#container = { id: found.id, pid: found.pid, exitCode: found.exitCode };
      this.#presence = presenceOf(found);
    }
  }

  get containerId(): string | undefined {
    return this.#container?.id;
  }

  /** The sandbox, while it is plumbed. */
  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  /** Whether the task needs its sandbox: what else is plumbed on this node is stray. */
  get holdsSandbox(): boolean {
    return !this.#released && !isTerminal(this.#status.state);
  }

  /** The managers changed their wish. */
  update(task: Task): void {
    this.#task = task;
    if (this.#stale()) this.#unwanted.abort();
    this.#wakeup.now();
  }

  /** The task's record is gone from the store. */
  release(): void {
    this.#released = true;
    this.#unwanted.abort();
    this.#needs.reporter.forget(this.#task.id);
    this.#wakeup.now();
  }

  /** The container's process is gone. Its address is taken out of the balancer before anything else happens. */
  exited(exit: ContainerExit): void {
    if (!this.#container || this.#presence !== "running") return;
    this.#presence = "exited";
    this.#container = { ...this.#container, pid: 0, exitCode: exit.exitCode };
    void this.#needs.network
      .leave(this.sandboxId)
      .catch((e) => this.#log.error({ error: messageOf(e) }, "cannot take a dead task out of the balancer"))
      .finally(() => this.#wakeup.now());
  }

  /** Works until the task is erased, or until `signal` aborts: then everything stays as it is, to be adopted by the next daemon. */
  async run(signal: AbortSignal): Promise<void> {
    this.#daemonStops = signal;
    let retryMs = FIRST_RETRY_MS;
    signal.addEventListener("abort", () => this.#wakeup.now(), { once: true });
    while (!signal.aborted) {
      this.#wakeup.rest();
      const step = this.#next();
      if (step === "wait") {
        await this.#wakeup.wait();
        continue;
      }
      try {
        await this.#do(step, signal);
        if (step === "erase") return;
        retryMs = FIRST_RETRY_MS;
      } catch (e) {
        if (signal.aborted) return;
        this.#log.warn({ step, error: messageOf(e) }, "a step failed; will try again");
        await this.#wakeup.wait(retryMs);
        retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
      }
    }
  }

  #next(): Step {
    return nextStep({
      state: this.#status.state,
      desired: this.#task.desiredState,
      released: this.#released,
      container: this.#presence,
      plumbed: this.#sandbox !== undefined,
    });
  }

  async #do(step: Exclude<Step, "wait">, signal: AbortSignal): Promise<void> {
    const { engine, network, limiter } = this.#needs;
    switch (step) {
      case "accept":
        return this.#report("accepted", "accepted");
      case "prepare":
        return this.#failing("rejected", "preparing", () => this.#prepare());
      case "start":
        return this.#failing(
          "failed",
          "starting",
          () => limiter.run(() => this.#start()),
          "starting container failed: ",
        );
      case "adopt": {
        await this.#plumb();
        if (await this.#hasEnded()) return;
        await network.join(this.sandboxId);
        return this.#report("running", "started");
      }
      case "conclude":
        await this.#unplumb();
        return this.#conclude();
      case "stop": {
        await network.drain(this.sandboxId);
        await engine.stopContainer(this.#container!.id, { graceMs: stopGraceMs(this.#task), signal });
        const after = await engine.inspectContainer(this.#container!.id);
        this.#container = { id: this.#container!.id, pid: 0, exitCode: after?.exitCode ?? 0 };
        this.#presence = after ? "exited" : "none";
        await this.#unplumb();
        return this.#report("shutdown", "shutdown");
      }
      case "abandon":
        await this.#unplumb();
        return this.#report("shutdown", "shutdown");
      case "unplumb":
        return this.#unplumb();
      case "erase":
        if (this.#container) await engine.removeContainer(this.#container.id, { force: true, volumes: true });
        return this.#unplumb();
    }
  }

  /** Turns a refusal into the end of the task; only an engine that is away is worth another try. */
  async #failing(state: "rejected" | "failed", message: string, work: () => Promise<void>, prefix = ""): Promise<void> {
    try {
      await work();
    } catch (e) {
      if (hasCode(e, "unavailable")) throw e;
      this.#log.info({ error: messageOf(e), state }, "the task cannot run");
      await this.#unplumb();
      this.#report(state, message, `${prefix}${messageOf(e)}`);
    }
  }

  async #prepare(): Promise<void> {
    if (this.#stale()) return;
    this.#report("preparing", "preparing");
    const image = this.#task.spec.ContainerSpec?.Image ?? "";
    await this.#needs.images.ensure(
      image,
      this.#task.registryAuth,
      AbortSignal.any([this.#unwanted.signal, this.#daemonStops]),
    );
    await this.#needs.limiter.run(() => this.#create());
  }

  async #create(): Promise<void> {
    if (this.#stale() || this.#daemonStops.aborted) return;
    const sandbox = await this.#plumb();
    const { engine, network } = this.#needs;
    if (this.#presence === "exited") {
      // It was started and died before this daemon's last life could say so: "ready" needs one that never ran.
      await engine.removeContainer(this.#container!.id, { force: true, volumes: true });
      this.#container = undefined;
      this.#presence = "none";
    }
    if (!this.#container) {
      const { id } = await engine.createContainer(containerOf(this.#task, sandbox.netnsPath, sandbox.files));
      this.#container = { id, pid: 0, exitCode: 0 };
      this.#presence = "created";
      await network.setContainer(this.sandboxId, { containerId: id, hostname: this.#hostname(id) });
    }
    this.#report("ready", "prepared");
  }

  async #start(): Promise<void> {
    if (this.#stale() || this.#daemonStops.aborted) return;
    this.#report("starting", "starting");
    const container = this.#container!;
    // An exit may be seen before the start is answered: from here on it counts.
    this.#presence = "running";
    try {
      const { pid } = await this.#needs.engine.startContainer(container.id);
      if (this.#presence === "running") this.#container = { ...container, pid };
    } catch (e) {
      this.#presence = "created";
      if (hasCode(e, "unavailable")) await this.#recreate(container.id);
      throw e;
    }
    await this.#needs.network.join(this.sandboxId);
    if (this.#presence === "running") this.#report("running", "started");
    else await this.#needs.network.leave(this.sandboxId);
  }

  /** Whether the process ended between the list that told of it and now: nobody was there yet to hear of that. */
  async #hasEnded(): Promise<boolean> {
    const now = await this.#needs.engine.inspectContainer(this.#container!.id);
    if (now && presenceOf(now) === "running") return false;
    this.#presence = now ? presenceOf(now) : "none";
    this.#container = { id: this.#container!.id, pid: 0, exitCode: now?.exitCode ?? 0 };
    return true;
  }

  /** The engine died over the start and knows no more what became of it: a container in that state is good for nothing. */
  async #recreate(containerId: string): Promise<void> {
    await this.#needs.engine.removeContainer(containerId, { force: true, volumes: true });
    this.#container = undefined;
    this.#presence = "none";
    await this.#create();
  }

  async #plumb(): Promise<Sandbox> {
    const sandbox = await this.#needs.network.ensureSandbox(sandboxOf(this.#task));
    this.#sandbox = sandbox;
    if (this.#container) {
      const containerId = this.#container.id;
      await this.#needs.network.setContainer(this.sandboxId, { containerId, hostname: this.#hostname(containerId) });
    }
    return sandbox;
  }

  async #unplumb(): Promise<void> {
    await this.#needs.network.removeSandbox(this.sandboxId);
    this.#sandbox = undefined;
  }

  #conclude(): void {
    const ran = this.#container && this.#presence !== "created";
    const exitCode = this.#container?.exitCode ?? 0;
    if (!isWantedAlive(this.#task.desiredState)) this.#report("shutdown", "shutdown");
    // The record says that it ran, and nothing does: the host was restarted.
    else if (!ran) this.#report("failed", "started", "the task's container is gone: the node was restarted");
    else if (exitCode === 0) this.#report("complete", "finished");
    else this.#report("failed", "started", `task: non-zero exit (${exitCode})`);
  }

  #report(state: TaskState, message: string, err?: string): void {
    const container = this.#container;
    if (!isAfter(state, this.#status.state) || isTerminal(this.#status.state)) return;
    this.#status = {
      timestamp: timestamp(this.#needs.clock.now()),
      state,
      message,
      ...(err ? { err } : {}),
      ...(container ? { container } : {}),
    };
    this.#log.debug({ "state.transition": state, err }, "task moves on");
    void this.#needs.reporter.report(this.#task.id, this.#status);
  }

  /** Whether the wish changed so that going on with preparing or starting would be for nothing. */
  #stale(): boolean {
    return this.#released || !isWantedAlive(this.#task.desiredState);
  }

  #hostname(containerId: string): string {
    return this.#task.spec.ContainerSpec?.Hostname || containerId.slice(0, 12);
  }
}

function presenceOf(c: ContainerSummary): ContainerPresence {
  switch (c.state) {
    case "running":
    case "paused":
    case "stopping":
      return "running";
    case "created":
    case "initialized":
      return "created";
    default:
      return "exited";
  }
}
