// The wire format, for the ordinary query: one question, perhaps EDNS. Parsed and answered straight in the bytes, because this runs for
// each packet of each container. names.ts has the contents; whole messages of upstreams are passed on unread by forward.ts.

import { type Lookup, TYPE } from "./names.ts";

/** Response codes (RFC 1035, 6891). BADVERS does not fit the header: its high bits travel in the OPT record. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

/** The TTL of everything we answer, in seconds. Docker's. */
export const ANSWER_TTL_S = 600;
/** What a client that says nothing can take over UDP (RFC 1035). */
export const PLAIN_UDP_BYTES = 512;
/** Our own limit over UDP, and what we advertise: the usual one (RFC 6891, 6.2.5). */
export const MAX_UDP_BYTES = 4096;
export const MAX_TCP_BYTES = 65535;

const HEADER_BYTES = 12;
const OPT_BYTES = 11; // root name, type, class, TTL, empty RDATA
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
const CLASS_IN = 1;
const CLASS_ANY = 255;
const NAME_POINTER = 0xc000 | HEADER_BYTES; // the question's name, where every answer's owner name points

/** What `parseQuery` found. One object is reused for all packets: it is valid until the next call. */
export type Query = {
  id: number;
  /** Lower case, no final dot; undefined where a label holds a dot or a control character, so that it can be no name of ours. */
  name: string | undefined;
  qtype: number;
  /** Where the question ends in the packet. */
  questionEnd: number;
  edns: boolean;
  dnssecOk: boolean;
  /** What the client takes over UDP, by its own word within our limits. */
  udpBytes: number;
};

/** `drop`: not a query at all, and answering it could start a loop. `error`: answer with this code. */
export type Parsed = "ok" | "drop" | Rcode;

export function newQuery(): Query {
  return { id: 0, name: undefined, qtype: 0, questionEnd: 0, edns: false, dnssecOk: false, udpBytes: PLAIN_UDP_BYTES };
}

const scratch = Buffer.allocUnsafeSlow(MAX_NAME_BYTES + 1);

/**
 * Reads a query into `query`. Never throws and reads nothing outside `packet`, whatever the bytes. After a code other than "ok" only `id`,
 * `questionEnd` (0 when the question is not to be echoed) and the EDNS fields hold.
 */
export function parseQuery(packet: Uint8Array, query: Query): Parsed {
  query.name = undefined;
  query.questionEnd = 0;
  query.edns = false;
  query.dnssecOk = false;
  query.udpBytes = PLAIN_UDP_BYTES;
  if (packet.length < HEADER_BYTES) return "drop";
  query.id = u16(packet, 0);
  const flags = packet[2]!;
  if ((flags & 0x80) !== 0) return "drop";
  if ((flags & 0x78) !== 0) return RCODE.NOTIMP;
  if (u16(packet, 4) !== 1) return RCODE.FORMERR;
  const nameEnd = readName(packet, query);
  if (nameEnd === 0 || nameEnd + 4 > packet.length) return RCODE.FORMERR;
  query.qtype = u16(packet, nameEnd);
  const qclass = u16(packet, nameEnd + 2);
  query.questionEnd = nameEnd + 4;
  const extra = readExtra(packet, query);
  if (extra !== "ok") return extra;
  if (qclass !== CLASS_IN && qclass !== CLASS_ANY) return RCODE.REFUSED;
  if (query.qtype === TYPE.AXFR || query.qtype === TYPE.IXFR) return RCODE.REFUSED;
  if (query.qtype === TYPE.OPT) return RCODE.FORMERR;
  return "ok";
}

/** Reads the question's name; the offset behind it, or 0 when it is malformed. A pointer has nothing to point to there. */
function readName(packet: Uint8Array, query: Query): number {
  let at = HEADER_BYTES;
  let length = 0;
  let ours = true;
  for (;;) {
    if (at >= packet.length) return 0;
    const label = packet[at++]!;
    if (label === 0) break;
    if (length > 0) scratch[length++] = 0x2e;
    // On the wire a name has two bytes more than its text: the first label's length and the final zero.
    if (label > MAX_LABEL_BYTES || length + label + 2 > MAX_NAME_BYTES || at + label > packet.length) return 0;
    for (const end = at + label; at < end; at++) {
      const byte = packet[at]!;
      if (byte === 0x2e || byte <= 0x20 || byte >= 0x7f) ours = false;
      scratch[length++] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    }
  }
  if (ours) query.name = scratch.toString("latin1", 0, length);
  return at;
}

/** Walks the records behind the question, in search of the OPT record. A query has no answers; other records are passed over. */
function readExtra(packet: Uint8Array, query: Query): Parsed {
  if (u16(packet, 6) !== 0) return RCODE.FORMERR;
  let count = u16(packet, 8) + u16(packet, 10);
  let at = query.questionEnd;
  for (; count > 0; count--) {
    const name = at;
    at = skipName(packet, at);
    if (at === 0 || at + 10 > packet.length) return RCODE.FORMERR;
    const type = u16(packet, at);
    const next = at + 10 + u16(packet, at + 8);
    if (next > packet.length) return RCODE.FORMERR;
    if (type === TYPE.OPT) {
      if (query.edns || packet[name] !== 0) return RCODE.FORMERR;
      query.edns = true;
      query.udpBytes = Math.min(Math.max(u16(packet, at + 2), PLAIN_UDP_BYTES), MAX_UDP_BYTES);
      query.dnssecOk = (packet[at + 6]! & 0x80) !== 0;
      if (packet[at + 5] !== 0) return RCODE.BADVERS;
    }
    at = next;
  }
  return "ok";
}

function skipName(packet: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    if (at >= packet.length) return 0;
    const label = packet[at]!;
    if (label === 0) return at + 1;
    if ((label & 0xc0) === 0xc0) return at + 2;
    if (label > MAX_LABEL_BYTES) return 0;
    at += label + 1;
  }
}

/** Writes a response with no records; its length. Used for errors and for names without the type asked for. */
export function writeEmpty(packet: Uint8Array, query: Query, rcode: Rcode, out: Uint8Array): number {
  return finish(query, out, start(packet, query, rcode, out), 0, rcode);
}

/**
 * Writes the response to `lookup` (anything but "unknown") into `out`; its length, at most `maxBytes`. Addresses that do not fit are left
 * out, and TC says so when `udp`. Addresses are shuffled: most clients take the first.
 */
export function writeAnswer(
  packet: Uint8Array,
  query: Query,
  lookup: Exclude<Lookup, { kind: "unknown" }>,
  out: Uint8Array,
  maxBytes: number,
  udp: boolean,
): number {
  if (lookup.kind === "absent") return writeEmpty(packet, query, RCODE.NXDOMAIN, out);
  let at = start(packet, query, RCODE.NOERROR, out);
  if (query.qtype === TYPE.ANY) return finish(query, out, writeMinimalAny(out, at), 1, RCODE.NOERROR);
  if (lookup.kind === "nodata") return finish(query, out, at, 0, RCODE.NOERROR);
  const room = maxBytes - (query.edns ? OPT_BYTES : 0);
  if (lookup.kind === "pointer") {
    const rdata = packName(lookup.name);
    if (rdata === undefined || at + 12 + rdata.length > room) return writeEmpty(packet, query, RCODE.SERVFAIL, out);
    return finish(query, out, writeRecord(out, at, query.qtype, rdata), 1, RCODE.NOERROR);
  }
  const order = lookup.addresses as Uint8Array[]; // shuffled in place: order carries no meaning in the table
  let answers = 0;
  for (; answers < order.length; answers++) {
    const pick = answers + Math.floor(Math.random() * (order.length - answers));
    const address = order[pick]!;
    if (at + 12 + address.length > room) {
      if (udp) out[2]! |= 0x02; // TC
      break;
    }
    order[pick] = order[answers]!;
    order[answers] = address;
    at = writeRecord(out, at, query.qtype, address);
  }
  return finish(query, out, at, answers, RCODE.NOERROR);
}

/** Header and question: flags as Docker's (qr, ra, and rd, cd as asked; no aa), the name in the asker's own case. */
function start(packet: Uint8Array, query: Query, rcode: Rcode, out: Uint8Array): number {
  const end = Math.max(query.questionEnd, HEADER_BYTES);
  for (let i = 0; i < end; i++) out[i] = packet[i]!;
  out[2] = 0x80 | (packet[2]! & 0x79);
  out[3] = 0x80 | (packet[3]! & 0x10) | (rcode & 0x0f);
  if (query.questionEnd === 0) put16(out, 4, 0);
  return end;
}

function finish(query: Query, out: Uint8Array, from: number, answers: number, rcode: Rcode): number {
  let at = from;
  out[6] = answers >> 8;
  out[7] = answers & 0xff;
  put16(out, 8, 0);
  out[10] = 0;
  out[11] = query.edns ? 1 : 0;
  if (!query.edns) return at;
  out[at++] = 0;
  at = put16(out, at, TYPE.OPT);
  at = put16(out, at, MAX_UDP_BYTES);
  out[at++] = rcode >> 4;
  out[at++] = 0;
  at = put16(out, at, query.dnssecOk ? 0x8000 : 0);
  return put16(out, at, 0);
}

function writeRecord(out: Uint8Array, from: number, type: number, rdata: Uint8Array): number {
  let at = put16(out, from, NAME_POINTER);
  at = put16(out, at, type);
  at = put16(out, at, CLASS_IN);
  at = put16(out, at, 0);
  at = put16(out, at, ANSWER_TTL_S);
  at = put16(out, at, rdata.length);
  for (let i = 0; i < rdata.length; i++) out[at++] = rdata[i]!;
  return at;
}

/** ANY of a name of ours gets the small answer that RFC 8482 has for it: HINFO "RFC8482" "". */
function writeMinimalAny(out: Uint8Array, at: number): number {
  return writeRecord(out, at, TYPE.HINFO, Buffer.from("\x07RFC8482\x00", "latin1"));
}

/** A name in wire format, or undefined when it has no such form (an empty or too long label). */
function packName(name: string): Uint8Array | undefined {
  const parts: Buffer[] = [];
  for (const label of name.split(".")) {
    const bytes = Buffer.from(label, "utf8");
    if (bytes.length === 0 || bytes.length > MAX_LABEL_BYTES) return undefined;
    parts.push(Buffer.from([bytes.length]), bytes);
  }
  const packed = Buffer.concat([...parts, Buffer.from([0])]);
  return packed.length > MAX_NAME_BYTES ? undefined : packed;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function put16(out: Uint8Array, at: number, value: number): number {
  out[at] = value >> 8;
  out[at + 1] = value & 0xff;
  return at + 2;
}
