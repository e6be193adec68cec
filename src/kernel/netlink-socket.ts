// One netlink socket: opened inside a namespace and bound to it from then on, synchronous (the kernel answers within the send, so
// nothing ever waits). It sends one request and gathers its answer. What to ask is next door: rtnetlink.ts, genetlink.ts, conntrack.ts.
import { KernelError } from "./errno.ts";
import { AF_NETLINK, check, int32, libc, MSG_TRUNC, SO_RCVTIMEO, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET } from "./libc.ts";
import {
  type Message,
  MessageWriter,
  messages,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  readError,
} from "./netlink-codec.ts";
import { closeFd, inNetns, type NetnsRef } from "./netns.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;

const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const SIOCGSKNS = 0x894c; // include/uapi/linux/sockios.h
const RECEIVE_BYTES = 64 * 1024; // the kernel fills at most 32 KiB a datagram of a dump (net/netlink/af_netlink.c)
const REPLY_TIMEOUT_S = 5; // never reached in health: a reply is queued before send returns. Better an error than a hung daemon
const DUMP_TRIES = 16; // a table that changes during each of that many dumps is under a storm; say so instead of going on for ever

// One receive buffer for all sockets: every exchange is synchronous, and decoders copy what they keep.
let receiveBuffer: Buffer | undefined;

export class NetlinkSocket {
  #fd: number;
  #sequence = 0;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** @throws KernelError */
  static open(protocol: number, netns?: NetnsRef): NetlinkSocket {
    const fd = inNetns(netns, () =>
      check(
        "socket",
        libc().socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol),
        `open netlink protocol ${protocol}`,
      ),
    );
    try {
      for (const [level, name, value] of [
        [SOL_NETLINK, NETLINK_CAP_ACK, int32(1)], // errors need not carry our request back
        [SOL_NETLINK, NETLINK_EXT_ACK, int32(1)],
        [SOL_NETLINK, NETLINK_GET_STRICT_CHK, int32(1)], // dumps honour their filters, or refuse them
        [SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(new BigInt64Array([BigInt(REPLY_TIMEOUT_S), 0n]).buffer)],
      ] as const) {
        check("setsockopt", libc().setsockopt(fd, level, name, value, value.length), "set up a netlink socket");
      }
    } catch (e) {
      closeFd(fd);
      throw e;
    }
    return new NetlinkSocket(fd);
  }

  /** Closing twice is harmless. */
  close(): void {
    if (this.#fd === -1) return;
    const fd = this.#fd;
    this.#fd = -1;
    closeFd(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A new descriptor of the namespace that the socket is bound to. @throws KernelError */
  netnsFd(): number {
    return check("ioctl", libc().ioctl(this.#fd, SIOCGSKNS, 0), "find the namespace of a netlink socket");
  }

  /**
   * Sends one request and waits for its acknowledgement. A reply that comes with it (RTM_GETLINK, NLM_F_ECHO) goes to `read`.
   * @param what for the error: `add bridge br0`
   * @throws KernelError with the kernel's own words in `extAck`
   */
  request(
    type: number,
    flags: number,
    fill: (m: MessageWriter) => void,
    what: string,
    read?: (m: Message) => void,
  ): void {
    const message = new MessageWriter(type, NLM_F_REQUEST | NLM_F_ACK | flags);
    fill(message);
    this.#exchange(message, what, read);
  }

  /**
   * Asks for a whole table and gives each entry to `read`, which must copy what it keeps. If the table changes under the dump, it is
   * taken again, so the result is one moment's.
   * @throws KernelError
   */
  dump<T>(type: number, fill: (m: MessageWriter) => void, what: string, read: (m: Message) => T | undefined): T[] {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      const message = new MessageWriter(type, NLM_F_REQUEST | NLM_F_DUMP);
      fill(message);
      const found: T[] = [];
      const consistent = this.#exchange(message, what, (m) => {
        const one = read(m);
        if (one !== undefined) found.push(one);
      });
      if (consistent) return found;
    }
    throw new KernelError("netlink", 4, { what, extAck: `the table changed during each of ${DUMP_TRIES} dumps` });
  }

  /** True if everything in the answer is of one moment (no NLM_F_DUMP_INTR). */
  #exchange(message: MessageWriter, what: string, read?: (m: Message) => void): boolean {
    if (this.#fd === -1) throw new KernelError("netlink", 9, { what, extAck: "the socket is closed" });
    this.#sequence = (this.#sequence + 1) >>> 0 || 1;
    const bytes = message.finish(this.#sequence);
    check("send", libc().send(this.#fd, bytes, bytes.length, 0), what);
    let consistent = true;
    for (;;) {
      for (const m of messages(this.#receive(what))) {
        if (m.sequence !== this.#sequence) continue; // the rest of an exchange that a decoder's exception cut short
        if ((m.flags & NLM_F_DUMP_INTR) !== 0) consistent = false;
        if (m.type === NLMSG_NOOP) continue;
        if (m.type === NLMSG_ERROR || m.type === NLMSG_DONE) {
          const { errno, extAck } = readError(m);
          if (errno !== 0) throw new KernelError("netlink", errno, extAck === undefined ? { what } : { what, extAck });
          return consistent;
        }
        read?.(m);
      }
    }
  }

  #receive(what: string): Buffer {
    receiveBuffer ??= Buffer.alloc(RECEIVE_BYTES);
    const length = check("recv", libc().recv(this.#fd, receiveBuffer, receiveBuffer.length, MSG_TRUNC), what);
    if (length > receiveBuffer.length) throw new RangeError(`netlink: a datagram of ${length} bytes does not fit`);
    return receiveBuffer.subarray(0, length);
  }
}
