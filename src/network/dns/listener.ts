// The two sockets of one sandbox: packets off them to the responder, answers back. Runs in the worker.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { MAX_TCP_BYTES, MAX_UDP_BYTES } from "./packet.ts";
import type { Asker, Responder } from "./responder.ts";
import { FrameReader, frame } from "./tcp-frames.ts";

/** A TCP client that says nothing for this long is cut off (RFC 7766 asks for some seconds). */
const TCP_IDLE_MS = 10_000;
/** TCP clients of one sandbox at a time; further ones are closed at once. */
const TCP_CLIENTS = 256;
/** A client that asks and does not read: beyond this it is cut off. */
const TCP_UNREAD_BYTES = 1 << 20;

const udpOut = Buffer.allocUnsafeSlow(MAX_UDP_BYTES);
const tcpOut = Buffer.allocUnsafeSlow(MAX_TCP_BYTES);

export class Listener {
  readonly asker: Asker;
  readonly #responder: Responder;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #clients = new Set<Socket>();
  #closed = false;

  /** Takes both descriptors over. `ready` resolves when queries are answered, and rejects when a descriptor is no such socket. */
  readonly ready: Promise<void>;

  constructor(
    needs: { responder: Responder; asker: Asker; failed: (error: Error) => void },
    udpFd: number,
    tcpFd: number,
  ) {
    this.#responder = needs.responder;
    this.asker = needs.asker;
    this.#udp = createSocket("udp4");
    this.#udp.on("message", (packet, from) => this.#datagram(packet, from.port, from.address));
    this.#tcp = createServer((client) => this.#client(client));
    this.#tcp.maxConnections = TCP_CLIENTS;
    this.ready = new Promise<void>((resolve, reject) => {
      let left = 2;
      const one = (): void => {
        if (--left === 0) resolve();
      };
      this.#udp.once("error", reject);
      this.#tcp.once("error", reject);
      this.#udp.bind({ fd: udpFd, exclusive: true }, one);
      this.#tcp.listen({ fd: tcpFd }, one);
    });
    this.#udp.on("error", needs.failed);
    this.#tcp.on("error", needs.failed);
  }

  /** Stops answering; resolves when both sockets are closed, so that the port is free. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const client of this.#clients) client.destroy();
    const gone = [this.#udp, this.#tcp].map((socket) => new Promise<void>((resolve) => socket.close(() => resolve())));
    await Promise.all(gone);
  }

  #datagram(packet: Buffer, port: number, address: string): void {
    const length = this.#responder.answer(packet, this.asker, "udp", udpOut);
    if (length > 0) this.#udp.send(Buffer.from(udpOut.subarray(0, length)), port, address);
    else if (length < 0) this.#forwardDatagram(packet, port, address);
  }

  #forwardDatagram(packet: Buffer, port: number, address: string): void {
    this.#responder.forward(packet, this.asker, "udp").then(
      (response) => {
        if (!this.#closed) this.#udp.send(response, port, address);
      },
      (error) => this.#udp.emit("error", error),
    );
  }

  #client(client: Socket): void {
    this.#clients.add(client);
    client.setTimeout(TCP_IDLE_MS, () => client.destroy());
    client.on("error", () => client.destroy()); // the client went away: nobody to tell
    client.on("close", () => this.#clients.delete(client));
    const reply = (message: Uint8Array): void => {
      if (client.destroyed) return;
      client.write(frame(message));
      if (client.writableLength > TCP_UNREAD_BYTES) client.destroy();
    };
    const reader = new FrameReader((packet) => {
      const length = this.#responder.answer(packet, this.asker, "tcp", tcpOut);
      if (length > 0) reply(tcpOut.subarray(0, length));
      else if (length < 0) {
        const kept = Buffer.from(packet);
        this.#responder.forward(kept, this.asker, "tcp").then(reply, () => client.destroy());
      }
    });
    client.on("data", (chunk) => reader.push(chunk));
  }
}
