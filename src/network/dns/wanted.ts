// What the resolver's thread should know, kept in the daemon's thread by id, so that a thread that died can be told everything again.

import type { NameChange } from "./messages.ts";

/** The latest change about each thing; a thing that is gone leaves nothing behind. */
export class WantedNames {
  readonly #latest = new Map<string, Map<string, NameChange>>();

  note(change: NameChange): void {
    if (change.op === "network gone") {
      this.#latest.delete(change.networkId);
      return;
    }
    let network = this.#latest.get(change.networkId);
    if (network === undefined) {
      network = new Map();
      this.#latest.set(change.networkId, network);
    }
    if (change.op === "network") network.set("network", change);
    else if (change.op === "service") network.set(`service ${change.names.serviceId}`, change);
    else if (change.op === "endpoint") network.set(`endpoint ${change.endpoint.id}`, change);
    else if (change.op === "service gone") network.delete(`service ${change.serviceId}`);
    else network.delete(`endpoint ${change.endpointId}`);
    if (network.size === 0) this.#latest.delete(change.networkId);
  }

  /** The changes that lead a fresh table to where this one is. */
  *replay(): Iterable<NameChange> {
    for (const network of this.#latest.values()) yield* network.values();
  }
}
