// The in-memory tables: objects by id, and the indexes by which the rest of skep asks for them. transactions are in store.ts.
import type { AnyId, NetworkId, NodeId, ServiceId } from "../model/ids.ts";
import type { Kind, ObjectOf, StoredObject, Task } from "../model/objects.ts";

export const KINDS = [
  "cluster",
  "node",
  "network",
  "service",
  "task",
  "secret",
  "config",
] as const satisfies readonly Kind[];

/** A read-only look at the objects. All objects are frozen. Lists are in no particular order. */
export interface View {
  /** The store's revision: rises by one with each commit. */
  readonly revision: number;
  get<K extends Kind>(kind: K, id: string): ObjectOf<K> | undefined;
  all<K extends Kind>(kind: K): readonly ObjectOf<K>[];
  /** By spec.Name (nodes: by hostname, several may share one). Not for tasks. */
  byName<K extends Exclude<Kind, "task">>(kind: K, name: string): readonly ObjectOf<K>[];
  tasksOfService(id: ServiceId): readonly Task[];
  tasksOfNode(id: NodeId): readonly Task[];
  tasksOfNetwork(id: NetworkId): readonly Task[];
  servicesOfNetwork(id: NetworkId): readonly ObjectOf<"service">[];
}

class Index {
  readonly #sets = new Map<string, Set<string>>();

  add(key: string, id: string): void {
    const set = this.#sets.get(key);
    if (set) set.add(id);
    else this.#sets.set(key, new Set([id]));
  }

  delete(key: string, id: string): void {
    const set = this.#sets.get(key);
    if (set?.delete(id) && set.size === 0) this.#sets.delete(key);
  }

  ids(key: string): Iterable<string> {
    return this.#sets.get(key) ?? [];
  }
}

/** The keys under which an object is found, as "index:value". */
function keysOf(o: StoredObject): string[] {
  switch (o.kind) {
    case "task":
      return [
        ...(o.serviceId ? [`service:${o.serviceId}`] : []),
        ...(o.nodeId ? [`node:${o.nodeId}`] : []),
        ...o.networks.map((n) => `network:${n.networkId}`),
      ];
    case "service":
      return [
        `name:${o.spec.Name}`,
        ...new Set([
          ...(o.spec.TaskTemplate.Networks ?? o.spec.Networks ?? []).map((n) => `network:${n.Target}`),
          ...(o.endpoint?.virtualIPs ?? []).map((v) => `network:${v.networkId}`),
        ]),
      ];
    case "node":
      return [`name:${o.description.hostname}`];
    default:
      return [`name:${o.spec.Name}`];
  }
}

/** The tables themselves. Only the store changes them, and only with objects that are already durable. */
export class Tables implements View {
  revision = 0;
  readonly #objects = new Map<Kind, Map<string, StoredObject>>(KINDS.map((k) => [k, new Map()]));
  readonly #indexes = new Map<Kind, Index>(KINDS.map((k) => [k, new Index()]));

  get<K extends Kind>(kind: K, id: string): ObjectOf<K> | undefined {
    return this.#objects.get(kind)!.get(id) as ObjectOf<K> | undefined;
  }

  all<K extends Kind>(kind: K): readonly ObjectOf<K>[] {
    return [...this.#objects.get(kind)!.values()] as ObjectOf<K>[];
  }

  byName<K extends Exclude<Kind, "task">>(kind: K, name: string): readonly ObjectOf<K>[] {
    return this.#byKey(kind, `name:${name}`);
  }

  tasksOfService(id: ServiceId): readonly Task[] {
    return this.#byKey("task", `service:${id}`);
  }

  tasksOfNode(id: NodeId): readonly Task[] {
    return this.#byKey("task", `node:${id}`);
  }

  tasksOfNetwork(id: NetworkId): readonly Task[] {
    return this.#byKey("task", `network:${id}`);
  }

  servicesOfNetwork(id: NetworkId): readonly ObjectOf<"service">[] {
    return this.#byKey("service", `network:${id}`);
  }

  put(object: StoredObject): void {
    this.drop(object.kind, object.id);
    this.#objects.get(object.kind)!.set(object.id, object);
    const index = this.#indexes.get(object.kind)!;
    for (const key of keysOf(object)) index.add(key, object.id);
  }

  drop(kind: Kind, id: AnyId | string): void {
    const table = this.#objects.get(kind)!;
    const old = table.get(id);
    if (!old) return;
    table.delete(id);
    const index = this.#indexes.get(kind)!;
    for (const key of keysOf(old)) index.delete(key, id);
  }

  #byKey<K extends Kind>(kind: K, key: string): ObjectOf<K>[] {
    const table = this.#objects.get(kind)!;
    const found: ObjectOf<K>[] = [];
    for (const id of this.#indexes.get(kind)!.ids(key)) found.push(table.get(id) as ObjectOf<K>);
    return found;
  }
}
