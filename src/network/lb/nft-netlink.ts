// nf_tables' own messages and the socket for them (include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h), as far as nft-direct.ts needs them.
import {
  align,
  check,
  closeFd,
  errno,
  inNetns,
  isErrno,
  KernelError,
  libc,
  MessageWriter,
  NETLINK_NETFILTER,
  type NetnsRef,
} from "../../kernel/index.ts";
import type { Family } from "./nft-rules.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0x80000;
const MSG_DONTWAIT = 0x40;
const REQUEST = 0x1;
const NLMSG_ERROR = 2;
const ERROR_ROOM = 16 * 1024;
const NFTABLES = 10; // NFNL_SUBSYS_NFTABLES
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
/** Kind of nft's note that is a comment (NFTNL_UDATA_*_COMMENT, 0 for rules and elements alike). */
const COMMENT = 0;

export const CREATE = 0x400;
export const APPEND = 0x800;
/** NFPROTO_IPV4, NFPROTO_IPV6 */
export const PROTOCOL: Record<Family, number> = { ip: 2, ip6: 10 };
/** Message types. */
export const NFT = {
  newRule: at(6),
  getRule: at(7),
  delRule: at(8),
  newSet: at(9),
  newElements: at(12),
  getElements: at(13),
};

/**
 * A socket for transactions in one namespace. It is to be kept: the kernel holds up whoever closes one until what transactions removed is
 * freed, some 10 to 30 ms.
 */
export class NftSocket {
  #fd: number;

  /** @throws KernelError */
  constructor(netns: NetnsRef) {
    this.#fd = inNetns(netns, () =>
      check("socket", libc().socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_NETFILTER), "open an nf_tables socket"),
    );
  }

  /** Carries these messages out as one transaction, all or nothing. @throws KernelError */
  transact(messages: readonly MessageWriter[], what: string): void {
    const all = [mark(BATCH_BEGIN), ...messages, mark(BATCH_END)];
    const bytes = Buffer.concat(all.map((m, i) => padded(m.finish(i + 1))));
    check("send", libc().send(this.#fd, bytes, bytes.length, 0), what);
    // Nothing asks to be acknowledged: the kernel answers within the send, and only what is wrong.
    let wrong: number | undefined;
    const reply = Buffer.alloc(ERROR_ROOM);
    for (;;) {
      const length = libc().recv(this.#fd, reply, reply.length, MSG_DONTWAIT);
      if (length === -1) {
        const none = new KernelError("recv", errno(), { what });
        if (!isErrno(none, "EAGAIN")) throw none;
        if (wrong !== undefined) throw new KernelError("nf_tables", wrong, { what });
        return;
      }
      if (reply.readUInt16LE(4) === NLMSG_ERROR) wrong ??= -reply.readInt32LE(16);
    }
  }

  /** Closing twice is harmless. */
  close(): void {
    if (this.#fd !== -1) closeFd(this.#fd);
    this.#fd = -1;
  }
}

/** One message of a transaction. */
export function message(type: number, family: Family, flags: number, fill: (m: MessageWriter) => void): MessageWriter {
  const m = new MessageWriter(type, REQUEST | flags).body(header(family));
  fill(m);
  return m;
}

/** nfgenmsg: what every message starts with. */
export function header(family: Family): Uint8Array {
  return Uint8Array.of(PROTOCOL[family], 0, 0, 0);
}

/** A comment as nft keeps it among its notes: kind, length, text with its NUL. */
export function commentBytes(text: string): Buffer {
  const bytes = Buffer.from(`${text}\0`);
  return Buffer.concat([Buffer.from([COMMENT, bytes.length]), bytes]);
}

/** The comment among nft's notes; "" when there is none. */
export function commentIn(notes: Buffer | undefined): string {
  if (notes === undefined) return "";
  for (let i = 0; i + 2 <= notes.length; i += 2 + notes[i + 1]!) {
    if (notes[i] === COMMENT) return notes.toString("utf8", i + 2, i + 1 + notes[i + 1]!);
  }
  return "";
}

function at(type: number): number {
  return (NFTABLES << 8) | type;
}

function mark(type: number): MessageWriter {
  return new MessageWriter(type, REQUEST).body(Uint8Array.of(0, 0, 0, NFTABLES));
}

/** Messages of one batch start at multiples of 4. */
function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(align(bytes.length) - bytes.length)]);
}
