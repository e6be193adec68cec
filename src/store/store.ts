// The store: versioned objects, transactions, and watches. Tables and indexes are in tables.ts, durability in backends/.
import { type Clock, systemClock, timestamp } from "../model/clock.ts";
import { SkepError } from "../model/errors.ts";
import type { Kind, Meta, ObjectOf, StoredObject } from "../model/objects.ts";
import { mayMove, mayWish } from "../model/task-state.ts";
import type { Backend, Change, Commit } from "./backend.ts";
import { Tables, type View } from "./tables.ts";
import { Watcher } from "./watcher.ts";

/** Commits kept for watchers that come back: enough for the reconnect of an agent, little enough to forget about. */
const HISTORY = 1024;

/** An object that is not stored yet: the store adds version and times. */
export type Fresh<O extends StoredObject> = O extends StoredObject
  ? Omit<O, "version" | "createdAt" | "updatedAt">
  : never;

/** The inside of a transaction: a view that includes its own writes. */
export interface Tx extends View {
  /** The time of this transaction, for status fields. */
  readonly now: string;
  /** @throws SkepError "conflict" when the id is taken */
  create<K extends Kind>(object: Fresh<ObjectOf<K>>): ObjectOf<K>;
  /**
   * Replaces an object with a changed copy of it.
   * @throws SkepError "stale" when it changed since the copy was read, "not_found" when it is gone, "internal" when a task would move backwards
   */
  update<K extends Kind>(object: ObjectOf<K>): ObjectOf<K>;
  /** Gone already is fine. */
  remove(kind: Kind, id: string): void;
}

/** Everything as it is now, and every commit from here on: no gap and no repeat between the two. */
export interface Subscription {
  readonly view: View;
  readonly commits: AsyncIterable<Commit>;
}

export class Store {
  readonly #backend: Backend;
  readonly #clock: Clock;
  readonly #tables = new Tables();
  readonly #watchers = new Set<Watcher>();
  #history: Commit[] = [];
  #tail: Promise<unknown> = Promise.resolve();
  /** The time of the last transaction. */
  #stamp = "";

  private constructor(backend: Backend, clock: Clock) {
    this.#backend = backend;
    this.#clock = clock;
  }

  /** Loads everything that was ever acknowledged. */
  static async open(backend: Backend, clock: Clock = systemClock): Promise<Store> {
    const store = new Store(backend, clock);
    const { revision, objects } = await backend.load();
    for (const object of objects) store.#tables.put(deepFreeze(object));
    store.#tables.revision = revision;
    return store;
  }

  /** The objects as of the last commit. It moves on with commits: read what belongs together without an await between. */
  get view(): View {
    return this.#tables;
  }

  /**
   * Runs `body` as one transaction and resolves with its result when that is durable and visible. Transactions run one after the other.
   * A body must be synchronous and free of side effects; when it throws, nothing changed.
   * @throws what `body` throws; SkepError "unavailable" when the backend could not store it
   */
  update<T>(body: (tx: Tx) => T extends PromiseLike<unknown> ? never : T): Promise<T> {
    const run = this.#tail.then(() => this.#transact(body as (tx: Tx) => T));
    this.#tail = run.catch(() => undefined); // the caller has the error; the next transaction does not care
    return run;
  }

  /**
   * Follows the store. With `from`, repeats the commits after that revision first.
   * The iteration ends when `signal` aborts.
   * @throws SkepError "stale" when commits after `from` are no longer kept (take a new snapshot); while iterating, when the reader is too slow
   */
  watch(signal: AbortSignal, from?: number): Subscription {
    const missed = from === undefined ? [] : this.#since(from);
    const watcher = new Watcher(missed, signal, (ended) => this.#watchers.delete(ended));
    if (!signal.aborted) this.#watchers.add(watcher);
    return { view: this.#tables, commits: watcher };
  }

  /** Forgets every object. Watchers see their removal. */
  async wipe(): Promise<void> {
    await this.update((tx) => {
      for (const kind of ["task", "service", "secret", "config", "network", "node", "cluster"] as const) {
        for (const object of tx.all(kind)) tx.remove(kind, object.id);
      }
    });
    await this.#backend.wipe();
  }

  async close(): Promise<void> {
    await this.#tail;
    for (const watcher of this.#watchers) watcher.end();
    await this.#backend.close();
  }

  async #transact<T>(body: (tx: Tx) => T): Promise<T> {
    this.#stamp = laterStamp(timestamp(this.#clock.now()), this.#stamp);
    const tx = new Transaction(this.#tables, this.#stamp);
    let result: T;
    let changes: readonly Change[];
    try {
      result = body(tx);
      changes = tx.changes();
    } finally {
      tx.undo(); // nobody may see it before it is durable
    }
    if (changes.length === 0) return result;
    const commit: Commit = { revision: this.#tables.revision + 1, changes };
    await this.#backend.commit(commit);
    for (const { action, object } of changes) {
      if (action === "remove") this.#tables.drop(object.kind, object.id);
      else this.#tables.put(object);
    }
    this.#tables.revision = commit.revision;
    this.#history.push(commit);
    if (this.#history.length > 2 * HISTORY) this.#history = this.#history.slice(-HISTORY);
    for (const watcher of this.#watchers) watcher.push(commit);
    return result;
  }

  #since(from: number): readonly Commit[] {
    if (from === this.#tables.revision) return [];
    const first = this.#history[0]?.revision;
    if (first === undefined || from < first - 1 || from > this.#tables.revision) {
      throw new SkepError("stale", `commits after revision ${from} are no longer kept`, { revision: from });
    }
    return this.#history.filter((c) => c.revision > from);
  }
}

class Transaction implements Tx {
  readonly now: string;
  readonly revision: number;
  readonly #tables: Tables;
  /** What each touched object was before, in the order of first touch. */
  readonly #before = new Map<string, { kind: Kind; id: string; old: StoredObject | undefined }>();

  constructor(tables: Tables, now: string) {
    this.#tables = tables;
    this.now = now;
    this.revision = tables.revision;
    this.all = tables.all.bind(tables);
    this.get = tables.get.bind(tables);
    this.byName = tables.byName.bind(tables);
    this.tasksOfService = tables.tasksOfService.bind(tables);
    this.tasksOfNode = tables.tasksOfNode.bind(tables);
    this.tasksOfNetwork = tables.tasksOfNetwork.bind(tables);
    this.servicesOfNetwork = tables.servicesOfNetwork.bind(tables);
  }

  readonly all: View["all"];
  readonly get: View["get"];
  readonly byName: View["byName"];
  readonly tasksOfService: View["tasksOfService"];
  readonly tasksOfNode: View["tasksOfNode"];
  readonly tasksOfNetwork: View["tasksOfNetwork"];
  readonly servicesOfNetwork: View["servicesOfNetwork"];

  create<K extends Kind>(object: Fresh<ObjectOf<K>>): ObjectOf<K> {
    const { kind, id } = object;
    if (this.get(kind, id)) throw new SkepError("conflict", `${kind} ${id} already exists`);
    return this.#put({ ...object, createdAt: this.now } as unknown as ObjectOf<K>);
  }

  update<K extends Kind>(object: ObjectOf<K>): ObjectOf<K> {
    const old = this.get(object.kind, object.id) as ObjectOf<K> | undefined;
    if (!old) throw new SkepError("not_found", `${object.kind} ${object.id} not found`);
    if (old.version !== object.version)
      throw new SkepError("stale", "update out of sequence", { version: old.version });
    checkMoves(old, object);
    return this.#put(object);
  }

  remove(kind: Kind, id: string): void {
    if (!this.get(kind, id)) return;
    this.#remember(kind, id);
    this.#tables.drop(kind, id);
  }

  changes(): Change[] {
    const changes: Change[] = [];
    for (const { kind, id, old } of this.#before.values()) {
      const object = this.get(kind, id) as StoredObject | undefined;
      if (object && old) changes.push({ action: "update", object, old });
      else if (object) changes.push({ action: "create", object });
      else if (old) changes.push({ action: "remove", object: old, old });
    }
    return changes;
  }

  undo(): void {
    for (const { kind, id, old } of this.#before.values()) {
      if (old) this.#tables.put(old);
      else this.#tables.drop(kind, id);
    }
  }

  #put<K extends Kind>(object: ObjectOf<K>): ObjectOf<K> {
    this.#remember(object.kind, object.id);
    const meta: Pick<Meta<string>, "version" | "updatedAt"> = { version: this.revision + 1, updatedAt: this.now };
    const stored = deepFreeze({ ...object, ...meta });
    this.#tables.put(stored as unknown as StoredObject);
    return stored;
  }

  #remember(kind: Kind, id: string): void {
    const key = `${kind}/${id}`;
    if (!this.#before.has(key))
      this.#before.set(key, { kind, id, old: this.get(kind, id) as StoredObject | undefined });
  }
}

/**
 * A time for the next transaction that is later than the last one's, by the nanoseconds that the clock does not give: so the order of
 * `createdAt` is the order of creation, also within a millisecond and when the clock is set back.
 */
function laterStamp(now: string, last: string): string {
  if (now > last) return now;
  const NANOSECONDS = 1_000_000_000;
  const next = Number(last.slice(20, 29)) + 1;
  if (next < NANOSECONDS) return `${last.slice(0, 20)}${String(next).padStart(9, "0")}Z`;
  return timestamp(Date.parse(last) + 1);
}

/** A task moves forward only, in what is seen of it and in what is wished of it. */
function checkMoves(old: StoredObject, object: StoredObject): void {
  if (old.kind !== "task" || object.kind !== "task") return;
  if (mayMove(old.status.state, object.status.state) && mayWish(old.desiredState, object.desiredState)) return;
  const from = `${old.status.state}/${old.desiredState}`;
  const to = `${object.status.state}/${object.desiredState}`;
  throw new SkepError("internal", `task ${old.id} may not move from ${from} to ${to}`);
}

/** Freezes what is not frozen yet: parts shared with an earlier version already are. */
function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
