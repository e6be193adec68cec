import { deepEqual, equal, throws } from "node:assert/strict";
import { BlockList } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { bytesToIp, bytesToMac, canonicalCidr, ipToBytes, macToBytes, parseCidr, sockaddr } from "./ip.ts";

test("addresses go to bytes and back in their shortest form", () => {
  for (const [text, short] of [
    ["10.0.1.4", "10.0.1.4"],
    ["::", "::"],
    ["::1", "::1"],
    ["fd00::", "fd00::"],
    ["fd00:0:0:0:0:0:0:1", "fd00::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"], // one zero group stays (RFC 5952)
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8::1:0:0:1", "2001:db8::1:0:0:1"], // of equals, the first
    ["FE80::ABCD", "fe80::abcd"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
    ["fe80::1%eth0", "fe80::1"],
  ] as const) {
    equal(bytesToIp(ipToBytes(text)), short);
  }
});

test("any bytes are an address, which reads back as the same bytes and is canonical to node too", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const text = bytesToIp(bytes);
      deepEqual(ipToBytes(text), bytes);
      const list = new BlockList();
      list.addAddress(text, "ipv6");
      equal(list.check(text, "ipv6"), true);
    }),
  );
});

test("prefixes and MAC addresses are checked", () => {
  deepEqual(parseCidr("10.0.1.4/24"), { ip: "10.0.1.4", prefix: 24 });
  deepEqual(parseCidr("10.0.1.4"), { ip: "10.0.1.4", prefix: 32 });
  deepEqual(parseCidr("fd00::1"), { ip: "fd00::1", prefix: 128 });
  equal(canonicalCidr("FD00:0::1/64"), "fd00::1/64");
  for (const bad of [
    "",
    "10.0.1/24",
    "10.0.1.4/",
    "10.0.1.4/33",
    "10.0.1.4/-1",
    "10.0.1.4/2/4",
    "fd00::1/129",
    "web/24",
  ]) {
    throws(() => parseCidr(bad), TypeError);
  }
  equal(bytesToMac(macToBytes("02:42:0A:00:01:04")), "02:42:0a:00:01:04");
  for (const bad of ["", "02:42", "02-42-0a-00-01-04", "02:42:0a:00:01:0g", "02:42:0a:00:01:04:05"]) {
    throws(() => macToBytes(bad), TypeError);
  }
});

test("socket addresses are laid out as C's", () => {
  equal(Buffer.from(sockaddr("10.0.1.4", 53)).toString("hex"), "020000350a0001040000000000000000");
  equal(
    Buffer.from(sockaddr("::1", 53)).toString("hex"),
    `0a000035${"00".repeat(4)}${"00".repeat(15)}01${"00".repeat(4)}`,
  );
});
