// The UDP side of a sandbox: packets in and answers out in batches, one system call for many (kernel/datagrams.ts). Twice what node's dgram does,
// at half the CPU for a packet (bench/dns.md). listener.ts owns it, together with the TCP side.

import { DatagramBatch, libc, type Sender, watchReadable } from "../../kernel/index.ts";
import { MAX_UDP_BYTES } from "./packet.ts";

/** Packets taken in at once. Then other sandboxes and timers have their turn, so that one flood does not starve them. */
const BATCH = 32;
const AF_INET = 2;
const MSG_DONTWAIT = 0x40;

/** Answers one packet into `out`: the length, 0 for no answer, -1 for an answer that comes later through `send`. */
export type AnswerPacket = (packet: Buffer, out: Buffer, sender: () => Sender) => number;

export class UdpPort {
  readonly #fd: number;
  readonly #batch: DatagramBatch;
  readonly #watch: { close(): void };
  readonly #answer: AnswerPacket;
  readonly #out = Buffer.allocUnsafeSlow(MAX_UDP_BYTES);
  #closed = false;

  /** Serves a bound, non-blocking IPv4 socket, which stays its owner's to close. `failed` hears of one that can no longer be read. */
  constructor(fd: number, answer: AnswerPacket, failed: (error: unknown) => void) {
    this.#fd = fd;
    this.#answer = answer;
    this.#batch = new DatagramBatch(fd, { slots: BATCH, slotBytes: MAX_UDP_BYTES });
    this.#watch = watchReadable(fd, () => {
      try {
        this.#serve();
      } catch (error) {
        this.close(); // or it would be readable, and fail, for ever
        failed(error);
      }
    });
  }

  /** Sends one packet, for answers that were not there at once. A full buffer drops it, as datagrams are. */
  send(bytes: Uint8Array, to: Sender): void {
    if (this.#closed) return;
    const address = Buffer.alloc(16); // struct sockaddr_in
    address.writeUInt16LE(AF_INET, 0);
    address.writeUInt16BE(to.port, 2);
    address.set(to.ip.split(".").map(Number), 4);
    libc().sendto(this.#fd, bytes, bytes.length, MSG_DONTWAIT, address, address.length);
  }

  /** Lets go of the socket at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
  }

  #serve(): void {
    const batch = this.#batch;
    const count = batch.receive();
    for (let i = 0; i < count; i++) {
      const packet = batch.received(i);
      if (packet === undefined) continue; // longer than any query
      const length = this.#answer(packet, this.#out, () => batch.sender(i));
      if (length > 0) batch.answer(i, this.#out.subarray(0, length));
    }
    if (count > 0) batch.flush();
  }
}
