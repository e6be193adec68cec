// Firewall marks of balanced services: one a service and network, counted up from 256 and never used again, as in Swarm. Other nodes have
// other marks for the same service.
import type { NetworkId, ServiceId } from "../model/ids.ts";
import { readJson, writeJson } from "./state-file.ts";

/** libnetwork's first fwMarkCtr (0x100). */
const FIRST_MARK = 256;

interface Stored {
  next: number;
  of: Record<string, number>;
}

export class Marks {
  readonly #path: string;
  readonly #stored: Stored;

  constructor(path: string) {
    this.#path = path;
    this.#stored = readJson<Stored>(path) ?? { next: FIRST_MARK, of: {} };
  }

  /** The mark, if one has been given. */
  find(networkId: NetworkId, serviceId: ServiceId): number | undefined {
    return this.#stored.of[`${networkId}/${serviceId}`];
  }

  /** The service's mark on that network; a new one is on file before it is returned. */
  markOf(networkId: NetworkId, serviceId: ServiceId): number {
    this.give(networkId, [serviceId]);
    return this.find(networkId, serviceId)!;
  }

  /** Gives these services their marks, if they have none: on file all at once. */
  give(networkId: NetworkId, serviceIds: readonly ServiceId[]): void {
    const before = this.#stored.next;
    for (const id of serviceIds) this.#stored.of[`${networkId}/${id}`] ??= this.#stored.next++;
    if (this.#stored.next > before) this.#save();
  }

  /** Makes sure that the counter is past a mark that the kernel still has. */
  notBefore(mark: number): void {
    if (mark < this.#stored.next) return;
    this.#stored.next = mark + 1;
    this.#save();
  }

  /** The service is gone; its mark is not given again. */
  forget(networkId: NetworkId, serviceId: ServiceId): void {
    const key = `${networkId}/${serviceId}`;
    if (!(key in this.#stored.of)) return;
    delete this.#stored.of[key];
    this.#save();
  }

  #save(): void {
    writeJson(this.#path, this.#stored);
  }
}
