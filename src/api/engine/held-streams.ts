// Clients that attached to a container which then could not start. Podman prepares a container when somebody attaches, and refuses the
// attaching when that fails; Docker lets clients attach, and the start fails. So such a client is attached to nothing, until its start has
// been refused.
import type { Duplex } from "node:stream";

export class HeldStreams {
  readonly #held = new Map<string, Set<Duplex>>();

  /** Keeps the client's connection open until `release`, or until it goes. Resolves then. */
  hold(containerId: string, client: Duplex): Promise<void> {
    const streams = this.#held.get(containerId) ?? new Set();
    this.#held.set(containerId, streams.add(client));
    client.resume(); // what it sends has no reader, but its end must be seen
    return new Promise((resolve) => {
      client.once("close", () => {
        streams.delete(client);
        if (streams.size === 0) this.#held.delete(containerId);
        resolve();
      });
    });
  }

  /** Ends the streams of those that wait for this container. */
  release(containerId: string): void {
    for (const client of this.#held.get(containerId) ?? []) client.end();
  }
}
