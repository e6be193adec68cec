import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type DecodedPacket, decode, encode, type RecordType } from "dns-packet";
import fc from "fast-check";
import { type Ask, answersQuery, Forwarder, MAX_OUTSTANDING, TOTAL_MS } from "./forward.ts";
import { askByTcp } from "./tcp-ask.ts";
import { FrameReader, frame } from "./tcp-frames.ts";
import { TinyUpstream } from "./tiny-upstream.ts";
import { UdpAsker } from "./udp-ask.ts";
import { parseResolvConf, readUpstreams, toUpstreams, type Upstream, watchUpstreams } from "./upstreams.ts";

const LONG_MS = 5000;
const A: Upstream = { address: "192.0.2.1", port: 53 };
const B: Upstream = { address: "192.0.2.2", port: 53 };

function aQuery(name: string, id = 4711, type: RecordType = "A"): Buffer {
  return encode({ type: "query", id, flags: 0x100, questions: [{ name, type }] });
}

function aResponse(query: Buffer, rcode: number): Buffer {
  const response = Buffer.from(query);
  response[2] = 0x81;
  response[3] = 0x80 | rcode;
  return response;
}

function dataOf(response: Buffer): unknown[] {
  return decode(response).answers!.map((a) => (a as { data: unknown }).data);
}

function rcodeOf(response: Buffer | undefined): string | undefined {
  return response && (decode(response) as DecodedPacket & { rcode: string }).rcode;
}

function aForwarder(ask: Ask): Forwarder {
  return new Forwarder({ udp: ask, tcp: ask, nowMs: () => 0 });
}

async function anUpstream(t: TestContext): Promise<TinyUpstream> {
  const upstream = await TinyUpstream.start("127.0.0.1");
  t.after(() => upstream.stop());
  return upstream;
}

test("the next resolver is asked after silence, SERVFAIL and REFUSED, and not after NXDOMAIN", async () => {
  const cases: [first: number | "silent", answered: string, asked: number][] = [
    [0, "NOERROR", 1],
    [3, "NXDOMAIN", 1],
    [2, "NOERROR", 2],
    [5, "NOERROR", 2],
    ["silent", "NOERROR", 2],
  ];
  for (const [first, answered, count] of cases) {
    const asked: string[] = [];
    const forwarder = aForwarder(async (upstream, query) => {
      asked.push(upstream.address);
      if (upstream === B) return aResponse(query, 0);
      if (first === "silent") throw new Error("no answer in time");
      return aResponse(query, first);
    });
    const outstanding = { count: 0 };
    equal(rcodeOf(await forwarder.forward(aQuery("x.test"), [A, B], outstanding, "udp")), answered);
    equal(asked.length, count);
    equal(outstanding.count, 0);
  }
});

test("when nobody has better, the failure that somebody reported is passed on; without resolvers there is nothing", async () => {
  const failing = aForwarder(async (upstream, query) => {
    if (upstream === B) throw new Error("unreachable");
    return aResponse(query, 5);
  });
  equal(rcodeOf(await failing.forward(aQuery("x.test"), [A, B], { count: 0 }, "udp")), "REFUSED");
  equal(await failing.forward(aQuery("x.test"), [], { count: 0 }, "udp"), undefined);
  equal(await failing.forward(aQuery("x.test"), [B], { count: 0 }, "udp"), undefined);
});

test("all tries together stay under the asker's 5 s", async () => {
  let nowMs = 0;
  const timeouts: number[] = [];
  const silent: Ask = async (_upstream, _query, timeoutMs) => {
    timeouts.push(timeoutMs);
    nowMs += timeoutMs;
    throw new Error("no answer in time");
  };
  const forwarder = new Forwarder({ udp: silent, tcp: silent, nowMs: () => nowMs });
  equal(await forwarder.forward(aQuery("x.test"), [A, B], { count: 0 }, "udp"), undefined);
  deepEqual(timeouts, [2000, 2000, 500]); // the last is A's second chance
  equal(nowMs, TOTAL_MS);
});

test("a datagram that was lost is sent again, and who said SERVFAIL is not asked again", async () => {
  const asked: string[] = [];
  const forwarder = aForwarder(async (upstream, query) => {
    asked.push(upstream.address);
    if (upstream === B) return aResponse(query, 2);
    if (asked.length === 1) throw new Error("no answer in time");
    return aResponse(query, 0);
  });
  equal(rcodeOf(await forwarder.forward(aQuery("x.test"), [A, B], { count: 0 }, "udp")), "NOERROR");
  deepEqual(asked, [A.address, B.address, A.address]);
});

test("a container with too many queries under way is refused more, and another is not", async () => {
  const held: (() => void)[] = [];
  const forwarder = aForwarder(
    (_upstream, query) => new Promise((resolve) => held.push(() => resolve(aResponse(query, 0)))),
  );
  const greedy = { count: 0 };
  const all = Array.from({ length: MAX_OUTSTANDING }, () => forwarder.forward(aQuery("x.test"), [A], greedy, "udp"));
  equal(await forwarder.forward(aQuery("x.test"), [A], greedy, "udp"), undefined);
  const other = forwarder.forward(aQuery("x.test"), [A], { count: 0 }, "udp");
  equal(held.length, MAX_OUTSTANDING + 1);
  for (const release of held) release();
  ok((await Promise.all([...all, other])).every((response) => response !== undefined));
  equal(greedy.count, 0);
});

test("over UDP the id and the port are ours, the answer's id the asker's", async (t) => {
  const upstream = await anUpstream(t);
  const asker = new UdpAsker();
  t.after(() => asker.close());
  const forwarder = new Forwarder({ udp: (...args) => asker.ask(...args), tcp: askByTcp, nowMs: () => 0 });
  const all = Array.from({ length: 200 }, (_, id) =>
    forwarder.forward(aQuery("Example.test", id), [upstream], { count: 0 }, "udp"),
  );
  for (const [id, response] of (await Promise.all(all)).entries()) {
    equal(response?.readUInt16BE(0), id);
    deepEqual(dataOf(response!), ["203.0.113.7"]);
  }
});

test("a false answer is not believed", async (t) => {
  const upstream = await anUpstream(t);
  const asker = new UdpAsker();
  t.after(() => asker.close());
  deepEqual(dataOf(await asker.ask(upstream, aQuery("spoof.test"), LONG_MS)), ["203.0.113.9"]);
});

test("a silent resolver is given up, a closed port at once, and the next query is served all the same", async (t) => {
  const upstream = await anUpstream(t);
  const asker = new UdpAsker();
  t.after(() => asker.close());
  await rejects(asker.ask(upstream, aQuery("slow.test"), 30), /no answer in time/);
  deepEqual(dataOf(await asker.ask(upstream, aQuery("example.test"), LONG_MS)), ["203.0.113.7"]);
  const gone = { address: "127.0.0.1", port: upstream.port };
  await upstream.stop();
  await rejects(asker.ask(gone, aQuery("example.test"), LONG_MS), /ECONNREFUSED/);
  await rejects(askByTcp(gone, aQuery("example.test"), LONG_MS), /ECONNREFUSED/);
  upstream.stop = async () => {};
});

test("over TCP the whole of a big answer comes", async (t) => {
  const upstream = await anUpstream(t);
  equal(dataOf(await askByTcp(upstream, aQuery("big.test"), LONG_MS)).length, 200);
  await rejects(askByTcp(upstream, aQuery("slow.test"), 30), /no answer in time/);
});

test("answersQuery wants a response to the same question, whatever its case", () => {
  const query = aQuery("a.test");
  const end = query.length;
  ok(answersQuery(aResponse(query, 0), query, end));
  ok(answersQuery(aResponse(aQuery("A.TEST"), 0), query, end));
  ok(!answersQuery(query, query, end));
  ok(!answersQuery(aResponse(aQuery("b.test"), 0), query, end));
  ok(!answersQuery(aResponse(query, 0).subarray(0, end - 1), query, end));
  const bare = aResponse(query, 1).subarray(0, 12);
  bare.writeUInt16BE(0, 4);
  ok(answersQuery(bare, query, end), "FORMERR without a question is an answer");
});

test("a stream is cut into the messages it was made of, however it arrives", () => {
  const message = fc.uint8Array({ minLength: 2, maxLength: 300 });
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
      (messages, cuts) => {
        const stream = Buffer.concat(messages.map(frame));
        const got: number[][] = [];
        const reader = new FrameReader((m) => got.push([...m]));
        for (let at = 0, i = 0; at < stream.length; i++) {
          const next = at + cuts[i % cuts.length]!;
          reader.push(stream.subarray(at, next));
          at = next;
        }
        deepEqual(
          got,
          messages.map((m) => [...m]),
        );
      },
    ),
  );
});

test("resolv.conf is read as libc reads it", () => {
  const text =
    "# made by hand\nnameserver 10.0.0.1 # office\nsearch old\nnameserver\t::1\n;x\ndomain lan\noptions ndots:2 timeout:1\noptions rotate\nsortlist x";
  deepEqual(parseResolvConf(text), {
    nameservers: ["10.0.0.1", "::1"],
    search: ["lan"],
    options: ["ndots:2", "timeout:1", "rotate"],
  });
  deepEqual(parseResolvConf(""), { nameservers: [], search: [], options: [] });
  deepEqual(
    toUpstreams(["dns.google", "1.1.1.1", "fe80::1%eth0", "9.9.9.9", "8.8.8.8"]).map((u) => u.address),
    ["1.1.1.1", "fe80::1%eth0", "9.9.9.9"],
  );
});

test("a resolv.conf that is written, replaced, or changes behind a symlink that moves is read again", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "skep-dns-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const target = join(dir, "stub-resolv.conf");
  const path = join(dir, "resolv.conf");
  deepEqual(readUpstreams(path), []);
  writeFileSync(target, "nameserver 10.0.0.1\n");
  symlinkSync(target, path);
  let heard: (upstreams: Upstream[]) => void = () => {};
  const stop = watchUpstreams(
    path,
    (upstreams) => heard(upstreams),
    (reason) => t.diagnostic(reason),
  );
  t.after(stop);
  const after = async (change: () => void, address: string): Promise<void> => {
    const seen = new Promise<void>((resolve) => {
      heard = (upstreams) => {
        if (upstreams[0]?.address === address) resolve();
      };
    });
    change();
    await seen;
  };
  await after(() => writeFileSync(target, "nameserver 10.0.0.2\n"), "10.0.0.2");
  await after(() => {
    writeFileSync(join(dir, "new"), "nameserver 10.0.0.3\n");
    renameSync(join(dir, "new"), path);
  }, "10.0.0.3");
  const elsewhere = join(dir, "run");
  mkdirSync(elsewhere);
  await after(() => {
    writeFileSync(join(elsewhere, "resolv.conf"), "nameserver 10.0.0.4\n");
    symlinkSync(join(elsewhere, "resolv.conf"), join(dir, "link"));
    renameSync(join(dir, "link"), path);
  }, "10.0.0.4");
  await after(() => writeFileSync(join(elsewhere, "resolv.conf"), "nameserver 10.0.0.5\n"), "10.0.0.5");
});
