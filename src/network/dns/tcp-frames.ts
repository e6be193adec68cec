// DNS over TCP: each message is preceded by its length in two bytes (RFC 1035, 4.2.2).

/** A message with its length before it. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(message.length + 2);
  framed.writeUInt16BE(message.length, 0);
  framed.set(message, 2);
  return framed;
}

/** Cuts a byte stream into messages, however it arrives. Messages too short to be one (under two bytes) are left out. */
export class FrameReader {
  readonly #each: (message: Buffer) => void;
  #held: Buffer = Buffer.alloc(0);

  constructor(each: (message: Buffer) => void) {
    this.#each = each;
  }

  push(chunk: Buffer): void {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    while (rest.length >= 2) {
      const end = 2 + rest.readUInt16BE(0);
      if (rest.length < end) break;
      if (end >= 4) this.#each(rest.subarray(2, end));
      rest = rest.subarray(end);
    }
    this.#held = rest;
  }
}
