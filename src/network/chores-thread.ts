// The thread behind chores.ts: one job after another.
import { parentPort } from "node:worker_threads";
import { connections, flushConntrack, isErrno, type Protocol, RtNetlink } from "../kernel/index.ts";
import { messageOf } from "../model/errors.ts";
import type { Chore, ChoreReport } from "./chores.ts";
import { endStreams } from "./lb/nft-direct.ts";
import { NftSocket } from "./lb/nft-netlink.ts";
import { familyOf } from "./lb/nft-rules.ts";

const NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const satisfies Partial<Record<Protocol, number>>;

parentPort?.on("message", ({ id, chore }: { id: number; chore: Chore }) => {
  let report: ChoreReport = { id };
  try {
    perform(chore);
  } catch (e) {
    // The namespace, and all that was in it, may have gone meanwhile.
    if (!isErrno(e, "ENOENT", "EINVAL")) report = { id, error: messageOf(e) };
  }
  parentPort?.postMessage(report);
});

function perform(chore: Chore): void {
  if (chore.kind === "forget") forget(chore.netns, chore.address, chore.streams);
  else {
    using rt = RtNetlink.open(chore.netns);
    rt.deleteLink(chore.link);
  }
}

/** Streams are noted as ended before they are forgotten: from then on their packets belong to no connection, and such are dropped. */
function forget(netns: string, address: string, streams: boolean): void {
  const found = connections(netns, { replySrc: address });
  const tcp = found.filter((c) => c.original.protocol === NUMBERS.tcp);
  if (streams && tcp.length > 0) {
    const socket = new NftSocket(netns);
    try {
      endStreams(
        socket,
        familyOf(address),
        tcp.map(({ original: o }) => ({ src: o.src, srcPort: o.srcPort ?? 0, dst: o.dst, dstPort: o.dstPort ?? 0 })),
      );
    } finally {
      socket.close();
    }
  }
  // One walk for all protocols; a second one, to delete, only for those that have flows.
  const present = new Set(found.map((c) => c.original.protocol));
  for (const protocol of streams ? (["udp", "tcp", "sctp"] as const) : (["udp"] as const)) {
    if (present.has(NUMBERS[protocol])) flushConntrack(netns, { replySrc: address, protocol });
  }
}
