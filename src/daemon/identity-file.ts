// Who this node is, over restarts: one small file in the data root.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeId } from "../model/ids.ts";

export interface Identity {
  readonly nodeId: NodeId;
  /** The address that other nodes reach this one by, without a port. */
  readonly advertiseAddr: string;
}

/** Its path. */
export function identityFile(dataRoot: string): string {
  return join(dataRoot, "node.json");
}

export class IdentityFile {
  readonly #path: string;
  #known: Identity | undefined;

  constructor(dataRoot: string) {
    mkdirSync(dataRoot, { recursive: true, mode: 0o700 });
    this.#path = identityFile(dataRoot);
    try {
      this.#known = JSON.parse(readFileSync(this.#path, "utf8")) as Identity;
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
    }
  }

  read(): Identity | undefined {
    return this.#known;
  }

  write(identity: Identity): void {
    writeFileSync(`${this.#path}.new`, JSON.stringify(identity), { mode: 0o600, flush: true });
    renameSync(`${this.#path}.new`, this.#path);
    this.#known = identity;
  }

  remove(): void {
    rmSync(this.#path, { force: true });
    this.#known = undefined;
  }
}
