// Asks the outside resolvers for names that are not ours, and hands their answers back unread. One slow resolver, or one container that
// asks too much, delays nobody else. upstreams.ts knows whom to ask; tcp-ask.ts and udp-ask.ts do one exchange.

import type { Upstream } from "./upstreams.ts";

/** How long one resolver is waited for. With three resolvers and the whole limit below, the asker's own 5 s are not passed. */
export const TRY_MS = 2000;
/** How long all tries together may take: libc's own timeout is 5 s, and an answer after that serves nobody. */
export const TOTAL_MS = 4500;
/** Outstanding queries of one container (Docker's maxConcurrent). More are answered SERVFAIL at once. */
export const MAX_OUTSTANDING = 1024;
/** How often a silent resolver is asked, time permitting. */
const ROUNDS = 2;
const RCODE_SERVFAIL = 2;
const RCODE_REFUSED = 5;

/** One exchange with one resolver. Rejects when it takes longer than `timeoutMs` or cannot be reached. */
export type Ask = (upstream: Upstream, query: Buffer, timeoutMs: number) => Promise<Buffer>;

/** One container's queries that are under way. */
export type Outstanding = { count: number };

/**
 * Forwards whole queries. `ask` is given a copy with an id of its own choosing; the response that `forward` returns carries the id of `query`.
 */
export class Forwarder {
  readonly #udp: Ask;
  readonly #tcp: Ask;
  readonly #nowMs: () => number;

  constructor(needs: { udp: Ask; tcp: Ask; nowMs: () => number }) {
    this.#udp = needs.udp;
    this.#tcp = needs.tcp;
    this.#nowMs = needs.nowMs;
  }

  /**
   * The first useful response: SERVFAIL and REFUSED make it try the next resolver, as Docker does, and are returned only when nobody has
   * better. Undefined when there is none (no resolver, no answer in time, too many queries under way): the asker is told SERVFAIL.
   */
  async forward(
    query: Buffer,
    upstreams: readonly Upstream[],
    outstanding: Outstanding,
    proto: "udp" | "tcp",
  ): Promise<Buffer | undefined> {
    if (upstreams.length === 0 || outstanding.count >= MAX_OUTSTANDING) return undefined;
    outstanding.count++;
    try {
      return await this.#askInTurn(query, upstreams, proto === "udp" ? this.#udp : this.#tcp);
    } finally {
      outstanding.count--;
    }
  }

  async #askInTurn(query: Buffer, upstreams: readonly Upstream[], ask: Ask): Promise<Buffer | undefined> {
    const deadline = this.#nowMs() + TOTAL_MS;
    let second: Buffer | undefined;
    // Twice round: a datagram may just have been lost. Whoever answered, even badly, is not asked again.
    let left = upstreams;
    for (let round = 0; round < ROUNDS && left.length > 0; round++) {
      const silent: Upstream[] = [];
      for (const upstream of left) {
        const leftMs = Math.min(TRY_MS, deadline - this.#nowMs());
        if (leftMs <= 0) return second;
        let response: Buffer;
        try {
          response = await ask(upstream, query, leftMs);
        } catch {
          silent.push(upstream); // silent or unreachable: what the next resolver is for
          continue;
        }
        response.writeUInt16BE(query.readUInt16BE(0), 0);
        const rcode = response[3]! & 0x0f;
        if (rcode !== RCODE_SERVFAIL && rcode !== RCODE_REFUSED) return response;
        second = response;
      }
      left = silent;
    }
    return second;
  }
}

/** Whether `response` answers `query`: a response, with the id, to the same question (in any case: some resolvers change it). */
export function answersQuery(response: Buffer, query: Buffer, questionEnd: number): boolean {
  if (response.length < 12 || (response[2]! & 0x80) === 0) return false;
  if (response.readUInt16BE(4) === 0) return response.length === 12 || (response[3]! & 0x0f) !== 0;
  if (response.length < questionEnd) return false;
  for (let i = 12; i < questionEnd; i++) if (lower(response[i]!) !== lower(query[i]!)) return false;
  return true;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
