// What the manager assigned, on file: names resolve and networks are known at once after a restart, before the manager has said anything.
import type { NetworkAssignment, ServiceAssignment } from "../model/assignment.ts";
import type { Clock, Timer } from "../model/clock.ts";
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
  #saving: Timer | undefined;

  constructor(needs: {
    readonly path: string;
    readonly desired: Pick<Desired, "networks" | "services">;
    readonly clock: Clock;
  }) {
    this.#path = needs.path;
    this.#desired = needs.desired;
    this.#clock = needs.clock;
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
    this.#saving ??= this.#clock.after(SAVE_AFTER_MS, () => this.save());
  }

  /** What was to be saved soon is not to be saved any more. */
  forget(): void {
    this.#saving?.cancel();
    this.#saving = undefined;
  }
}
