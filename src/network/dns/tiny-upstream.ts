// For tests: an outside resolver on loopback, UDP and TCP, that knows a handful of names and remembers what it was asked.

import { createSocket, type Socket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { type Answer, decode, encode, type RecordType } from "dns-packet";
import { portOf, tcpListenerIn, udpSocketIn } from "../../kernel/index.ts";
import { FrameReader, frame } from "./tcp-frames.ts";

const TRUNCATED = 0x200;
const RECURSION = 0x180; // rd, ra
const BIG_ADDRESSES = 200;

/** Names: example.test answers, fail.test says SERVFAIL, slow.test nothing, big.test fits TCP only, spoof.test lies first; all others do not exist. */
export class TinyUpstream {
  /** What came in: `udp example.test A`. */
  readonly asked: string[] = [];
  readonly address: string;
  readonly #udp: Socket = createSocket("udp4");
  readonly #tcp: Server;
  /** What example.test resolves to. */
  #answer: string;

  private constructor(address: string, answer: string) {
    this.address = address;
    this.#answer = answer;
    this.#udp.on("message", (query, from) => {
      for (const response of this.#respond(query, "udp")) this.#udp.send(response, from.port, from.address);
    });
    this.#tcp = createServer((client) => {
      const reader = new FrameReader((query) => {
        for (const response of this.#respond(query, "tcp")) client.write(frame(response));
      });
      client.on("data", (chunk) => reader.push(chunk));
      client.on("error", () => client.destroy());
    });
  }

  static async start(
    address: string,
    options: { port?: number; answer?: string; netns?: string } = {},
  ): Promise<TinyUpstream> {
    const upstream = new TinyUpstream(address, options.answer ?? "203.0.113.7");
    const udpFd = udpSocketIn(options.netns, address, options.port ?? 0);
    const tcpFd = tcpListenerIn(options.netns, address, portOf(udpFd));
    await new Promise<void>((resolve) => upstream.#udp.bind({ fd: udpFd, exclusive: true }, resolve));
    await new Promise<void>((resolve) => upstream.#tcp.listen({ fd: tcpFd }, resolve));
    return upstream;
  }

  get port(): number {
    return this.#udp.address().port;
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.#udp.close(() => resolve()));
    await new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
  }

  #respond(query: Buffer, proto: "udp" | "tcp"): Buffer[] {
    const { id = 0, questions = [] } = decode(query);
    const { name = "", type = "A" } = questions[0] ?? {};
    this.asked.push(`${proto} ${name} ${type}`);
    const make = (rcode: number, answers: Answer[] = [], flags = 0, asId = id, asName = name): Buffer => {
      const question = { name: asName, type: type as RecordType };
      return encode({ type: "response", id: asId, flags: RECURSION | flags | rcode, questions: [question], answers });
    };
    const a = (data: string): Answer => ({ type: "A", name, ttl: 300, data });
    switch (name.toLowerCase()) {
      case "example.test":
        return [make(0, type === "A" ? [a(this.#answer)] : [])];
      case "fail.test":
        return [make(2)];
      case "slow.test":
        return [];
      case "big.test":
        if (proto === "udp") return [make(0, [], TRUNCATED)];
        return [
          make(
            0,
            Array.from({ length: BIG_ADDRESSES }, (_, i) => a(`203.0.113.${i}`)),
          ),
        ];
      case "spoof.test":
        // Wrong id, wrong question, not a response: none may be believed.
        return [
          make(0, [a("6.6.6.6")], 0, id ^ 1),
          make(0, [a("6.6.6.6")], 0, id, "other.test"),
          query,
          make(0, [a("203.0.113.9")]),
        ];
      default:
        return [make(3)];
    }
  }
}
