// The port through which the store makes its writes durable. Implementations are in backends/, an in-memory one is here for tests.
import type { Kind, StoredObject } from "../model/objects.ts";

/** One object's change in a commit. `object` is the new one, or for a removal the last one. */
export interface Change {
  readonly action: "create" | "update" | "remove";
  readonly object: StoredObject;
  /** What was there before; absent for "create". */
  readonly old?: StoredObject;
}

/** What a commit changed, all or nothing. */
export interface Commit {
  readonly revision: number;
  readonly changes: readonly Change[];
}

export interface Backend {
  /** Everything that was ever acknowledged, and the revision of the last commit. */
  load(): Promise<{ readonly revision: number; readonly objects: readonly StoredObject[] }>;
  /** Resolves when the commit will survive a crash of the process and of the machine; on rejection nothing of it is stored. */
  commit(commit: Commit): Promise<void>;
  /** Forgets everything: the node left its swarm. */
  wipe(): Promise<void>;
  close(): Promise<void>;
}

/** Keeps nothing: for tests of everything but durability. */
export class MemoryBackend implements Backend {
  readonly #objects = new Map<string, StoredObject>();
  #revision = 0;

  async load() {
    return { revision: this.#revision, objects: [...this.#objects.values()] };
  }

  async commit(commit: Commit) {
    this.#revision = commit.revision;
    const key = (kind: Kind, id: string) => `${kind}/${id}`;
    for (const { action, object } of commit.changes) {
      if (action === "remove") this.#objects.delete(key(object.kind, object.id));
      else this.#objects.set(key(object.kind, object.id), object);
    }
  }

  async wipe() {
    this.#objects.clear();
  }

  async close() {}
}
