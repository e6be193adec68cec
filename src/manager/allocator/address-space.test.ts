// The order in which addresses are handed out and taken back.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatIp, parseCidr, parseIp } from "../../model/ip.ts";
import { AddressSpace } from "./address-space.ts";

const space = (subnet: string, range?: string) =>
  new AddressSpace(parseCidr(subnet).prefix, range ? parseCidr(range).prefix : undefined);
const text = (s: AddressSpace, value: bigint | undefined) =>
  value === undefined ? undefined : formatIp({ family: s.subnet.family, value });
const take = (s: AddressSpace, n: number) => Array.from({ length: n }, (_, i) => text(s, s.take(`o${i}`)));

test("addresses come in order, without the network's own and the broadcast", () => {
  const s = space("10.0.1.0/29");
  s.reserve(parseIp("10.0.1.1"), "gateway");
  deepEqual(take(s, 6), ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5", "10.0.1.6", undefined]);
});

test("a freed address is taken again as late as possible", () => {
  const s = space("10.0.1.0/29");
  const [first] = [s.take("a"), s.take("b")];
  s.release(first!, "a");
  deepEqual(take(s, 5), ["10.0.1.3", "10.0.1.4", "10.0.1.5", "10.0.1.6", "10.0.1.1"]);
});

test("only its owner gives an address back", () => {
  const s = space("10.0.1.0/30");
  const a = s.take("a")!;
  equal(s.release(a, "b"), false);
  equal(s.ownerOf(a), "a");
  equal(s.release(a, "a"), true);
  equal(s.release(a, "a"), false);
});

test("a range narrows what is handed out, not what can be asked for", () => {
  const s = space("10.5.0.0/16", "10.5.7.0/30");
  deepEqual(take(s, 5), ["10.5.7.0", "10.5.7.1", "10.5.7.2", "10.5.7.3", undefined]);
  equal(s.reserve(parseIp("10.5.200.1"), "x"), true);
  equal(s.reserve(parseIp("10.5.200.1"), "y"), false);
  equal(s.reserve(parseIp("10.6.0.1"), "x"), false);
});

test("IPv6: a /64 is as easy as a /24, and its last address is an address", () => {
  const s = space("fd00:1::/64");
  deepEqual(take(s, 2), ["fd00:1::1", "fd00:1::2"]);
  deepEqual(take(space("fd00:1::/126"), 4), ["fd00:1::1", "fd00:1::2", "fd00:1::3", undefined]);
});

test("whatever is taken, reserved and released: no address has two owners, and none is lost", () => {
  const command = fc.oneof(
    fc.constant({ do: "take" as const }),
    fc.record({ do: fc.constant("reserve" as const), offset: fc.integer({ min: 0, max: 15 }) }),
    fc.record({ do: fc.constant("release" as const), which: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
      const s = space("10.0.0.0/28");
      const held = new Map<bigint, string>();
      for (const [i, c] of commands.entries()) {
        const owner = `o${i}`;
        if (c.do === "take") {
          const got = s.take(owner);
          const automatic = [...held.keys()].filter((v) => (v & 15n) >= 1n && (v & 15n) <= 14n).length;
          equal(got === undefined, automatic === 14);
          if (got === undefined) continue;
          ok(!held.has(got));
          held.set(got, owner);
        } else if (c.do === "reserve") {
          const value = s.subnet.base + BigInt(c.offset);
          const done = s.reserve({ family: 4, value }, owner);
          equal(done, !held.has(value));
          if (done) held.set(value, owner);
        } else {
          const entry = [...held][c.which];
          if (!entry) continue;
          equal(s.release(...entry), true);
          held.delete(entry[0]);
        }
      }
      for (const [value, owner] of held) equal(s.ownerOf(value), owner);
    }),
  );
});
