// Clients that attached to a container which then could not start. Podman prepares a container when somebody attaches, and refuses the
// attaching when that fails; Docker lets clients attach, and the start fails. So such a client is attached to nothing, until its start has
// been refused. A container that is removed when it ends (`--rm`) may be gone by then: why it failed is remembered for the start to say.
import type { Duplex } from "node:stream";
import type { SkepError } from "../../model/errors.ts";

interface Held {
  readonly why: SkepError;
  readonly clients: Set<Duplex>;
}

export class HeldStreams {
  readonly #held = new Map<string, Held>();

  /** Keeps the client's connection open until `release`, or until it goes. Resolves then. */
  hold(containerId: string, client: Duplex, why: SkepError): Promise<void> {
    const held = this.#held.get(containerId) ?? { why, clients: new Set() };
    this.#held.set(containerId, held);
    held.clients.add(client);
    client.resume(); // what it sends has no reader, but its end must be seen
    return new Promise((resolve) => {
      client.once("close", () => {
        held.clients.delete(client);
        if (held.clients.size === 0) this.#held.delete(containerId);
        resolve();
      });
    });
  }

  /** Why the container could not be prepared, for as long as somebody is held. */
  why(containerId: string): SkepError | undefined {
    return this.#held.get(containerId)?.why;
  }

  /** Ends the streams of those that wait for this container. */
  release(containerId: string): void {
    for (const client of this.#held.get(containerId)?.clients ?? []) client.end();
  }
}
