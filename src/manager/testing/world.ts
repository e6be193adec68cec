// For tests of this room: a manager over an in-memory store with a clock that stands still, builders for objects, and an agent of a few lines.
import type { Assignments, DispatcherSession } from "../../model/assignment.ts";
import { FakeClock, timestamp } from "../../model/clock.ts";
import { type ClusterId, type NetworkId, type NodeId, newId, type ServiceId, type TaskId } from "../../model/ids.ts";
import type { Prefix } from "../../model/ip.ts";
import { type Log, silent } from "../../model/log.ts";
import type { Network, Node, NodeDescription, Service, Task, TaskStatus } from "../../model/objects.ts";
import type { NetworkSpec, ServiceSpec, TaskSpec } from "../../model/spec.ts";
import { isTerminal, isWantedAlive, type TaskState } from "../../model/task-state.ts";
import { type Backend, type Fresh, MemoryBackend, Store } from "../../store/index.ts";
import { Manager } from "../manager.ts";

export const NANOSECONDS = 1_000_000_000;

const DESCRIPTION: NodeDescription = {
  hostname: "node1",
  platform: { architecture: "x86_64", os: "linux" },
  resources: { nanoCPUs: 4 * NANOSECONDS, memoryBytes: 8 * 2 ** 30 },
  engine: { engineVersion: "4.3.1", labels: {}, plugins: [] },
};

export function aNode(more: Partial<Omit<Fresh<Node>, "kind">> = {}): Fresh<Node> {
  return {
    kind: "node",
    id: newId<NodeId>(),
    spec: { Labels: {}, Role: "manager", Availability: "active" },
    description: DESCRIPTION,
    status: { state: "ready", message: "", addr: "192.168.56.10" },
    attachments: [],
    ...more,
  };
}

export function aNetworkSpec(name: string, more: Partial<NetworkSpec> = {}): NetworkSpec {
  const flags = { EnableIPv6: false, Internal: false, Attachable: false, Ingress: false };
  return { Name: name, Labels: {}, Driver: "overlay", Options: {}, ...flags, ...more };
}

export function aNetwork(name: string, more: Partial<NetworkSpec> = {}): Fresh<Network> {
  return { kind: "network", id: newId<NetworkId>(), spec: aNetworkSpec(name, more) };
}

export interface ServiceWish {
  readonly name?: string;
  readonly replicas?: number;
  readonly networks?: readonly { readonly id: NetworkId }[];
  readonly template?: Partial<TaskSpec>;
  readonly spec?: Partial<ServiceSpec>;
}

export function aService(wish: ServiceWish = {}): Fresh<Service> {
  const template: TaskSpec = {
    ContainerSpec: { Image: "whoami" },
    ...(wish.networks ? { Networks: wish.networks.map((n) => ({ Target: n.id })) } : {}),
    ...wish.template,
  };
  const Mode = { Replicated: { Replicas: wish.replicas ?? 1 } };
  const spec: ServiceSpec = { Name: wish.name ?? "web", Labels: {}, TaskTemplate: template, Mode, ...wish.spec };
  return { kind: "service", id: newId<ServiceId>(), spec, specVersion: 1 };
}

/** What the agent makes of a task that should run: it runs, or ends as told. */
export type Behaviour = (task: Task) => "run" | "stay" | TaskStatus["state"];

/** Copies wishes to reports: all that an agent is to the managers. */
export class FakeAgent {
  behave: Behaviour = () => "run";
  readonly tasks = new Map<TaskId, Task>();
  readonly messages: Assignments[] = [];
  /** What it says of each task, also when the manager has forgotten. */
  readonly states = new Map<TaskId, TaskState>();
  readonly nodeId: NodeId;
  readonly #clock: FakeClock;
  readonly #stop = new AbortController();
  #session: DispatcherSession | undefined;
  #done: Promise<void> = Promise.resolve();
  #pending: Promise<void>[] = [];

  constructor(nodeId: NodeId, clock: FakeClock) {
    this.nodeId = nodeId;
    this.#clock = clock;
  }

  start(session: DispatcherSession): void {
    this.#session = session;
    this.#done = this.#follow(session);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  /** Resolves when all that it has said so far is stored. */
  async quiet(): Promise<void> {
    await Promise.all(this.#pending.splice(0));
  }

  async report(id: TaskId, state: TaskState, more: Partial<TaskStatus> = {}): Promise<void> {
    this.states.set(id, state);
    const status: TaskStatus = {
      timestamp: timestamp(this.#clock.now()),
      state,
      message: MESSAGES[state] ?? state,
      ...more,
    };
    await this.#session?.report([{ taskId: id, status }]);
  }

  async #follow(session: DispatcherSession): Promise<void> {
    for await (const message of session.assignments(this.#stop.signal)) {
      this.messages.push(message);
      if (message.full) this.tasks.clear();
      for (const task of message.tasks) this.tasks.set(task.id, task);
      for (const id of message.removed.tasks) this.tasks.delete(id);
      for (const task of message.tasks) this.#pending.push(this.act(task));
    }
  }

  /** Takes a task as far as is wished. */
  async act(task: Task): Promise<void> {
    const seen = this.states.get(task.id) ?? task.status.state;
    if (isTerminal(seen)) return;
    if (!isWantedAlive(task.desiredState)) return this.report(task.id, "shutdown");
    const way = this.behave(task);
    if (way === "stay") return;
    if (way !== "run") return this.report(task.id, way, { err: way === "failed" ? "task: non-zero exit (1)" : "" });
    if (seen !== "ready" && seen !== "running") await this.report(task.id, "ready");
    if (task.desiredState === "running" && (this.states.get(task.id) ?? seen) === "ready")
      await this.report(task.id, "running");
  }
}

const MESSAGES: Partial<Record<TaskState, string>> = { running: "started", ready: "prepared" };

export interface WorldWish {
  readonly nodes?: number;
  readonly hostRoutes?: () => readonly Prefix[];
  readonly backend?: Backend;
  readonly clock?: FakeClock;
}

/** A manager at work, an ingress network, and a node with its agent for each wanted. */
export class World {
  readonly clock: FakeClock;
  readonly store: Store;
  readonly agents: FakeAgent[] = [];
  manager: Manager;
  /** What the manager had to complain of: nothing, in a healthy world. */
  readonly warnings: object[] = [];
  readonly #wish: WorldWish;

  private constructor(store: Store, clock: FakeClock, wish: WorldWish) {
    this.store = store;
    this.clock = clock;
    this.#wish = wish;
    this.manager = this.#newManager();
  }

  static async start(wish: WorldWish = {}): Promise<World> {
    const clock = wish.clock ?? new FakeClock();
    const store = await Store.open(wish.backend ?? new MemoryBackend(), clock);
    const world = new World(store, clock, wish);
    if (store.view.all("node").length === 0) await world.#populate(wish.nodes ?? 1);
    await world.manager.start();
    for (const node of store.view.all("node")) await world.connect(node.id);
    await world.settled();
    return world;
  }

  async #populate(nodes: number): Promise<void> {
    await this.store.update((tx) => {
      tx.create<"cluster">({
        kind: "cluster",
        id: newId<ClusterId>(),
        spec: {
          Name: "default",
          Labels: {},
          Orchestration: { TaskHistoryRetentionLimit: 5 },
          Raft: {},
          Dispatcher: {},
          CAConfig: {},
          TaskDefaults: {},
          EncryptionConfig: {},
        },
        defaultAddrPool: ["10.0.0.0/8"],
        subnetSize: 24,
        dataPathPort: 4789,
        joinTokens: { worker: "", manager: "" },
        tlsInfo: { trustRoot: "", certIssuerSubject: "", certIssuerPublicKey: "" },
        caKey: "",
        unlockKey: "",
        rootRotationInProgress: false,
      });
      for (let i = 1; i <= nodes; i++)
        tx.create<"node">(aNode({ description: { ...DESCRIPTION, hostname: `node${i}` } }));
      tx.create<"network">(aNetwork("ingress", { Ingress: true }));
    });
  }

  #newManager(): Manager {
    const { store, clock } = this;
    const hostRoutes = this.#wish.hostRoutes ?? (() => []);
    return new Manager({ store, clock, log: this.#log, hostRoutes, reportPoolMs: 0 });
  }

  readonly #log: Log = {
    ...silent,
    warn: (facts, message) => void this.warnings.push({ ...facts, message }),
    error: (facts, message) => void this.warnings.push({ ...facts, message }),
    child: () => this.#log,
  };

  async connect(id: NodeId): Promise<FakeAgent> {
    const agent = new FakeAgent(id, this.clock);
    const node = this.store.view.get("node", id);
    agent.start(await this.manager.dispatcher.connect(id, node?.description ?? DESCRIPTION));
    this.agents.push(agent);
    return agent;
  }

  /** The only agent, in a world of one node. */
  get agent(): FakeAgent {
    return this.agents[0]!;
  }

  /** The agent that has the task. */
  agentOf(task: Task): FakeAgent {
    return this.agents.find((a) => a.nodeId === task.nodeId)!;
  }

  /** The manager stops and another one starts, as after a crash; agents connect again and remember. */
  async restart(): Promise<void> {
    await this.manager.stop();
    const before = this.agents.splice(0);
    for (const agent of before) await agent.stop();
    this.manager = this.#newManager();
    await this.manager.start();
    for (const old of before) {
      const agent = await this.connect(old.nodeId);
      agent.behave = old.behave;
      for (const [id, state] of old.states) agent.states.set(id, state);
    }
    await this.settled();
  }

  async stop(): Promise<void> {
    for (const agent of this.agents) await agent.stop();
    await this.manager.stop();
    await this.store.close();
  }

  /** Waits until loops and agents have nothing more to do at this time of the clock. */
  async settled(): Promise<void> {
    for (;;) {
      const { revision } = this.store.view;
      await this.manager.settled();
      await new Promise((resolve) => setImmediate(resolve)); // agents get what was sent
      for (const agent of this.agents) await agent.quiet();
      await this.manager.settled();
      if (this.store.view.revision === revision) return;
    }
  }

  /** Moves the clock, and waits until all is done that became due. */
  async advance(ms: number): Promise<void> {
    await this.settled();
    const end = this.clock.now() + ms;
    for (;;) {
      const next = Math.min(this.clock.nextDue() ?? end, end);
      this.clock.advance(next - this.clock.now());
      await this.settled();
      if (next >= end && (this.clock.nextDue() ?? Number.POSITIVE_INFINITY) > end) return;
    }
  }

  async network(name: string, more: Partial<NetworkSpec> = {}): Promise<Network> {
    const { id } = await this.store.update((tx) => tx.create<"network">(aNetwork(name, more)));
    await this.settled();
    return this.store.view.get("network", id)!;
  }

  async create(wish: ServiceWish): Promise<Service> {
    const { id } = await this.store.update((tx) => tx.create<"service">(aService(wish)));
    await this.settled();
    return this.service(id);
  }

  /** Updates a service's spec as the front door does. */
  async update(id: ServiceId, change: (spec: ServiceSpec) => ServiceSpec): Promise<Service> {
    await this.store.update((tx) => {
      const { updateStatus: _, ...service } = tx.get("service", id)!;
      tx.update<"service">({
        ...service,
        spec: change(service.spec),
        previousSpec: service.spec,
        specVersion: service.specVersion + 1,
      });
    });
    await this.settled();
    return this.service(id);
  }

  scale(id: ServiceId, replicas: number): Promise<Service> {
    return this.update(id, (spec) => ({ ...spec, Mode: { Replicated: { Replicas: replicas } } }));
  }

  async remove(id: ServiceId): Promise<void> {
    await this.store.update((tx) => {
      tx.update<"service">({ ...tx.get("service", id)!, pendingDelete: true });
    });
    await this.settled();
  }

  service(id: ServiceId): Service {
    return this.store.view.get("service", id)!;
  }

  /** Tasks by slot, then age. */
  tasks(id?: ServiceId): Task[] {
    const tasks = id ? this.store.view.tasksOfService(id) : this.store.view.all("task");
    return [...tasks].sort((a, b) => (a.slot ?? 0) - (b.slot ?? 0) || (a.createdAt < b.createdAt ? -1 : 1));
  }

  alive(id?: ServiceId): Task[] {
    return this.tasks(id).filter((t) => isWantedAlive(t.desiredState) && !isTerminal(t.status.state));
  }

  running(id?: ServiceId): Task[] {
    return this.tasks(id).filter((t) => t.status.state === "running" && t.desiredState === "running");
  }

  /** Addresses of the living, a task: its first network's last. */
  addresses(id?: ServiceId): string[] {
    return this.alive(id).map((t) => t.networks.at(-1)?.addresses[0] ?? "");
  }
}
