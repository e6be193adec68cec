// The allocator: gives networks their subnets, services their VIPs and ports, tasks their addresses, nodes their load balancer endpoints, and
// takes them back. The order within a batch (freed first; then networks, services, tasks, nodes) is what makes addresses come out as in Swarm.

import { DEFAULT_ADDR_POOL, DEFAULT_SUBNET_SIZE } from "../../model/address-pool.ts";
import type { Clock } from "../../model/clock.ts";
import { messageOf } from "../../model/errors.ts";
import type { ServiceId, TaskId } from "../../model/ids.ts";
import type { Prefix } from "../../model/ip.ts";
import type { Log } from "../../model/log.ts";
import type { Kind, NetworkAttachment, Node, Service, Task } from "../../model/objects.ts";
import { isWantedAlive } from "../../model/task-state.ts";
import type { Change, Store, Tx, View } from "../../store/index.ts";
import type { Due, Loop } from "../loop.ts";
import { isFinished, isGiven } from "../task-life.ts";
import { type Books, byAge, openBooks } from "./books.ts";
import { planNode } from "./node-attachments.ts";
import { allocateEndpoint, isEndpointCurrent } from "./service-endpoint.ts";
import { planNetwork } from "./subnets.ts";
import { allocateAttachment, allocateTask } from "./task-addresses.ts";

/** "task/<id>": an object of any kind. */
export type ObjectKey = `${Kind}/${string}`;

/** A network that cannot be had for the host's routes is looked at again after this: nothing tells us when a route goes. */
const ROUTES_AGAIN_MS = 10_000;

export interface AllocatorNeeds {
  readonly store: Pick<Store, "update">;
  readonly clock: Clock;
  readonly log: Log;
  /** Destinations that this host reaches by other ways than skep's. */
  readonly hostRoutes: () => readonly Prefix[];
}

export class AllocatorLoop implements Loop<ObjectKey> {
  readonly name = "allocator";
  readonly #needs: AllocatorNeeds;
  #books: Books | undefined;
  /** What could not be allocated: tried again whenever something is freed or comes up. */
  readonly #parked = new Map<ObjectKey, string>();
  /** Nodes that keep an attachment for a task that may yet come. */
  readonly #lingering = new Set<ObjectKey>();

  constructor(needs: AllocatorNeeds) {
    this.#needs = needs;
  }

  *seed(view: View): Iterable<ObjectKey> {
    this.#books = undefined;
    yield* everything(view);
  }

  *note(change: Change): Iterable<ObjectKey> {
    const { object, old } = change;
    if (object.kind === "task") yield* noteTask(change, object, old as Task | undefined);
    else if (object.kind === "network" || object.kind === "service" || object.kind === "node")
      yield `${object.kind}/${object.id}`;
  }

  async settle(keys: readonly ObjectKey[]): Promise<readonly Due<ObjectKey>[]> {
    try {
      await this.#needs.store.update((tx) => this.#work(tx, keys));
    } catch (e) {
      this.#books = undefined; // they hold what was never stored, and what waits is no longer known either
      throw e;
    }
    const again = this.#needs.clock.now() + ROUTES_AGAIN_MS;
    return [...this.#parked.keys()].filter((k) => k.startsWith("network/")).map((key) => ({ key, at: again }));
  }

  #work(tx: Tx, keys: readonly ObjectKey[]): void {
    const batch = new Batch(keys);
    let books = this.#books;
    if (!books) {
      books = this.#books = openBooks(tx, this.#needs.log);
      this.#parked.clear();
      this.#lingering.clear();
      batch.add(everything(tx));
    }
    let news = false;
    for (const key of keys) news = this.#giveBack(tx, books, key) || news;
    if (news) batch.add([...this.#parked.keys(), ...nodesOnLostNetworks(tx, keys)]);
    for (const network of batch.objects(tx, "network").sort(byAge)) {
      if (!this.#network(tx, books, network.id)) continue;
      news = true;
      if (network.spec.Ingress) batch.add(tx.all("node").map((n) => `node/${n.id}` as const));
    }
    if (news) batch.add(this.#parked.keys());
    for (const service of batch.objects(tx, "service").sort(byAge)) news = this.#service(tx, books, service) || news;
    if (news) batch.add(this.#parked.keys());
    for (const task of batch.objects(tx, "task").sort(byAge)) this.#task(tx, books, task);
    batch.add(this.#lingering);
    for (const node of batch.objects(tx, "node")) this.#node(tx, books, node);
  }

  /** Takes back what is held by what is gone. @returns whether that freed anything */
  #giveBack(tx: Tx, books: Books, key: ObjectKey): boolean {
    const [kind, id] = splitKey(key);
    const object = tx.get(kind, id);
    if (object && !(object.kind === "task" && isFinished(object))) return false;
    this.#parked.delete(key);
    this.#lingering.delete(key);
    if (kind === "network") books.pools.close(id as never);
    const ports = kind === "service" && books.ports.release(id as ServiceId);
    return books.pools.release(id) || ports || kind === "network";
  }

  /** @returns whether it was allocated just now */
  #network(tx: Tx, books: Books, id: string): boolean {
    const network = tx.get("network", id);
    if (!network) return false;
    const key: ObjectKey = `network/${id}`;
    if (network.ipam) {
      const known = books.pools.isOpen(network.id);
      books.pools.open(network);
      return !known;
    }
    const others = tx.all("network").filter((n) => n.ipam);
    const cluster = tx.all("cluster")[0] ?? { defaultAddrPool: DEFAULT_ADDR_POOL, subnetSize: DEFAULT_SUBNET_SIZE };
    try {
      const plan = planNetwork(network, others, cluster, this.#needs.hostRoutes(), books.nextVni);
      const { allocationError: _, ...rest } = network;
      books.pools.open(tx.update<"network">({ ...rest, ...plan }));
      if (plan.driverState.vni === books.nextVni) books.nextVni++;
      this.#parked.delete(key);
      return true;
    } catch (e) {
      const reason = this.#park(key, e);
      if (network.allocationError !== reason) tx.update<"network">({ ...network, allocationError: reason });
      return false;
    }
  }

  /** @returns whether it was allocated just now */
  #service(tx: Tx, books: Books, service: Service): boolean {
    const key: ObjectKey = `service/${service.id}`;
    if (service.pendingDelete || isEndpointCurrent(tx, service)) {
      this.#parked.delete(key);
      return true; // its tasks may be waiting for it
    }
    try {
      tx.update<"service">({ ...service, endpoint: allocateEndpoint(tx, books, service) });
      this.#parked.delete(key);
      return true;
    } catch (e) {
      this.#park(key, e);
      for (const task of tx.tasksOfService(service.id)) this.#task(tx, books, task); // they carry the reason
      return false;
    }
  }

  #task(tx: Tx, books: Books, task: Task): void {
    const key: ObjectKey = `task/${task.id}`;
    if (!isWantedAlive(task.desiredState) || !needsAddresses(task)) {
      this.#parked.delete(key);
      return;
    }
    const service = task.serviceId && tx.get("service", task.serviceId);
    if (task.serviceId && !service) return; // the orchestrator will call it off
    if (service && !isEndpointCurrent(tx, service)) {
      const reason = this.#parked.get(`service/${service.id}`);
      this.#parked.set(key, reason ?? "");
      if (reason) explain(tx, task, reason);
      return;
    }
    try {
      const networks = service ? allocateTask(tx, books, task, service) : allocateAttachment(tx, books, task);
      this.#parked.delete(key);
      const isNew = task.status.state === "new";
      if (!isNew && task.networks.every(isGiven)) return; // a network left it, and its address is given back
      tx.update<"task">({
        ...task,
        networks,
        ...(service?.endpoint ? { endpoint: service.endpoint } : {}),
        ...(isNew ? { status: { timestamp: tx.now, state: "pending", message: "pending task scheduling" } } : {}),
      });
    } catch (e) {
      const reason = this.#park(key, e);
      if (task.status.state === "new") explain(tx, task, reason);
    }
  }

  #node(tx: Tx, books: Books, node: Node): void {
    const key: ObjectKey = `node/${node.id}`;
    const plan = planNode(tx, books, node);
    if (plan.changed) tx.update<"node">({ ...node, attachments: plan.attachments });
    if (plan.lingers) this.#lingering.add(key);
    else this.#lingering.delete(key);
    this.#parked.delete(key);
    for (const [networkId, error] of plan.failures) {
      const reason = this.#park(key, error);
      for (const task of tx.tasksOfNode(node.id)) {
        const waits = task.status.state === "assigned" && task.networks.some((n) => n.networkId === networkId);
        if (waits) explain(tx, task, reason);
      }
    }
  }

  #park(key: ObjectKey, error: unknown): string {
    const reason = messageOf(error);
    if (this.#parked.get(key) !== reason) this.#needs.log.debug({ object: key, error: reason }, "cannot allocate yet");
    this.#parked.set(key, reason);
    return reason;
  }
}

/** The objects to look at in one transaction. */
class Batch {
  readonly #keys: Set<ObjectKey>;

  constructor(keys: Iterable<ObjectKey>) {
    this.#keys = new Set(keys);
  }

  add(keys: Iterable<ObjectKey>): void {
    for (const key of keys) this.#keys.add(key);
  }

  objects<K extends "network" | "service" | "task" | "node">(view: View, kind: K) {
    const found = [];
    for (const key of this.#keys) {
      const [k, id] = splitKey(key);
      const object = k === kind ? view.get(kind, id) : undefined;
      if (object) found.push(object);
    }
    return found;
  }
}

function* everything(view: View): Iterable<ObjectKey> {
  for (const kind of ["network", "service", "task", "node"] as const) {
    for (const object of view.all(kind)) yield `${kind}/${object.id}`;
  }
}

/** A network that is gone takes its nodes' endpoints with it. */
function nodesOnLostNetworks(view: View, keys: readonly ObjectKey[]): ObjectKey[] {
  const lost = keys.map(splitKey).filter(([kind, id]) => kind === "network" && !view.get(kind, id));
  if (lost.length === 0) return [];
  const isLost = (n: NetworkAttachment) => lost.some(([, id]) => id === n.networkId);
  return view.all("node").flatMap((node) => (node.attachments.some(isLost) ? [`node/${node.id}` as const] : []));
}

/** Reports of an agent's progress concern no addresses; what begins, ends, moves or is wished away does. */
function* noteTask(change: Change, task: Task, old: Task | undefined): Iterable<ObjectKey> {
  const gone = change.action === "remove";
  const same =
    !gone &&
    old !== undefined &&
    old.status.state !== "new" &&
    old.nodeId === task.nodeId &&
    old.desiredState === task.desiredState &&
    old.networks === task.networks &&
    isFinished(old) === isFinished(task);
  if (same) return;
  yield `task/${task.id as TaskId}`;
  if (task.nodeId) yield `node/${task.nodeId}`;
}

/** A container of `docker run` may be attached to further networks, and detached, while it runs. */
function needsAddresses(task: Task): boolean {
  return task.status.state === "new" || task.serviceId === undefined;
}

/** Tells the user why a task does not get on; in the store only when it is news. */
function explain(tx: Tx, task: Task, reason: string): void {
  if (task.status.err === reason) return;
  tx.update<"task">({ ...task, status: { ...task.status, timestamp: tx.now, err: reason } });
}

function splitKey(key: ObjectKey): [Kind, string] {
  const slash = key.indexOf("/");
  return [key.slice(0, slash) as Kind, key.slice(slash + 1)];
}
