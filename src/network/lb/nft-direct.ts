// What is said to nf_tables without libnftables, which before any change reads every chain and set that there is: replacing the one rule of
// a service's chain, telling from comments what a table was made from, and noting streams that are to be reset. The bytes are those that
// `nft` itself sends for the text in nft-rules.ts, so that it lists them as its own.
import {
  Attributes,
  attributes,
  bytesToIp,
  ipToBytes,
  isErrno,
  type Message,
  type MessageWriter,
  NETLINK_NETFILTER,
  NetlinkSocket,
  type NetnsRef,
} from "../../kernel/index.ts";
import {
  APPEND,
  CREATE,
  commentBytes,
  commentIn,
  header,
  message,
  NFT,
  type NftSocket,
  PROTOCOL,
} from "./nft-netlink.ts";
import { ENDED, type Family, type Pick, TABLE } from "./nft-rules.ts";

const [KEY, VALUE] = [1, 2];
const MAP_NAME = "__map%d"; // the kernel numbers it
const MAP_ID = 1; // within one transaction
const ANONYMOUS_CONSTANT_MAP = 0x1 | 0x2 | 0x8;
/** nft's numbers of its types, which it reads back: "integer", "ipv4_addr", "ipv6_addr" (src/datatype.c). */
const TYPE_INTEGER = 4;
const TYPE_ADDRESS: Record<Family, number> = { ip: 7, ip6: 8 };
const ADDRESS_BYTES: Record<Family, number> = { ip: 4, ip6: 16 };
/** Offset of the source address in the header. */
const SADDR_AT: Record<Family, number> = { ip: 12, ip6: 8 };
/** nft's notes to itself on a map: keys in host byte order, data in network byte order, no intervals. */
const MAP_NOTES = Buffer.from([0, 4, 1, 0, 0, 0, 1, 4, 2, 0, 0, 0, 6, 4, 0, 0, 0, 0]);
/** An attribute's length is 16 bits; nft splits what is longer over several messages, and so it is left to nft. */
const MAX_ELEMENTS_BYTES = 60_000;
const ELEMENT_BYTES = 64; // without its comment
/** Streams in one message. */
const STREAMS = 500;

/** A client's end and a VIP's. */
export interface Stream {
  readonly src: string;
  readonly srcPort: number;
  readonly dst: string;
  readonly dstPort: number;
}

/** Whether `replacePick` can do it. */
export function fits(pick: Pick): boolean {
  return pick.slots.reduce((n, s) => n + ELEMENT_BYTES + s.name.length, 0) < MAX_ELEMENTS_BYTES;
}

/** Puts a rule into a service's chain in place of what is there, in one step, whose cost is that of the rule. @throws KernelError */
export function replacePick(socket: NftSocket, family: Family, chain: string, pick: Pick): void {
  const flush = message(NFT.delRule, family, 0, (m) => m.string(1, TABLE).string(2, chain));
  const rule = message(NFT.newRule, family, CREATE | APPEND, (m) => {
    m.string(1, TABLE).string(2, chain);
    m.nested(4, () => expressions(m, family, pick));
    m.bytes(7, commentBytes(pick.comment));
  });
  const map = pick.slots.length > 0 ? mapMessages(family, pick) : [];
  socket.transact([flush, ...map, rule], `change the rules of ${chain}`);
}

/** Packets of these streams, which lead nowhere any more, are answered by a reset for a while. @throws KernelError */
export function endStreams(socket: NftSocket, family: Family, streams: readonly Stream[]): void {
  for (let i = 0; i < streams.length; i += STREAMS) {
    const some = streams.slice(i, i + STREAMS);
    const add = message(NFT.newElements, family, CREATE, (m) => {
      m.string(1, TABLE).string(2, ENDED);
      m.nested(3, () => {
        for (const stream of some) m.nested(1, () => m.nested(KEY, () => m.bytes(1, streamKey(stream))));
      });
    });
    socket.transact([add], "note ended streams");
  }
}

/** What a table's rules say of themselves: the comment of each chain's last one. No table, no comments. @throws KernelError */
export function readComments(netns: NetnsRef, family: Family): Map<string, string> {
  using socket = NetlinkSocket.open(NETLINK_NETFILTER, netns);
  const ask = (m: MessageWriter): MessageWriter => m.body(header(family)).string(1, TABLE);
  const rules = socket.dump(NFT.getRule, ask, "list rules", (m: Message) => {
    const rule = new Attributes(m.payload.subarray(4));
    const [table, chain] = [rule.string(1), rule.string(2)];
    return table === TABLE && chain !== undefined ? ([chain, commentIn(rule.bytes(7))] as const) : undefined;
  });
  return new Map(rules);
}

/** The map of marks: each mark's VIPs. No table, no marks. @throws KernelError */
export function readVips(netns: NetnsRef, family: Family): Map<number, string[]> {
  using socket = NetlinkSocket.open(NETLINK_NETFILTER, netns);
  const vips = new Map<number, string[]>();
  const ask = (m: MessageWriter): MessageWriter => m.body(header(family)).string(1, TABLE).string(2, "marks");
  try {
    const pairs = socket.dump(NFT.getElements, ask, "list marks", (m: Message) => {
      const elements = new Attributes(m.payload.subarray(4)).bytes(3) ?? Buffer.alloc(0);
      return [...attributes(elements)].flatMap(([, element]) => {
        const attrs = new Attributes(element);
        const [key, value] = [attrs.nested(KEY)?.bytes(1), attrs.nested(VALUE)?.bytes(1)];
        return key && value ? [{ vip: bytesToIp(key), mark: value.readUInt32LE(0) }] : [];
      });
    });
    for (const { vip, mark } of pairs.flat()) vips.set(mark, [...(vips.get(mark) ?? []), vip]);
  } catch (e) {
    if (!isErrno(e, "ENOENT")) throw e; // no table, no map
  }
  return vips;
}

function mapMessages(family: Family, { slots }: Pick): MessageWriter[] {
  const set = message(NFT.newSet, family, CREATE, (m) => {
    m.string(1, TABLE).string(2, MAP_NAME).u32be(3, ANONYMOUS_CONSTANT_MAP).u32be(4, TYPE_INTEGER).u32be(5, 4);
    m.u32be(6, TYPE_ADDRESS[family]).u32be(7, ADDRESS_BYTES[family]).u32be(10, MAP_ID);
    m.nested(9, () => m.u32be(1, slots.length));
    m.bytes(13, MAP_NOTES);
  });
  const elements = message(NFT.newElements, family, CREATE, (m) => {
    m.string(1, TABLE).string(2, MAP_NAME).u32be(4, MAP_ID);
    m.nested(3, () => {
      slots.forEach(({ address, name }, i) => {
        m.nested(1, () => {
          m.nested(KEY, () => m.u32(1, i));
          m.nested(VALUE, () => m.bytes(1, ipToBytes(address)));
          m.bytes(6, commentBytes(name));
        });
      });
    });
  });
  return [set, elements];
}

/** `counter dnat to <chooser> map …`, with the chosen number, and then the address, in register 1. */
function expressions(m: MessageWriter, family: Family, { slots, chooser, seed }: Pick): void {
  const expression = (name: string, fill: () => void): void => {
    m.nested(1, () => {
      m.string(1, name);
      m.nested(2, fill);
    });
  };
  expression("counter", () => {});
  if (slots.length === 0) return;
  if (chooser === "hash") {
    // of the packet's network header (1), into register 2
    expression("payload", () => m.u32be(1, 2).u32be(2, 1).u32be(3, SADDR_AT[family]).u32be(4, ADDRESS_BYTES[family]));
    expression("hash", () =>
      m
        .u32be(1, 2)
        .u32be(2, 1)
        .u32be(3, ADDRESS_BYTES[family])
        .u32be(4, slots.length)
        .u32be(5, seed)
        .u32be(6, 0)
        .u32be(7, 0),
    );
  } else {
    expression("numgen", () =>
      m
        .u32be(1, 1)
        .u32be(2, slots.length)
        .u32be(3, chooser === "random" ? 1 : 0)
        .u32be(4, 0),
    );
  }
  expression("lookup", () => m.u32be(2, 1).u32be(3, 1).string(1, MAP_NAME).u32be(4, MAP_ID));
  expression("nat", () => m.u32be(1, 1).u32be(2, PROTOCOL[family]).u32be(3, 1)); // type DNAT, family, address from register 1
}

/** A concatenation: each part padded to 4 bytes. */
function streamKey({ src, srcPort, dst, dstPort }: Stream): Buffer {
  const port = (n: number): Uint8Array => Uint8Array.of(n >> 8, n & 255, 0, 0);
  return Buffer.concat([ipToBytes(src), port(srcPort), ipToBytes(dst), port(dstPort)]);
}
