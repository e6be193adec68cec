// The resolver's own thread: owns every DNS socket, the table and the forwarder, so that a flood of queries never holds up the daemon, nor
// a busy daemon the queries. Started by server.ts, which sends it changes (messages.ts).

import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../model/errors.ts";
import { Forwarder } from "./forward.ts";
import { Listener } from "./listener.ts";
import type { Change, OpenChange, Report, WorkerData } from "./messages.ts";
import { NameTable } from "./names.ts";
import { Responder } from "./responder.ts";
import { askByTcp } from "./tcp-ask.ts";
import { UdpAsker } from "./udp-ask.ts";
import { readUpstreams, type Upstream, watchUpstreams } from "./upstreams.ts";

class Resolver {
  readonly #port: MessagePort;
  readonly #names = new NameTable();
  readonly #listeners = new Map<string, Listener>();
  readonly #responder: Responder;
  readonly #udpAsker = new UdpAsker();
  #hostUpstreams: Upstream[] = [];

  constructor(port: MessagePort, data: WorkerData) {
    this.#port = port;
    const forwarder = new Forwarder({
      udp: (upstream, query, timeoutMs) => this.#udpAsker.ask(upstream, query, timeoutMs),
      tcp: askByTcp,
      nowMs: () => performance.now(),
    });
    this.#responder = new Responder({ names: this.#names, forwarder, hostUpstreams: () => this.#hostUpstreams });
    this.#followHost(data.resolvConfPath);
  }

  /** Changes are applied in order, one batch at a time: "synced" is only sent when all before it is done. */
  async apply(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      try {
        await this.#applyOne(change);
      } catch (error) {
        this.#warn(`cannot apply a DNS change: ${messageOf(error)}`, { "dns.change": change.op });
      }
    }
  }

  async #applyOne(change: Change): Promise<void> {
    const names = this.#names;
    switch (change.op) {
      case "network":
        return names.setNetwork(change.networkId, change.name, change.options);
      case "network gone":
        return names.deleteNetwork(change.networkId);
      case "service":
        return names.setService(change.networkId, change.names);
      case "service gone":
        return names.deleteService(change.networkId, change.serviceId);
      case "endpoint":
        return names.setEndpoint(change.networkId, change.endpoint);
      case "endpoint gone":
        return names.deleteEndpoint(change.networkId, change.endpointId);
      case "open":
        return this.#open(change);
      case "scope": {
        const listener = this.#listeners.get(change.sandboxId);
        if (listener !== undefined) listener.asker.networks = change.networks;
        return;
      }
      case "close":
        return this.#close(change.sandboxId);
      case "sync":
        return this.#report({ kind: "synced", seq: change.seq });
    }
  }

  async #open(change: OpenChange): Promise<void> {
    await this.#close(change.sandboxId);
    const { networks, upstreams, keepsShortNames } = change;
    const failed = (error: unknown): void =>
      this.#warn(`a DNS socket failed: ${messageOf(error)}`, { "sandbox.id": change.sandboxId });
    const asker = { networks, upstreams, keepsShortNames, outstanding: { count: 0 } };
    const needs = { responder: this.#responder, asker, failed };
    this.#listeners.set(change.sandboxId, await Listener.open(needs, change.udpFd, change.tcpFd));
  }

  async #close(sandboxId: string): Promise<void> {
    const listener = this.#listeners.get(sandboxId);
    this.#listeners.delete(sandboxId);
    for (const { netnsPath } of listener?.asker.upstreams ?? []) {
      if (netnsPath !== undefined) this.#udpAsker.leave(netnsPath);
    }
    await listener?.close();
  }

  #followHost(path: string): void {
    const failed = (reason: string): void => this.#warn(`cannot follow the host's resolvers: ${reason}`, { path });
    const changed = (upstreams: Upstream[]): void => {
      this.#hostUpstreams = upstreams;
    };
    // Watched before it is read, so that no change is missed; read even if it cannot be watched.
    for (const step of [() => watchUpstreams(path, changed, failed), () => changed(readUpstreams(path))]) {
      try {
        step();
      } catch (error) {
        failed(messageOf(error));
      }
    }
  }

  #warn(message: string, facts: Readonly<Record<string, string | number>>): void {
    this.#report({ kind: "warning", message, facts });
  }

  #report(report: Report): void {
    this.#port.postMessage(report);
  }
}

// The one file of the room that acts when loaded: being a thread's entry is what it is for.
if (parentPort !== null) {
  const port = parentPort;
  const resolver = new Resolver(port, workerData as WorkerData);
  let turn = Promise.resolve();
  port.on("message", (changes: readonly Change[]) => {
    turn = turn.then(() => resolver.apply(changes));
  });
}
