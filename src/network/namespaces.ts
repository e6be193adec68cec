// The namespaces of this node's data plane are made and deleted here only: each is on file before it is made, and nothing that is not on file
// is ever removed, whatever its name looks like. Where they are shown to people is next door, in docker-netns.ts.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createNetns, deleteNetns } from "../kernel/index.ts";

/** Somebody who wants to know which namespaces there are. */
export interface NetnsView {
  add(path: string): void;
  remove(path: string): void;
}

export class Namespaces {
  readonly #dir: string;
  readonly #records: string;
  readonly #view: NetnsView | undefined;

  /**
   * @param needs.dir where the namespaces are
   * @param needs.records a directory with an empty file for each, which ends with the machine's life as they do
   */
  constructor(needs: { readonly dir: string; readonly records: string; readonly view?: NetnsView | undefined }) {
    this.#dir = needs.dir;
    this.#records = needs.records;
    this.#view = needs.view;
  }

  /** Makes it, or takes over the one that is there. @throws KernelError */
  create(path: string): void {
    const record = this.#recordOf(path);
    try {
      writeFileSync(record, "", { flag: "a" });
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
      mkdirSync(this.#records, { recursive: true });
      writeFileSync(record, "");
    }
    createNetns(path);
    this.#view?.add(path);
  }

  /** Gone already is success. @throws KernelError */
  delete(path: string): void {
    this.#view?.remove(path);
    deleteNetns(path);
    rmSync(this.#recordOf(path), { force: true });
  }

  /** The paths of all that are on file: made, or about to be when a daemon died. */
  all(): string[] {
    try {
      return readdirSync(this.#records).map((name) => join(this.#dir, name));
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw e;
    }
  }

  #recordOf(path: string): string {
    return join(this.#records, basename(path));
  }
}
