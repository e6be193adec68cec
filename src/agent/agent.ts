// The agent: a node's side of the swarm. Follows its dispatcher, keeps a runner for each assigned task, and brings the node's networks along.
import { EventEmitter } from "node:events";
import type { ContainerEngine, ContainerSummary } from "../engine/index.ts";
import type { Assignments, Dispatcher, DispatcherSession } from "../model/assignment.ts";
import { type Clock, pause } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { NodeId, TaskId } from "../model/ids.ts";
import type { Log } from "../model/log.ts";
import type { NodeDescription, Task } from "../model/objects.ts";
import type { NodeNetwork, Sandbox } from "../network/index.ts";
import { AttachmentRunner } from "./attachment-runner.ts";
import { TASK_LABEL } from "./container-of-task.ts";
import { Images } from "./images.ts";
import { Limiter } from "./limiter.ts";
import { Reporter } from "./reporter.ts";
import { type RunnerNeeds, TaskRunner } from "./task-runner.ts";

/**
 * Creates and starts in flight at once. Podman works under a lock of its storage: 50 replicas ran after 3.3 s with 4 at once, 3.3 s with 6 and
 * 4.2 s with 8 (bench/swarm.ts, two cores).
 */
const TASKS_AT_ONCE = 4;
const RECONNECT_MS = 500;

type Runner = TaskRunner | AttachmentRunner;

export interface AgentNeeds {
  readonly nodeId: NodeId;
  readonly description: NodeDescription;
  readonly dispatcher: Dispatcher;
  readonly engine: ContainerEngine;
  readonly network: NodeNetwork;
  readonly clock: Clock;
  readonly log: Log;
}

export class Agent {
  readonly #needs: AgentNeeds;
  readonly #runnerNeeds: RunnerNeeds;
  readonly #reporter: Reporter;
  readonly #runners = new Map<TaskId, { runner: Runner; done: Promise<void> }>();
  readonly #plumbed = new EventEmitter().setMaxListeners(0);
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor(needs: AgentNeeds) {
    this.#needs = needs;
    this.#reporter = new Reporter(needs);
    this.#runnerNeeds = {
      ...needs,
      images: new Images(needs.engine),
      reporter: this.#reporter,
      limiter: new Limiter(TASKS_AT_ONCE),
    };
  }

  /** Returns at once; the node's tasks are taken over and run in the background until `stop`. */
  start(): void {
    if (this.#loop) return;
    this.#unsubscribe = this.#needs.engine.onExit((exit) => {
      for (const { runner } of this.#runners.values()) if (runner.containerId === exit.id) runner.exited(exit);
    });
    this.#loop = this.#follow();
  }

  /** Lets go of everything without touching it: containers run on, and the next agent adopts them. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#unsubscribe?.();
    this.#reporter.use(undefined);
    await this.#loop;
    await Promise.all([...this.#runners.values()].map((r) => r.done));
  }

  /** The sandbox of a task on this node, while it is plumbed. */
  sandbox(taskId: TaskId): Sandbox | undefined {
    return this.#runners.get(taskId)?.runner.sandbox;
  }

  /** Resolves when an attachment's sandbox is plumbed as it should be, or with `undefined` when `signal` aborts. */
  attached(taskId: TaskId, isReady: (s: Sandbox) => boolean, signal: AbortSignal): Promise<Sandbox | undefined> {
    return new Promise((resolve) => {
      const look = () => {
        const sandbox = this.sandbox(taskId);
        if (!(sandbox && isReady(sandbox)) && !signal.aborted) return;
        this.#plumbed.off("plumbed", look);
        resolve(signal.aborted ? undefined : sandbox);
      };
      this.#plumbed.on("plumbed", look);
      signal.addEventListener("abort", look, { once: true });
      look();
    });
  }

  async #follow(): Promise<void> {
    const { dispatcher, nodeId, description, clock, log } = this.#needs;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      let session: DispatcherSession | undefined;
      try {
        session = await dispatcher.connect(nodeId, description);
        this.#reporter.use(session);
        for await (const assignments of session.assignments(signal)) await this.#apply(assignments);
      } catch (e) {
        if (!signal.aborted) log.warn({ error: messageOf(e) }, "lost the dispatcher; will connect again");
      }
      this.#reporter.use(undefined);
      if (!signal.aborted) await pause(clock, RECONNECT_MS, signal);
    }
  }

  async #apply(a: Assignments): Promise<void> {
    await this.#needs.network.apply(a);
    const found = a.full ? await this.#containers() : new Map<TaskId, ContainerSummary>();
    for (const task of a.tasks) this.#assign(task, found.get(task.id));
    for (const id of a.removed.tasks) this.#runners.get(id)?.runner.release();
    if (a.full) await this.#sweep(new Set(a.tasks.map((t) => t.id)), found);
  }

  #assign(task: Task, found: ContainerSummary | undefined): void {
    const known = this.#runners.get(task.id);
    if (known) {
      known.runner.update(task);
      return;
    }
    const runner = task.spec.NetworkAttachmentSpec
      ? new AttachmentRunner(this.#runnerNeeds, task, () => this.#plumbed.emit("plumbed"))
      : new TaskRunner(this.#runnerNeeds, task, found);
    const done = runner.run(this.#stopping.signal).finally(() => this.#runners.delete(task.id));
    this.#runners.set(task.id, { runner, done });
  }

  /** What the last life of this daemon left behind and nobody wants any more. */
  async #sweep(assigned: ReadonlySet<TaskId>, found: ReadonlyMap<TaskId, ContainerSummary>): Promise<void> {
    const { engine, network, log } = this.#needs;
    for (const [id, { runner }] of this.#runners) if (!assigned.has(id)) runner.release();
    for (const [taskId, container] of found) {
      if (assigned.has(taskId) || this.#runners.has(taskId)) continue;
      log.info({ "task.id": taskId, "container.id": container.id }, "removing a stray container");
      await engine.stopContainer(container.id, { graceMs: 0 });
      await engine.removeContainer(container.id, { force: true, volumes: true });
    }
    const sandboxIds = [...this.#runners.values()].filter((r) => r.runner.holdsSandbox).map((r) => r.runner.sandboxId);
    await network.sweep({ sandboxIds });
  }

  async #containers(): Promise<Map<TaskId, ContainerSummary>> {
    const { engine, nodeId } = this.#needs;
    const containers = await engine.listContainers({ label: `com.docker.swarm.node.id=${nodeId}` });
    return new Map(containers.flatMap((c) => (c.labels[TASK_LABEL] ? [[c.labels[TASK_LABEL] as TaskId, c]] : [])));
  }
}
