// One exchange with a resolver over UDP, on a small pool of connected sockets: random port (the kernel's choice), random id. tcp-ask.ts is
// for answers that do not fit; forward.ts decides whom to ask and what to make of the answer.

import { randomInt } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { udpSocketIn } from "../../kernel/index.ts";
import { answersQuery } from "./forward.ts";
import { newQuery, parseQuery } from "./packet.ts";
import type { Upstream } from "./upstreams.ts";

/** Live sockets a resolver. Few, so that a flood does not use the host's ports up; more than one, so that the port is a guess. */
const SOCKETS = 8;
/** A socket serves this many queries and is then left: a port seen by an eavesdropper is soon worth nothing. */
const QUERIES_PER_SOCKET = 128;
const IDLE_MS = 5000; // an idle daemon keeps no socket and no timer
const IDS = 0x10000;

type Waiting = {
  readonly query: Buffer;
  readonly questionEnd: number;
  readonly resolve: (response: Buffer) => void;
  readonly reject: (reason: Error) => void;
  readonly timer: NodeJS.Timeout;
};

/** Asks over UDP. `close` fails what is under way. */
export class UdpAsker {
  readonly #pools = new Map<string, AskSocket[]>();
  #closed = false;

  /** The response, its id not yet that of `query`. Rejects after `timeoutMs`, or at once when the resolver's port is closed. */
  async ask(upstream: Upstream, query: Buffer, timeoutMs: number): Promise<Buffer> {
    if (this.#closed) throw new Error("the DNS forwarder is closed");
    return this.#socketFor(upstream).ask(query, timeoutMs);
  }

  close(): void {
    this.#closed = true;
    this.#closeAll(() => true);
  }

  /** Closes the sockets in a namespace that is about to go, failing what is under way there. */
  leave(netnsPath: string): void {
    this.#closeAll((key) => key.endsWith(`#${netnsPath}`));
  }

  #closeAll(which: (key: string) => boolean): void {
    for (const [key, pool] of [...this.#pools]) {
      if (which(key)) for (const socket of [...pool]) socket.fail(new Error("closed"));
    }
  }

  #socketFor(upstream: Upstream): AskSocket {
    const key = `${upstream.address}#${upstream.port}#${upstream.netnsPath ?? ""}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      pool = [];
      this.#pools.set(key, pool);
    }
    const sockets = pool;
    const pick = randomInt(SOCKETS);
    const open = sockets[pick];
    if (open !== undefined) return open;
    const socket: AskSocket = new AskSocket(upstream, () => {
      const at = sockets.indexOf(socket);
      if (at !== -1) sockets.splice(at, 1);
      if (sockets.length === 0 && this.#pools.get(key) === sockets) this.#pools.delete(key);
    });
    sockets.push(socket);
    return socket;
  }
}

/** One connected socket: the kernel drops what does not come from the resolver's address and port. */
class AskSocket {
  readonly #socket: Socket;
  readonly #leave: () => void;
  readonly #waiting = new Map<number, Waiting>();
  readonly #idle: NodeJS.Timeout;
  #connected = false;
  #unsent: Buffer[] = [];
  #served = 0;
  #retired = false;

  constructor(upstream: Upstream, leave: () => void) {
    this.#leave = leave;
    const v6 = upstream.address.includes(":");
    const fd = upstream.netnsPath === undefined ? undefined : udpSocketIn(upstream.netnsPath, v6 ? "::" : "0.0.0.0", 0);
    this.#socket = createSocket(v6 ? "udp6" : "udp4");
    this.#idle = setTimeout(() => this.#retire(), IDLE_MS);
    this.#idle.unref();
    this.#socket.on("message", (message) => this.#receive(message));
    // ECONNREFUSED for an earlier packet, or no route: nothing on this socket will be answered.
    this.#socket.on("error", (error) => this.fail(error));
    if (fd !== undefined) this.#socket.bind({ fd, exclusive: true });
    // Not connect's callback: that one is called for a failure as well, which would then not be an "error" event.
    this.#socket.once("connect", () => {
      this.#connected = true;
      for (const packet of this.#unsent) this.#socket.send(packet);
      this.#unsent = [];
    });
    this.#socket.connect(upstream.port, upstream.address);
  }

  ask(query: Buffer, timeoutMs: number): Promise<Buffer> {
    const packet = Buffer.from(query);
    const parsed = newQuery();
    parseQuery(packet, parsed);
    let id = randomInt(IDS);
    while (this.#waiting.has(id)) id = randomInt(IDS);
    packet.writeUInt16BE(id, 0);
    this.#idle.refresh();
    this.#served++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id)?.reject(new Error("no answer in time")), timeoutMs);
      this.#waiting.set(id, { query: packet, questionEnd: parsed.questionEnd, resolve, reject, timer });
      if (this.#connected) this.#socket.send(packet);
      else this.#unsent.push(packet);
      if (this.#served >= QUERIES_PER_SOCKET) this.#retire();
    });
  }

  fail(error: Error): void {
    for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(error);
    this.#retire();
  }

  #receive(message: Buffer): void {
    if (message.length < 2) return;
    const id = message.readUInt16BE(0);
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || !answersQuery(message, waiting.query, waiting.questionEnd)) return;
    this.#settle(id)?.resolve(message);
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (this.#retired && this.#waiting.size === 0) this.#socket.close();
    return waiting;
  }

  /** Takes no more queries; closes once the last one under way is settled. */
  #retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    clearTimeout(this.#idle);
    this.#leave();
    if (this.#waiting.size === 0) this.#socket.close();
  }
}
