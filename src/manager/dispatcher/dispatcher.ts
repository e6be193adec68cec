// The dispatcher: where agents connect. It tells each node what concerns it, takes its reports, and knows which nodes are there.
import type { Assignments, Dispatcher, DispatcherSession } from "../../model/assignment.ts";
import type { Clock, Timer } from "../../model/clock.ts";
import { messageOf, SkepError } from "../../model/errors.ts";
import type { NetworkId, NodeId } from "../../model/ids.ts";
import type { Log } from "../../model/log.ts";
import type { Node, NodeDescription, Service } from "../../model/objects.ts";
import { networkConfigs } from "../../model/outdated.ts";
import type { Change, Store } from "../../store/index.ts";
import { difference, fullSet } from "./assignment-diff.ts";
import { assignmentsFor, type NodeAssignments } from "./assignments.ts";
import { ReportPool } from "./report-pool.ts";

/** A node is down when it has had no session for this long: three of Swarm's heartbeats of 5 s. */
export const NODE_GRACE_MS = 15_000;

export interface DispatcherNeeds {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly reportPoolMs?: number;
}

export class InProcessDispatcher implements Dispatcher {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #reports: ReportPool;
  /** Sessions open, a node. */
  readonly #sessions = new Map<NodeId, number>();
  readonly #absent = new Map<NodeId, Timer>();
  #signal: AbortSignal = AbortSignal.abort();

  constructor({ store, clock, log, reportPoolMs }: DispatcherNeeds) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log.child({ part: "dispatcher" });
    this.#reports = new ReportPool(store, clock, reportPoolMs);
  }

  /** Serves until `signal` aborts. Nodes that were ready have the grace time to come back. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    for (const node of this.#store.view.all("node")) if (node.status.state === "ready") this.#expect(node.id);
    signal.addEventListener(
      "abort",
      () => {
        for (const timer of this.#absent.values()) timer.cancel();
        this.#absent.clear();
      },
      { once: true },
    );
  }

  /**
   * Opens a session: the node is ready from then on.
   * @throws SkepError "not_found" when the store has no such node, "unavailable" when the dispatcher does not run
   */
  async connect(nodeId: NodeId, description: NodeDescription): Promise<DispatcherSession> {
    if (this.#signal.aborted) throw new SkepError("unavailable", "the dispatcher is not running");
    await this.#store.update((tx) => {
      const node = tx.get("node", nodeId);
      if (!node) throw new SkepError("not_found", `node ${nodeId} not found`);
      const status: Node["status"] = { ...node.status, state: "ready", message: "" };
      tx.update<"node">({ ...node, description: { ...node.description, ...description }, status });
    });
    this.#absent.get(nodeId)?.cancel();
    this.#absent.delete(nodeId);
    return {
      assignments: (signal) => this.#assignments(nodeId, AbortSignal.any([signal, this.#signal])),
      report: (reports) => this.#reports.add(nodeId, reports),
    };
  }

  async *#assignments(nodeId: NodeId, signal: AbortSignal): AsyncGenerator<Assignments, void> {
    this.#sessions.set(nodeId, (this.#sessions.get(nodeId) ?? 0) + 1);
    const lost = new AbortController();
    try {
      const { view, commits } = this.#store.watch(AbortSignal.any([signal, lost.signal]));
      let known = assignmentsFor(view, nodeId);
      yield fullSet(known, view.revision);
      const changes = new Latch();
      const follow = async () => {
        for await (const commit of commits) if (commit.changes.some((c) => concerns(c, nodeId, known))) changes.set();
      };
      const followed = follow().then(
        () => changes.end(),
        (e: unknown) => changes.end(e),
      );
      while (await changes.wait()) {
        const now = assignmentsFor(view, nodeId);
        const message = difference(known, now, view.revision);
        known = now;
        if (message) yield message;
      }
      await followed;
    } finally {
      lost.abort();
      this.#leave(nodeId);
    }
  }

  #leave(nodeId: NodeId): void {
    const left = (this.#sessions.get(nodeId) ?? 1) - 1;
    if (left > 0) this.#sessions.set(nodeId, left);
    else {
      this.#sessions.delete(nodeId);
      if (!this.#signal.aborted) this.#expect(nodeId);
    }
  }

  /** The node counts as down unless it connects in time. */
  #expect(nodeId: NodeId): void {
    this.#absent.get(nodeId)?.cancel();
    const timer = this.#clock.after(NODE_GRACE_MS, () => {
      this.#absent.delete(nodeId);
      this.#markDown(nodeId).catch((e: unknown) => {
        this.#log.error({ "node.id": nodeId, error: messageOf(e) }, "cannot mark the node down, will try again");
        if (!this.#signal.aborted) this.#expect(nodeId);
      });
    });
    this.#absent.set(nodeId, timer);
  }

  #markDown(nodeId: NodeId): Promise<void> {
    return this.#store.update((tx) => {
      const node = tx.get("node", nodeId);
      if (!node || this.#sessions.has(nodeId) || this.#signal.aborted) return;
      this.#log.warn({ "node.id": nodeId }, "node is down: it has not connected in time");
      tx.update<"node">({ ...node, status: { ...node.status, state: "down", message: "heartbeat failure" } });
    });
  }
}

/** Whether a change can change what the node is told. */
function concerns({ object, old }: Change, nodeId: NodeId, known: NodeAssignments): boolean {
  switch (object.kind) {
    case "task":
      return object.nodeId === nodeId || (old?.kind === "task" && old.nodeId === nodeId);
    case "node":
      return object.id === nodeId;
    case "network":
      return known.networks.has(object.id);
    case "service":
      return isOn(object, known) || (old?.kind === "service" && isOn(old, known));
    default:
      return false;
  }
}

/** Whether a service is on a network that the node knows. A network that is news to it brings its services along. */
function isOn(service: Service, known: NodeAssignments): boolean {
  const ids = [
    ...networkConfigs(service).map((n) => n.Target),
    ...(service.endpoint?.virtualIPs ?? []).map((v) => v.networkId),
  ];
  return ids.some((id) => known.networks.has(id as NetworkId));
}

/** Remembers that something happened until somebody asks. */
class Latch {
  #isSet = false;
  #ended = false;
  #error: unknown;
  #wake: () => void = () => undefined;

  set(): void {
    this.#isSet = true;
    this.#wake();
  }

  end(error?: unknown): void {
    this.#ended = true;
    this.#error = error;
    this.#wake();
  }

  /** @returns true when it was set, false when nothing will come any more */
  async wait(): Promise<boolean> {
    while (!this.#isSet && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#error !== undefined) throw this.#error;
    this.#isSet = false;
    return !this.#ended;
  }
}
