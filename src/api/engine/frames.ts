// Docker's framing of two streams in one connection: 8 bytes of head (stream, three zeroes, length), then the bytes. Cut into lines, since
// lines of different containers are merged. Pure.

export interface Line {
  /** 1 stdout, 2 stderr. */
  readonly stream: number;
  /** With its line feed, where it had one. */
  readonly line: Buffer;
}

const HEAD_BYTES = 8;
const LINE_FEED = 0x0a;

/** Puts bytes under a head. */
export function frame(stream: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = stream;
  head.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

/** Takes chunks as they come and gives whole lines. A raw stream (of a terminal) has no heads: all of it is stdout. */
export class FrameReader {
  readonly #raw: boolean;
  #pending: Buffer = Buffer.alloc(0);
  readonly #partial = new Map<number, Buffer>();

  constructor(raw: boolean) {
    this.#raw = raw;
  }

  push(chunk: Buffer): Line[] {
    if (this.#raw) return this.#cut(1, chunk);
    const lines: Line[] = [];
    let bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (bytes.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + bytes.readUInt32BE(4);
      if (bytes.length < end) break;
      lines.push(...this.#cut(bytes[0] ?? 1, bytes.subarray(HEAD_BYTES, end)));
      bytes = bytes.subarray(end);
    }
    this.#pending = Buffer.from(bytes);
    return lines;
  }

  /** What is left when the stream has ended: lines without a line feed. */
  end(): Line[] {
    const left = [...this.#partial].map(([stream, line]) => ({ stream, line }));
    this.#partial.clear();
    return left;
  }

  #cut(stream: number, bytes: Buffer): Line[] {
    const lines: Line[] = [];
    let rest = Buffer.concat([this.#partial.get(stream) ?? Buffer.alloc(0), bytes]);
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      lines.push({ stream, line: rest.subarray(0, end + 1) });
      rest = rest.subarray(end + 1);
    }
    if (rest.length > 0) this.#partial.set(stream, rest);
    else this.#partial.delete(stream);
    return lines;
  }
}
