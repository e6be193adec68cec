// Datagrams by the handful: one recvmmsg takes in, one sendmmsg sends out, whatever is there. For servers (DNS) that answer tens of
// thousands of small packets a second, where a system call and an event for each is what costs. The socket comes from sockets.ts.
import koffi from "koffi";
import { isErrno, KernelError } from "./errno.ts";
import { bytesToIp } from "./ip.ts";
import { AF_INET, errno, libc, MSG_DONTWAIT } from "./libc.ts";

const MMSGHDR_BYTES = 64; // struct mmsghdr on 64-bit Linux: msghdr (56) and msg_len (4), padded
const MSG_FLAGS_AT = 48;
const MSG_LEN_AT = 56;
const IOVEC_BYTES = 16;
const NAME_BYTES = 28; // sockaddr_in6
const MSG_TRUNC = 0x20;

/** Where a datagram came from. */
export interface Sender {
  readonly ip: string;
  readonly port: number;
}

/** Watches a descriptor and calls back (from the event loop) while there is something to read. `close` ends the watch, not the descriptor. */
export function watchReadable(fd: number, onReadable: () => void): { close(): void } {
  const handle = koffi.node.poll(fd, { readable: true }, onReadable);
  return { close: () => handle.close() };
}

/**
 * Room for up to `slots` datagrams of up to `slotBytes` each, in and out, for one non-blocking UDP socket, whose owner closes it.
 *
 *     const n = batch.receive();
 *     for (let i = 0; i < n; i++) batch.answer(i, reply(batch.received(i)));
 *     batch.flush();
 */
export class DatagramBatch {
  readonly #fd: number;
  readonly #in: Slots;
  readonly #out: Slots;
  #queued = 0;

  constructor(fd: number, { slots = 64, slotBytes = 4096 }: { slots?: number; slotBytes?: number } = {}) {
    this.#fd = fd;
    this.#in = new Slots(slots, slotBytes);
    this.#out = new Slots(slots, slotBytes);
  }

  /** Takes in what is there, without waiting: 0 when nothing is. Overwrites what `received` gave. @throws KernelError */
  receive(): number {
    this.#in.reset();
    const n = libc().recvmmsg(this.#fd, this.#in.vector, this.#in.count, MSG_DONTWAIT, null);
    return n >= 0 ? n : nothingYet("recvmmsg");
  }

  /** The i-th datagram of the last `receive`: a view, good until the next. Undefined if it was longer than a slot. */
  received(i: number): Buffer | undefined {
    return this.#in.truncated(i) ? undefined : this.#in.payload(i);
  }

  /** Who sent the i-th. */
  sender(i: number): Sender {
    return this.#in.address(i);
  }

  /** Queues an answer to the sender of the i-th; sends the queue first if it is full. @throws KernelError; RangeError if it is longer than a slot */
  answer(i: number, bytes: Uint8Array): void {
    if (this.#queued === this.#out.count) this.flush();
    this.#out.fill(this.#queued, bytes, this.#in, i);
    this.#queued++;
  }

  /**
   * Sends the queue and empties it; answers how many left. What the kernel would not take (a full buffer, a peer that is gone) is dropped, as
   * datagrams are.
   * @throws KernelError
   */
  flush(): number {
    const total = this.#queued;
    this.#queued = 0;
    let sent = 0;
    let next = 0;
    while (next < total) {
      const n = libc().sendmmsg(this.#fd, this.#out.from(next), total - next, MSG_DONTWAIT);
      if (n > 0) {
        sent += n;
        next += n;
        continue;
      }
      const e = new KernelError("sendmmsg", errno());
      if (isErrno(e, "EAGAIN")) break;
      if (!isErrno(e, "EINTR", "ECONNREFUSED", "EPERM", "EHOSTUNREACH", "ENETUNREACH", "EMSGSIZE", "EINVAL")) throw e;
      if (!isErrno(e, "EINTR")) next++; // the error is the first one's (sendmmsg(2)): the others still have their chance
    }
    return sent;
  }
}

/** An array of struct mmsghdr with everything it points to, in one piece of memory that never moves (and so must not be small: V8 moves small ones). */
class Slots {
  readonly count: number;
  readonly vector: Buffer;
  readonly #slotBytes: number;
  readonly #names: Buffer;
  readonly #payloads: Buffer;
  readonly #tails: Buffer[] = [];

  constructor(count: number, slotBytes: number) {
    this.count = count;
    this.#slotBytes = slotBytes;
    const memory = Buffer.from(new ArrayBuffer(count * (MMSGHDR_BYTES + IOVEC_BYTES + NAME_BYTES + slotBytes)));
    const base = koffi.address(memory);
    const iovecsAt = count * MMSGHDR_BYTES;
    const namesAt = iovecsAt + count * IOVEC_BYTES;
    const payloadsAt = namesAt + count * NAME_BYTES;
    this.vector = memory.subarray(0, iovecsAt);
    this.#names = memory.subarray(namesAt, payloadsAt);
    this.#payloads = memory.subarray(payloadsAt);
    for (let i = 0; i < count; i++) {
      const header = i * MMSGHDR_BYTES;
      memory.writeBigUInt64LE(base + BigInt(namesAt + i * NAME_BYTES), header); // msg_name
      memory.writeBigUInt64LE(base + BigInt(iovecsAt + i * IOVEC_BYTES), header + 16); // msg_iov
      memory.writeBigUInt64LE(1n, header + 24); // msg_iovlen
      memory.writeBigUInt64LE(base + BigInt(payloadsAt + i * slotBytes), iovecsAt + i * IOVEC_BYTES); // iov_base
      this.#tails.push(this.vector.subarray(header));
    }
    this.#iovecs = memory.subarray(iovecsAt, namesAt);
    this.reset();
  }

  readonly #iovecs: Buffer;

  /** Full length everywhere, as recvmmsg wants to find it: the kernel writes over the name's length and the flags. */
  reset(): void {
    for (let i = 0; i < this.count; i++) {
      this.vector.writeUInt32LE(NAME_BYTES, i * MMSGHDR_BYTES + 8);
      this.vector.writeInt32LE(0, i * MMSGHDR_BYTES + MSG_FLAGS_AT);
      this.#iovecs.writeUInt32LE(this.#slotBytes, i * IOVEC_BYTES + 8);
    }
  }

  from(i: number): Buffer {
    return this.#tails[i]!;
  }

  truncated(i: number): boolean {
    return (this.vector.readInt32LE(i * MMSGHDR_BYTES + MSG_FLAGS_AT) & MSG_TRUNC) !== 0;
  }

  payload(i: number): Buffer {
    const length = this.vector.readUInt32LE(i * MMSGHDR_BYTES + MSG_LEN_AT);
    return this.#payloads.subarray(i * this.#slotBytes, i * this.#slotBytes + length);
  }

  address(i: number): Sender {
    const name = this.#names.subarray(i * NAME_BYTES, (i + 1) * NAME_BYTES);
    const ip = name.readUInt16LE(0) === AF_INET ? name.subarray(4, 8) : name.subarray(8, 24);
    return { ip: bytesToIp(ip), port: name.readUInt16BE(2) };
  }

  fill(i: number, bytes: Uint8Array, peers: Slots, peer: number): void {
    if (bytes.length > this.#slotBytes)
      throw new RangeError(`a datagram of ${bytes.length} bytes does not fit a slot of ${this.#slotBytes}`);
    this.#payloads.set(bytes, i * this.#slotBytes);
    this.#names.set(peers.#names.subarray(peer * NAME_BYTES, (peer + 1) * NAME_BYTES), i * NAME_BYTES);
    this.#iovecs.writeUInt32LE(bytes.length, i * IOVEC_BYTES + 8);
    this.vector.writeUInt32LE(peers.vector.readUInt32LE(peer * MMSGHDR_BYTES + 8), i * MMSGHDR_BYTES + 8);
  }
}

function nothingYet(syscall: string): number {
  const e = new KernelError(syscall, errno());
  if (isErrno(e, "EAGAIN", "EINTR")) return 0;
  throw e;
}
