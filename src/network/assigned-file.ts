// What the manager assigned, on file: names resolve and networks are known at once after a restart, before the manager has said anything.
import type { NetworkAssignment, ServiceAssignment } from "../model/assignment.ts";
import type { Clock, Timer } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import type { Desired } from "./desired.ts";
import { readJson, writeJson } from "./state-file.ts";

/** Services need not be on file at once: they come again with the manager's first message. */
const SAVE_AFTER_MS = 200;

interface Assigned {
  readonly networks: readonly NetworkAssignment[];
  readonly services: readonly ServiceAssignment[];
}

export class AssignedFile {
  readonly #path: string;
  readonly #desired: Pick<Desired, "networks" | "services">;
  readonly #clock: Clock;
  readonly #log: Log;
  #saving: Timer | undefined;

  constructor(needs: {
    readonly path: string;
    readonly desired: Pick<Desired, "networks" | "services">;
    readonly clock: Clock;
    readonly log: Log;
  }) {
    this.#path = needs.path;
    this.#desired = needs.desired;
    this.#clock = needs.clock;
    this.#log = needs.log;
  }

  /** What an earlier daemon was told. */
  read(): Assigned | undefined {
    return readJson<Assigned>(this.#path);
  }

  save(): void {
    this.forget();
    const { networks, services } = this.#desired;
    writeJson(this.#path, { networks: [...networks.values()], services: [...services.values()] } satisfies Assigned);
  }

  saveSoon(): void {
    this.#saving ??= this.#clock.after(SAVE_AFTER_MS, () => this.trySave());
  }

  /** Saves if it can: the file only makes names answer at once after a restart, and the managers tell everything again. */
  trySave(): void {
    try {
      this.save();
    } catch (e) {
      this.#log.warn({ error: messageOf(e) }, "cannot save what this node was assigned");
    }
  }

  /** What was to be saved soon is not to be saved any more. */
  forget(): void {
    this.#saving?.cancel();
    this.#saving = undefined;
  }
}
