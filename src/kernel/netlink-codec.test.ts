import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { errnoName, errnoText, isErrno, KernelError } from "./errno.ts";
import { Attributes, attributes, MessageWriter, messages, NLMSG_ERROR, readError } from "./netlink-codec.ts";

const only = (bytes: Buffer): Buffer => [...messages(bytes)][0]!.payload;

test("a message is laid out as the kernel's headers say", () => {
  const bytes = new MessageWriter(16, 0x605)
    .body(Uint8Array.of(1, 2, 3))
    .string(3, "lo")
    .u32(4, 1500)
    .u16be(15, 4789)
    .finish(7);
  equal(
    bytes.toString("hex"),
    [
      "2c000000 1000 0506 07000000 00000000", // length 44, type 16, flags, sequence, port
      "01020300", // padded body
      "0700 0300 6c6f0000", // IFLA_IFNAME "lo\0"
      "0800 0400 dc050000",
      "0600 0f00 12b50000",
    ]
      .join("")
      .replaceAll(" ", ""),
  );
});

test("nested attributes carry their length and the flag", () => {
  const bytes = new MessageWriter(0, 0)
    .nested(18, (m) => m.string(1, "veth").nested(2, (n) => n.u8(1, 9), false))
    .finish(1);
  const raw = only(bytes);
  equal(raw.readUInt16LE(2), 18 | 0x8000);
  const outer = new Attributes(raw).nested(18)!;
  equal(outer.string(1), "veth");
  equal(outer.nested(2)?.u8(1), 9);
  equal(outer.nested(3), undefined);
});

test("any attributes come back as they were written", () => {
  const attribute = fc.tuple(fc.integer({ min: 1, max: 0x3fff }), fc.uint8Array({ maxLength: 600 }));
  fc.assert(
    fc.property(fc.array(attribute, { maxLength: 20 }), fc.integer({ min: 0, max: 0xffffffff }), (list, sequence) => {
      const m = new MessageWriter(20, 1);
      for (const [type, value] of list) m.bytes(type, value);
      const [read] = [...messages(m.finish(sequence))];
      equal(read?.sequence, sequence);
      deepEqual(
        [...attributes(read!.payload)].map(([type, value]) => [type, Uint8Array.from(value)]),
        list.map(([type, value]) => [type, Uint8Array.from(value)]),
      );
    }),
  );
});

test("any bytes at all are read or refused, never read past their end", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const read of [() => [...messages(Buffer.from(bytes))], () => new Attributes(Buffer.from(bytes))]) {
        try {
          read();
        } catch (e) {
          if (!(e instanceof RangeError)) throw e;
        }
      }
    }),
  );
});

test("lengths that do not fit are refused", () => {
  throws(() => [...messages(Buffer.alloc(16))], RangeError); // length 0
  throws(() => [...messages(Buffer.from([100, ...new Array(15).fill(0)]))], RangeError);
  throws(() => new Attributes(Buffer.from([3, 0, 1, 0])), RangeError);
  throws(() => new Attributes(Buffer.from([9, 0, 1, 0, 0, 0, 0, 0])), RangeError);
});

test("an error reply gives number and words, capped or not", () => {
  const words = only(new MessageWriter(0, 0).string(1, "Device does not exist").finish(0));
  const request = new MessageWriter(16, 5).u32(4, 1500).finish(1);
  const number = Buffer.from(Int32Array.of(-19).buffer);
  const reply = (flags: number, ...parts: Buffer[]) => ({
    type: NLMSG_ERROR,
    flags,
    sequence: 1,
    payload: Buffer.concat(parts),
  });
  const expected = { errno: 19, extAck: "Device does not exist" };
  deepEqual(readError(reply(0x300, number, request.subarray(0, 16), words)), expected);
  deepEqual(readError(reply(0x200, number, request, words)), expected);
  deepEqual(readError(reply(0x100, number, request.subarray(0, 16))), { errno: 19 });
  deepEqual(readError(reply(0, Buffer.alloc(4), request.subarray(0, 16))), { errno: 0 });
});

test("numbers have names, and errors are known by them", () => {
  deepEqual([17, 11, 95, 524, 9999].map(errnoName), ["EEXIST", "EAGAIN", "EOPNOTSUPP", "ENOTSUPP", "E9999"]);
  equal(errnoText(9999), "");
  const e = new KernelError("bind", 98, { what: "bind a socket" });
  equal(isErrno(e, "EEXIST", "EADDRINUSE"), true);
  equal(isErrno(e, "EEXIST"), false);
  equal(isErrno(Object.assign(new Error("x"), { code: "ENOENT" }), "ENOENT"), true);
  equal(isErrno("ENOENT", "ENOENT"), false);
  equal(e.message, "cannot bind a socket: EADDRINUSE (address already in use) from bind");
});
