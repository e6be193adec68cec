// The two sockets of one sandbox: packets off them to the responder, answers back. Runs in the worker.

import { createServer, type Server, type Socket } from "node:net";
import type { Sender } from "../../kernel/index.ts";
import { MAX_TCP_BYTES } from "./packet.ts";
import type { Asker, Responder } from "./responder.ts";
import { FrameReader, frame } from "./tcp-frames.ts";
import { UdpPort } from "./udp-port.ts";

/** A TCP client that says nothing for this long is cut off (RFC 7766 asks for some seconds). */
const TCP_IDLE_MS = 10_000;
/** TCP clients of one sandbox at a time; further ones are closed at once. */
const TCP_CLIENTS = 256;
/** A client that asks and does not read: beyond this it is cut off. */
const TCP_UNREAD_BYTES = 1 << 20;

const tcpOut = Buffer.allocUnsafeSlow(MAX_TCP_BYTES);

/** What a Listener needs besides its descriptors. */
type Needs = { responder: Responder; asker: Asker; failed: (error: unknown) => void };

export class Listener {
  readonly asker: Asker;
  readonly #responder: Responder;
  readonly #udp: UdpPort;
  readonly #tcp: Server;
  readonly #clients = new Set<Socket>();

  private constructor(needs: Needs, udpFd: number) {
    this.#responder = needs.responder;
    this.asker = needs.asker;
    this.#udp = new UdpPort(udpFd, (packet, out, sender) => this.#datagram(packet, out, sender), needs.failed);
    this.#tcp = createServer((client) => this.#client(client));
    this.#tcp.maxConnections = TCP_CLIENTS;
  }

  /**
   * Resolves when queries are answered; rejects, holding nothing, when the TCP descriptor is no listening socket. That one is closed by
   * `close`, the UDP one by its owner.
   */
  static async open(needs: Needs, udpFd: number, tcpFd: number): Promise<Listener> {
    const listener = new Listener(needs, udpFd);
    const server = listener.#tcp;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => {
        listener.#udp.close();
        reject(error);
      });
      server.listen({ fd: tcpFd }, resolve);
    });
    server.on("error", needs.failed);
    return listener;
  }

  /** Stops answering; resolves when the TCP socket is closed and the UDP one let go of. */
  async close(): Promise<void> {
    this.#udp.close();
    for (const client of this.#clients) client.destroy();
    await new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
  }

  #datagram(packet: Buffer, out: Buffer, sender: () => Sender): number {
    const length = this.#responder.answer(packet, this.asker, "udp", out);
    if (length >= 0) return length;
    const from = sender();
    const kept = Buffer.from(packet); // the batch's memory is used again
    void this.#responder.forward(kept, this.asker, "udp").then((response) => this.#udp.send(response, from));
    return -1;
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
