// Stand-ins for what the agent works with: an engine and a data plane that keep their state in maps and refuse what the real ones refuse,
// and a session whose messages the test sends.

import { once } from "node:events";
import type {
  ContainerCreate,
  ContainerEngine,
  ContainerExit,
  ContainerSummary,
  PullOptions,
} from "../../engine/index.ts";
import type { Assignments, DispatcherSession, StatusReport } from "../../model/assignment.ts";
import { SkepError } from "../../model/errors.ts";
import type { NodeId, TaskId } from "../../model/ids.ts";
import { newHexId, newId } from "../../model/ids.ts";
import type { Task } from "../../model/objects.ts";
import type { NodeNetwork, Sandbox, SandboxSpec } from "../../network/index.ts";

type EngineParts = Pick<
  ContainerEngine,
  | "imageExists"
  | "pullImage"
  | "createContainer"
  | "startContainer"
  | "stopContainer"
  | "removeContainer"
  | "inspectContainer"
  | "listContainers"
  | "onExit"
>;

export class FakeEngine implements EngineParts {
  readonly containers = new Map<string, ContainerSummary>();
  readonly images = new Set(["web:latest"]);
  readonly pulled: string[] = [];
  /** Pulls that were aborted: those of "slow/…" never end otherwise. */
  readonly givenUp: string[] = [];
  readonly #listeners = new Set<(exit: ContainerExit) => void>();
  /** Set to make every call fail as an engine does that is being restarted. */
  away = false;
  /** So many starts end with the engine's death. */
  diesOverStart = 0;
  #pid = 1000;

  imageExists = async (ref: string) => {
    this.#answer();
    return this.images.has(ref) ? ({ id: `sha256:${ref}` } as never) : undefined;
  };

  pullImage = async (ref: string, options?: PullOptions) => {
    this.#answer();
    this.pulled.push(ref);
    if (ref.startsWith("slow/")) await once(options!.signal!, "abort").then(() => this.givenUp.push(ref));
    if (!ref.startsWith("registry/")) throw new SkepError("not_found", `pull access denied for ${ref}`);
    this.images.add(ref);
    return { id: `sha256:${ref}` } as never;
  };

  createContainer = async (spec: ContainerCreate) => {
    this.#answer();
    for (const c of this.containers.values()) {
      if (c.name === spec.name) throw new SkepError("conflict", `the container name "${spec.name}" is already in use`);
    }
    const id = newHexId();
    this.containers.set(id, {
      id,
      name: spec.name,
      image: spec.image,
      pid: 0,
      state: "created",
      exitCode: 0,
      startedAt: undefined,
      finishedAt: undefined,
      labels: spec.labels ?? {},
    });
    return { id, warnings: [] };
  };

  startContainer = async (id: string) => {
    this.#answer();
    if (this.diesOverStart-- > 0) throw new SkepError("unavailable", `podman died while it started container ${id}`);
    if (this.#get(id).image === "broken:latest") throw new SkepError("invalid", "no such file");
    const pid = this.#pid++;
    this.#set(id, { state: "running", pid });
    return { pid };
  };

  stopContainer = async (id: string) => {
    this.#answer();
    if (this.containers.get(id)?.state === "running") this.die(id, 143);
  };

  removeContainer = async (id: string) => {
    this.#answer();
    this.containers.delete(id);
  };

  inspectContainer = async (id: string) => {
    this.#answer();
    return this.containers.get(id) as never;
  };

  listContainers = async () => {
    this.#answer();
    return [...this.containers.values()];
  };

  onExit = (listener: (exit: ContainerExit) => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** The process ends by itself. */
  die(id: string, exitCode: number): void {
    this.#set(id, { state: "exited", pid: 0, exitCode });
    for (const listener of this.#listeners) listener({ id, exitCode, at: new Date(0) });
  }

  named(name: string): ContainerSummary | undefined {
    return [...this.containers.values()].find((c) => c.name.startsWith(name));
  }

  #get(id: string): ContainerSummary {
    const c = this.containers.get(id);
    if (!c) throw new SkepError("not_found", `No such container: ${id}`);
    return c;
  }

  #set(id: string, change: Partial<ContainerSummary>): void {
    this.containers.set(id, { ...this.#get(id), ...change });
  }

  #answer(): void {
    if (this.away) throw new SkepError("unavailable", "podman does not answer");
  }
}

type NetworkParts = Pick<
  NodeNetwork,
  "apply" | "ensureSandbox" | "setContainer" | "join" | "drain" | "leave" | "removeSandbox" | "sweep"
>;

export class FakeNetwork implements NetworkParts {
  /** By sandbox id, whether it takes traffic. */
  readonly sandboxes = new Map<string, "plumbed" | "joined" | "draining">();
  /** Each call that changes traffic, in order: "join web.1.x". */
  readonly calls: string[] = [];
  readonly #names = new Map<string, string>();

  apply = async () => {};

  ensureSandbox = async (spec: SandboxSpec): Promise<Sandbox> => {
    this.#names.set(spec.id, spec.taskName);
    if (!this.sandboxes.has(spec.id)) this.sandboxes.set(spec.id, "plumbed");
    return {
      id: spec.id,
      netnsPath: `/netns/${spec.id.slice(0, 12)}`,
      endpoints: [],
      files: { hosts: "/hosts", resolvConf: "/resolv.conf" },
    };
  };

  setContainer = async (id: string) => this.#must(id);

  join = async (id: string) => {
    this.#must(id);
    this.#note("join", id, "joined");
  };

  drain = async (id: string) => {
    if (this.sandboxes.get(id) === "joined") this.#note("drain", id, "draining");
  };

  leave = async (id: string) => {
    if (this.sandboxes.get(id) === "joined" || this.sandboxes.get(id) === "draining")
      this.#note("leave", id, "plumbed");
  };

  removeSandbox = async (id: string) => {
    await this.leave(id);
    this.sandboxes.delete(id);
  };

  sweep = async (known: { sandboxIds: Iterable<string> }) => {
    const keep = new Set(known.sandboxIds);
    for (const id of this.sandboxes.keys()) if (!keep.has(id)) await this.removeSandbox(id);
  };

  #must(id: string): void {
    if (!this.sandboxes.has(id)) throw new SkepError("not_found", `no sandbox ${id}`);
  }

  #note(call: string, id: string, state: "plumbed" | "joined" | "draining"): void {
    this.sandboxes.set(id, state);
    this.calls.push(`${call} ${this.#names.get(id)}`);
  }
}

/** The manager's side of a session, played by the test. */
export class FakeSession implements DispatcherSession {
  readonly reports = new Map<TaskId, StatusReport["status"][]>();
  readonly #queue: Assignments[] = [];
  #wake: (() => void) | undefined;
  #revision = 0;
  /** Called after each delivery of reports. */
  onReport: (() => void) | undefined;

  send(message: Partial<Omit<Assignments, "removed">> & { removed?: TaskId[] }): void {
    this.#queue.push({
      revision: ++this.#revision,
      full: message.full ?? false,
      networks: [],
      services: [],
      tasks: message.tasks ?? [],
      removed: { networks: [], services: [], tasks: message.removed ?? [] },
    });
    this.#wake?.();
  }

  async *assignments(signal: AbortSignal) {
    signal.addEventListener("abort", () => this.#wake?.());
    while (!signal.aborted) {
      const next = this.#queue.shift();
      if (next) yield next;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async report(reports: readonly StatusReport[]) {
    for (const { taskId, status } of reports) {
      const seen = this.reports.get(taskId) ?? [];
      this.reports.set(taskId, [...seen, status]);
    }
    this.onReport?.();
  }
}

export function aTask(change: Partial<Task> = {}): Task {
  const slot = change.slot ?? 1;
  return {
    kind: "task",
    id: newId<TaskId>(),
    version: 1,
    createdAt: "",
    updatedAt: "",
    serviceName: "web",
    serviceLabels: {},
    slot,
    nodeId: "node1" as NodeId,
    spec: { ContainerSpec: { Image: "web:latest" } },
    specVersion: 1,
    networks: [],
    status: { timestamp: "", state: "assigned", message: "" },
    desiredState: "running",
    ...change,
  };
}
