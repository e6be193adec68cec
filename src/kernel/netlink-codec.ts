// Netlink's wire format (netlink(7), Documentation/userspace-api/netlink/intro.rst): messages, attributes, nested attributes, the error
// reply with its extended acknowledgement. Pure: bytes in, bytes out. The socket that carries them is in netlink-socket.ts.

/** nlmsghdr flags and control types. */
export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CAPPED = 0x100;
export const NLM_F_ACK_TLVS = 0x200;
export const NLMSG_NOOP = 1;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_HEADER_BYTES = 16;

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff; // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
const NLMSGERR_ATTR_MSG = 1;
const FIRST_CAPACITY_BYTES = 256;

/** Writes one request. Attributes are padded, lengths filled in at `finish`. Chainable. */
export class MessageWriter {
  #bytes = Buffer.alloc(FIRST_CAPACITY_BYTES);
  #length = NLMSG_HEADER_BYTES;
  readonly #flags: number;
  readonly #type: number;

  constructor(type: number, flags: number) {
    this.#type = type;
    this.#flags = flags;
  }

  /** The fixed part after the header (ifinfomsg, rtmsg…), padded to 4 bytes. */
  body(bytes: Uint8Array): this {
    const at = this.#grow(align(bytes.length));
    this.#bytes.set(bytes, at);
    return this;
  }

  bytes(type: number, value: Uint8Array): this {
    const at = this.#grow(4 + align(value.length));
    this.#bytes.writeUInt16LE(4 + value.length, at);
    this.#bytes.writeUInt16LE(type, at + 2);
    this.#bytes.set(value, at + 4);
    return this;
  }

  /** A string with its final NUL. */
  string(type: number, value: string): this {
    return this.bytes(type, Buffer.from(`${value}\0`));
  }

  /** An attribute whose presence is its value. */
  flag(type: number): this {
    return this.bytes(type, new Uint8Array(0));
  }

  u8(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value));
  }

  /** In host byte order, as nearly everything in rtnetlink. */
  u16(type: number, value: number): this {
    const at = this.#number(type, 2);
    this.#bytes.writeUInt16LE(value, at);
    return this;
  }

  /** In network byte order: ports, and most of netfilter. */
  u16be(type: number, value: number): this {
    const at = this.#number(type, 2);
    this.#bytes.writeUInt16BE(value, at);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.#number(type, 4);
    this.#bytes.writeUInt32LE(value >>> 0, at);
    return this;
  }

  u32be(type: number, value: number): this {
    const at = this.#number(type, 4);
    this.#bytes.writeUInt32BE(value >>> 0, at);
    return this;
  }

  /** An attribute that holds what `fill` writes. `flagged` is for the families that insist on NLA_F_NESTED (netfilter; strict rtnetlink). */
  nested(type: number, fill: (inside: this) => void, flagged = true): this {
    const at = this.#grow(4);
    fill(this);
    this.#bytes.writeUInt16LE(this.#length - at, at);
    this.#bytes.writeUInt16LE(flagged ? type | NLA_F_NESTED : type, at + 2);
    return this;
  }

  /** The whole message, with its header. */
  finish(sequence: number): Buffer {
    this.#bytes.writeUInt32LE(this.#length, 0);
    this.#bytes.writeUInt16LE(this.#type, 4);
    this.#bytes.writeUInt16LE(this.#flags, 6);
    this.#bytes.writeUInt32LE(sequence, 8);
    this.#bytes.writeUInt32LE(0, 12); // the kernel fills in the port
    return this.#bytes.subarray(0, this.#length);
  }

  #number(type: number, size: number): number {
    const at = this.#grow(8);
    this.#bytes.writeUInt16LE(4 + size, at);
    this.#bytes.writeUInt16LE(type, at + 2);
    return at + 4;
  }

  #grow(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const bigger = Buffer.alloc(Math.max(this.#length, this.#bytes.length * 2));
      this.#bytes.copy(bigger);
      this.#bytes = bigger;
    }
    return at;
  }
}

/** One message as received. `payload` is a view of the receive buffer: read it before the next receive. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Buffer;
}

/** The messages in one datagram. @throws RangeError when a length does not fit */
export function* messages(datagram: Buffer): Generator<Message> {
  let at = 0;
  while (at + NLMSG_HEADER_BYTES <= datagram.length) {
    const length = datagram.readUInt32LE(at);
    if (length < NLMSG_HEADER_BYTES || at + length > datagram.length)
      throw new RangeError("netlink: message length does not fit");
    yield {
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      payload: datagram.subarray(at + NLMSG_HEADER_BYTES, at + length),
    };
    at += align(length);
  }
}

/** Attributes by type. Where a type is there twice the later one counts, as in the kernel. */
export class Attributes {
  readonly #found = new Map<number, Buffer>();

  /** @throws RangeError when a length does not fit */
  constructor(bytes: Buffer) {
    for (const [type, value] of attributes(bytes)) this.#found.set(type, value);
  }

  has(type: number): boolean {
    return this.#found.has(type);
  }
  bytes(type: number): Buffer | undefined {
    return this.#found.get(type);
  }
  u8(type: number): number | undefined {
    return this.#found.get(type)?.readUInt8(0);
  }
  u16(type: number): number | undefined {
    return this.#found.get(type)?.readUInt16LE(0);
  }
  u16be(type: number): number | undefined {
    return this.#found.get(type)?.readUInt16BE(0);
  }
  u32(type: number): number | undefined {
    return this.#found.get(type)?.readUInt32LE(0);
  }
  u32be(type: number): number | undefined {
    return this.#found.get(type)?.readUInt32BE(0);
  }
  i32(type: number): number | undefined {
    return this.#found.get(type)?.readInt32LE(0);
  }
  string(type: number): string | undefined {
    const value = this.#found.get(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return value.toString("utf8", 0, end === -1 ? value.length : end);
  }
  nested(type: number): Attributes | undefined {
    const value = this.#found.get(type);
    return value === undefined ? undefined : new Attributes(value);
  }
}

/** The attributes in order, for lists where a type comes many times. @throws RangeError when a length does not fit */
export function* attributes(bytes: Buffer): Generator<[type: number, value: Buffer]> {
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) throw new RangeError("netlink: attribute length does not fit");
    yield [bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length)];
    at += align(length);
  }
}

/** An NLMSG_ERROR's (or a dump's NLMSG_DONE's) number, 0 for an acknowledgement, and the kernel's words where it gave some. */
export function readError(message: Message): { errno: number; extAck?: string } {
  const { payload, flags, type } = message;
  const errno = payload.length >= 4 ? 0 - payload.readInt32LE(0) : 0;
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno };
  // nlmsgerr: the number, then the request's header, then (unless capped) the request's payload, then the attributes
  let at = 4;
  if (type === NLMSG_ERROR) at += (flags & NLM_F_CAPPED) !== 0 ? NLMSG_HEADER_BYTES : align(payload.readUInt32LE(4));
  if (at > payload.length) return { errno };
  const extAck = new Attributes(payload.subarray(at)).string(NLMSGERR_ATTR_MSG);
  return extAck === undefined ? { errno } : { errno, extAck };
}

/** Up to the next multiple of 4, to which everything in netlink is padded. */
export function align(length: number): number {
  return (length + 3) & ~3;
}
