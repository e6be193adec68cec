import { deepEqual, equal, ok } from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { test } from "node:test";
import { type Answer, type DecodedPacket, decode, encode, type Packet, type RecordType } from "dns-packet";
import fc from "fast-check";
import { packAddress } from "./addresses.ts";
import { type Lookup, TYPE } from "./names.ts";
import { ANSWER_TTL_S, newQuery, type Parsed, parseQuery, RCODE, writeAnswer, writeEmpty } from "./packet.ts";

const RECURSION_DESIRED = 0x100;
const CHECKING_DISABLED = 0x10;

function aQuery(name: string, type: RecordType | "ANY" = "A", part: Partial<Packet> = {}): Buffer {
  return encode({
    type: "query",
    id: 4711,
    flags: RECURSION_DESIRED,
    questions: [{ name, type: type as RecordType }],
    ...part,
  });
}

function edns(udpPayloadSize: number, part: object = {}): Partial<Packet> {
  const opt = {
    type: "OPT",
    name: ".",
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  return { additionals: [{ ...opt, ...part } as unknown as Answer] };
}

function addresses(...texts: string[]): Lookup {
  return { kind: "answers", addresses: texts.map(packAddress) };
}

/** dns-packet's types leave the rcode out. */
function read(packet: Buffer): DecodedPacket & { rcode: string } {
  return decode(packet) as DecodedPacket & { rcode: string };
}

type Known = Exclude<Lookup, { kind: "unknown" }>;

/** Our answer, as dns-packet reads it. */
function answer(packet: Buffer, lookup: Lookup, maxBytes?: number, udp = true) {
  const query = newQuery();
  equal(parseQuery(packet, query), "ok");
  const out = Buffer.alloc(65535);
  const length = writeAnswer(packet, query, lookup as Known, out, maxBytes ?? query.udpBytes, udp);
  return { length, ...read(out.subarray(0, length)) };
}

test("a query is read as dns-packet wrote it", () => {
  const query = newQuery();
  const packet = aQuery("WeB.My-Swarm-Net", "AAAA", edns(1232, { flag_do: true, flags: 0x8000 }));
  equal(parseQuery(packet, query), "ok");
  equal(query.name, "web.my-swarm-net");
  equal(query.qtype, TYPE.AAAA);
  equal(query.id, 4711);
  deepEqual([query.edns, query.udpBytes, query.dnssecOk], [true, 1232, true]);
});

test("an answer has Docker's flags and TTL and keeps the asker's case", () => {
  const got = answer(aQuery("WEB"), addresses("10.0.1.2"));
  equal(got.id, 4711);
  equal(got.rcode, "NOERROR");
  const { flag_qr, flag_aa, flag_tc, flag_rd, flag_ra, flag_ad, flag_cd } = got;
  deepEqual(
    [flag_qr, flag_aa, flag_tc, flag_rd, flag_ra, flag_ad, flag_cd],
    [true, false, false, true, true, false, false],
  );
  deepEqual(got.questions, [{ name: "WEB", type: "A", class: "IN" }]);
  equal(got.additionals?.length, 0);
  const { name, type, ttl, data } = got.answers![0] as { name: string; type: string; ttl: number; data: string };
  deepEqual([name, type, ttl, data], ["WEB", "A", ANSWER_TTL_S, "10.0.1.2"]);
});

test("flags that were not asked for are not set, and cd is kept", () => {
  const got = answer(aQuery("web", "A", { flags: CHECKING_DISABLED }), addresses("10.0.1.2"));
  deepEqual([got.flag_rd, got.flag_cd], [false, true]);
});

test("AAAA, PTR, nodata and absent", () => {
  const data = (got: ReturnType<typeof answer>): unknown[] => got.answers!.map((a) => (a as { data: unknown }).data);
  deepEqual(data(answer(aQuery("x", "AAAA"), addresses("fd00::1"))), ["fd00::1"]);
  deepEqual(data(answer(aQuery("4.1.0.10.in-addr.arpa", "PTR"), { kind: "pointer", name: "web.1.x.net" })), [
    "web.1.x.net",
  ]);
  const empty = answer(aQuery("web", "MX"), { kind: "nodata" });
  deepEqual([empty.rcode, empty.answers?.length], ["NOERROR", 0]);
  equal(answer(aQuery("tasks.web"), { kind: "absent" }).rcode, "NXDOMAIN");
});

test("ANY gets RFC 8482's one record", () => {
  const got = answer(aQuery("web", "ANY"), { kind: "nodata" });
  deepEqual((got.answers![0] as { data: unknown }).data, { cpu: "RFC8482", os: "" });
  equal(got.answers?.length, 1);
});

test("several addresses come in varying order, every one first now and then", () => {
  const lookup = addresses("10.0.1.3", "10.0.1.4", "10.0.1.5");
  const firsts = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const got = answer(aQuery("tasks.web"), lookup).answers!.map((a) => (a as { data: string }).data);
    firsts.add(got[0]!);
    deepEqual(got.toSorted(), ["10.0.1.3", "10.0.1.4", "10.0.1.5"]);
  }
  equal(firsts.size, 3);
});

test("EDNS is answered with EDNS, and only then", () => {
  const got = answer(aQuery("web", "A", edns(1232)), addresses("10.0.1.2"));
  equal(got.additionals?.length, 1);
  const opt = got.additionals![0] as unknown as { type: string; udpPayloadSize: number };
  deepEqual([opt.type, opt.udpPayloadSize], ["OPT", 4096]);
});

test("what does not fit is left out with TC over UDP, and all of it is there over TCP", () => {
  const many = addresses(...Array.from({ length: 300 }, (_, i) => `10.0.${i >> 8}.${i & 255}`));
  for (const [packet, max] of [
    [aQuery("tasks.web"), 512],
    [aQuery("tasks.web", "A", edns(1232)), 1232],
    [aQuery("tasks.web", "A", edns(100)), 512],
  ] as const) {
    const got = answer(packet, many);
    ok(got.flag_tc);
    ok(got.length <= max && got.length > max - 16, `${got.length} of ${max}`);
  }
  const roomy = answer(
    aQuery("tasks.web", "A", edns(65535)),
    addresses(...Array.from({ length: 200 }, (_, i) => `10.0.0.${i}`)),
  );
  deepEqual([roomy.flag_tc, roomy.answers?.length], [false, 200]);
  const whole = answer(aQuery("tasks.web"), many, 65535, false);
  deepEqual([whole.flag_tc, whole.answers?.length], [false, 300]);
});

test("what is no proper query gets the proper error, or nothing", () => {
  const query = newQuery();
  const put = (packet: Buffer, at: number, value: number): Buffer => {
    packet.writeUInt16BE(value, at);
    return packet;
  };
  const chaos = aQuery("version.bind", "TXT", { questions: [{ name: "version.bind", type: "TXT", class: "CH" }] });
  const cases: [what: string, packet: Buffer, parsed: Parsed][] = [
    ["an empty packet", Buffer.alloc(0), "drop"],
    ["half a header", aQuery("web").subarray(0, 11), "drop"],
    ["a response", put(aQuery("web"), 2, 0x8180), "drop"],
    ["an update", put(aQuery("web"), 2, 5 << 11), RCODE.NOTIMP],
    ["no question", put(aQuery("web"), 4, 0), RCODE.FORMERR],
    ["two questions", put(aQuery("web"), 4, 2), RCODE.FORMERR],
    ["an answer in a query", put(aQuery("web"), 6, 1), RCODE.FORMERR],
    ["a name cut short", aQuery("web").subarray(0, 15), RCODE.FORMERR],
    ["a question cut short", aQuery("web").subarray(0, 19), RCODE.FORMERR],
    [
      "a pointer as name",
      Buffer.concat([aQuery("web").subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]),
      RCODE.FORMERR,
    ],
    ["a record that is not there", put(aQuery("web"), 10, 1), RCODE.FORMERR],
    ["EDNS version 1", aQuery("web", "A", edns(512, { ednsVersion: 1 })), RCODE.BADVERS],
    [
      "EDNS twice",
      aQuery("web", "A", { additionals: [...edns(512).additionals!, ...edns(512).additionals!] }),
      RCODE.FORMERR,
    ],
    ["class CH", chaos, RCODE.REFUSED],
    ["a zone transfer", aQuery("web", "AXFR"), RCODE.REFUSED],
  ];
  const out = Buffer.alloc(4096);
  for (const [what, packet, parsed] of cases) {
    equal(parseQuery(packet, query), parsed, what);
    if (typeof parsed !== "number") continue;
    const got = decode(out.subarray(0, writeEmpty(packet, query, parsed, out)));
    deepEqual([got.id, got.type, got.answers?.length], [4711, "response", 0], what);
    equal(out[3]! & 0x0f, parsed & 0x0f, what);
  }
});

test("names at the limits: 255 bytes are a name, 256 are not, and odd bytes are nobody's", () => {
  const query = newQuery();
  const header = Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const name = (...labels: Buffer[]): Buffer => {
    const parts = labels.flatMap((label) => [Buffer.from([label.length]), label]);
    return Buffer.concat([header, ...parts, Buffer.from([0, 0, 1, 0, 1])]);
  };
  const label = (length: number): Buffer => Buffer.alloc(length, "a");
  equal(parseQuery(name(label(63), label(63), label(63), label(61)), query), "ok");
  equal(query.name?.length, 253);
  equal(parseQuery(name(label(63), label(63), label(63), label(62)), query), RCODE.FORMERR);
  equal(parseQuery(name(), query), "ok");
  equal(query.name, "");
  for (const odd of ["a.b", "a\0", "\xff", "a b"]) {
    equal(parseQuery(name(Buffer.from(odd, "latin1")), query), "ok");
    equal(query.name, undefined);
  }
});

test("whatever dns-packet can ask, we read alike", () => {
  const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,63}$/);
  const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
  const type = fc.constantFrom<RecordType | "ANY">("A", "AAAA", "PTR", "MX", "TXT", "SRV", "ANY");
  fc.assert(
    fc.property(name, type, fc.boolean(), fc.nat(65535), (asked, qtype, withEdns, id) => {
      const packet = aQuery(asked, qtype, { id, ...(withEdns ? edns(1400) : {}) });
      const query = newQuery();
      equal(parseQuery(packet, query), "ok");
      deepEqual([query.id, query.name, query.edns], [id, asked.toLowerCase(), withEdns]);
      equal(read(packet).questions![0]!.name, asked);
    }),
  );
});

test("a million random packets do no harm", () => {
  const query = newQuery();
  const out = Buffer.alloc(65535);
  const noise = randomFillSync(Buffer.alloc(1 << 20));
  const good = aQuery("tasks.web", "A", edns(1232));
  const lookup = addresses("10.0.1.3", "10.0.1.4") as Known;
  let answered = 0;
  for (let i = 0; i < 1_000_000; i++) {
    const at = (i * 7919) % (noise.length - 600);
    let packet = noise.subarray(at, at + noise[at]! * 2);
    if (i % 2 === 0) {
      // A good packet with one or two bytes changed, cut somewhere: gets deeper into the parser than noise does.
      packet = Buffer.from(good.subarray(0, good.length - (noise[at + 1]! % 8)));
      packet[noise[at + 2]! % packet.length] = noise[at + 3]!;
      packet[noise[at + 4]! % packet.length] = noise[at + 5]!;
    }
    const parsed = parseQuery(packet, query);
    if (parsed === "drop") continue;
    const length =
      parsed === "ok"
        ? writeAnswer(packet, query, lookup, out, query.udpBytes, true)
        : writeEmpty(packet, query, parsed, out);
    ok(length >= 12 && length <= 4096);
    answered++;
  }
  ok(answered > 100_000);
});
