// Keeps the sandbox of an attachment: a container of `docker run` on an attachable network. The container itself is its user's, and the front
// door's; here is only the namespace that it joins, from before the container is created until the attachment's record is gone.
import { timestamp } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import { type Task, type TaskStatus, taskName } from "../model/objects.ts";
import { isAfter, isTerminal, isWantedAlive, type TaskState } from "../model/task-state.ts";
import { type Sandbox, sandboxIdOf } from "../network/index.ts";
import { sandboxOf } from "./sandbox-of-task.ts";
import type { RunnerNeeds } from "./task-runner.ts";
import { Wakeup } from "./wakeup.ts";

const RETRY_MS = 500;

export class AttachmentRunner {
  readonly sandboxId: string;
  readonly #needs: RunnerNeeds;
  readonly #log: Log;
  readonly #wakeup: Wakeup;
  #task: Task;
  /** The task as the sandbox was last made for. */
  #plumbedFor: Task | undefined;
  #sandbox: Sandbox | undefined;
  #status: TaskStatus;
  #released = false;

  readonly #onPlumbed: () => void;

  constructor(needs: RunnerNeeds, task: Task, onPlumbed: () => void) {
    this.#onPlumbed = onPlumbed;
    this.#needs = needs;
    this.#log = needs.log.child({ "task.id": task.id, "task.name": taskName(task) });
    this.#wakeup = new Wakeup(needs.clock);
    this.#task = task;
    this.#status = task.status;
    this.sandboxId = sandboxIdOf(task.id);
  }

  /** The container that joined it; empty until the front door has said. */
  get containerId(): string | undefined {
    return this.#task.spec.NetworkAttachmentSpec?.ContainerID || undefined;
  }

  get holdsSandbox(): boolean {
    return !this.#released && !isTerminal(this.#status.state);
  }

  /** The sandbox, once it is plumbed. */
  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  update(task: Task): void {
    this.#task = task;
    this.#wakeup.now();
  }

  release(): void {
    this.#released = true;
    this.#needs.reporter.forget(this.#task.id);
    this.#wakeup.now();
  }

  /** The container stopped: its names and addresses are no longer answered. It may start again in the same sandbox. */
  exited(): void {
    void this.#needs.network
      .leave(this.sandboxId)
      .catch((e) => this.#log.error({ error: messageOf(e) }, "cannot take a stopped container out of DNS"));
  }

  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wakeup.now(), { once: true });
    while (!signal.aborted) {
      this.#wakeup.rest();
      try {
        if (this.#released || !isWantedAlive(this.#task.desiredState)) {
          await this.#needs.network.removeSandbox(this.sandboxId);
          this.#sandbox = undefined;
          this.#report("shutdown", "shutdown");
          if (this.#released) return;
        } else if (this.#plumbedFor !== this.#task) await this.#plumb();
        await this.#wakeup.wait();
      } catch (e) {
        if (signal.aborted) return;
        this.#log.warn({ error: messageOf(e) }, "cannot plumb an attachment; will try again");
        await this.#wakeup.wait(RETRY_MS);
      }
    }
  }

  async #plumb(): Promise<void> {
    const task = this.#task;
    const { network, engine } = this.#needs;
    this.#sandbox = await network.ensureSandbox(sandboxOf(task));
    const containerId = this.containerId;
    if (containerId) {
      const hostname = task.spec.ContainerSpec?.Hostname || containerId.slice(0, 12);
      await network.setContainer(this.sandboxId, { containerId, hostname });
      const state = (await engine.inspectContainer(containerId))?.state;
      if (state === "running") await network.join(this.sandboxId);
      // It ended while no daemon could see it. One that is only created is about to be started, and joins then.
      if (state === "exited" || state === "stopped") await network.leave(this.sandboxId);
    }
    this.#plumbedFor = task;
    this.#report("running", "started");
    this.#onPlumbed();
  }

  #report(state: TaskState, message: string): void {
    if (!isAfter(state, this.#status.state) || isTerminal(this.#status.state)) return;
    this.#status = { timestamp: timestamp(this.#needs.clock.now()), state, message };
    void this.#needs.reporter.report(this.#task.id, this.#status);
  }
}
