// Joins the table, the wire format and the forwarder: a packet in, a packet out. Knows no socket: listener.ts has those.

import type { Forwarder, Outstanding } from "./forward.ts";
import type { NameTable } from "./names.ts";
import { TYPE } from "./names.ts";
import { MAX_TCP_BYTES, newQuery, parseQuery, RCODE, type Rcode, writeAnswer, writeEmpty } from "./packet.ts";
import type { Upstream } from "./upstreams.ts";

/** Whoever asks: a task's namespace. */
export type Asker = {
  /** Ids of its networks, in the order in which Docker would search them. */
  networks: readonly string[];
  /** Its own resolvers (a service's DNSConfig), instead of the host's. */
  upstreams: readonly Upstream[] | undefined;
  /** The user set ndots above 0: A and AAAA of names without a dot are then not forwarded but answered empty, as in Docker. */
  keepsShortNames: boolean;
  readonly outstanding: Outstanding;
};

/** Answers packets. Not reentrant across threads: the query and the output buffer are reused. */
export class Responder {
  readonly #names: NameTable;
  readonly #forwarder: Forwarder;
  readonly #hostUpstreams: () => readonly Upstream[];
  readonly #query = newQuery();

  constructor(needs: { names: NameTable; forwarder: Forwarder; hostUpstreams: () => readonly Upstream[] }) {
    this.#names = needs.names;
    this.#forwarder = needs.forwarder;
    this.#hostUpstreams = needs.hostUpstreams;
  }

  /**
   * Writes the response to `packet` into `out`, which has room for 65535 bytes over TCP and 4096 over UDP. Its length; 0 when the packet
   * deserves none; -1 when the name is not ours and `forward` is to be called.
   */
  answer(packet: Buffer, asker: Asker, proto: "udp" | "tcp", out: Buffer): number {
    const query = this.#query;
    const parsed = parseQuery(packet, query);
    if (parsed === "drop") return 0;
    if (parsed !== "ok") return writeEmpty(packet, query, parsed, out);
    if (query.name === undefined) return -1;
    const found = this.#names.find(asker.networks, query.name, query.qtype);
    if (found.kind !== "unknown") {
      const udp = proto === "udp";
      return writeAnswer(packet, query, found, out, udp ? query.udpBytes : MAX_TCP_BYTES, udp);
    }
    const address = query.qtype === TYPE.A || query.qtype === TYPE.AAAA;
    if (asker.keepsShortNames && address && !query.name.includes(".")) {
      return writeEmpty(packet, query, RCODE.NOERROR, out);
    }
    return -1;
  }

  /** Asks the resolvers for a packet that `answer` gave -1 for. `packet` must stay as it is meanwhile. Never rejects. */
  async forward(packet: Buffer, asker: Asker, proto: "udp" | "tcp"): Promise<Buffer> {
    const upstreams = asker.upstreams ?? this.#hostUpstreams();
    const response = await this.#forwarder.forward(packet, upstreams, asker.outstanding, proto);
    return response ?? this.#error(packet, RCODE.SERVFAIL);
  }

  #error(packet: Buffer, rcode: Rcode): Buffer {
    const query = newQuery();
    parseQuery(packet, query);
    const out = Buffer.alloc(packet.length + 16); // an OPT record may come behind the question
    return out.subarray(0, writeEmpty(packet, query, rcode, out));
  }
}
