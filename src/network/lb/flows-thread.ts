// The thread behind flows.ts: deletes tracked flows, one order after another.
import { parentPort } from "node:worker_threads";
import { connections, flushConntrack, isErrno } from "../../kernel/index.ts";
import { messageOf } from "../../model/errors.ts";
import type { FlowOrder, FlowReport } from "./flows.ts";

const NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const;

parentPort?.on("message", ({ netns, address, protocols }: FlowOrder) => {
  let report: FlowReport = {};
  try {
    // One walk for all protocols; a second one, to delete, only for those that have flows.
    const found = new Set(connections(netns, { replySrc: address }).map((c) => c.original.protocol));
    for (const protocol of protocols) {
      if (found.has(NUMBERS[protocol])) flushConntrack(netns, { replySrc: address, protocol });
    }
  } catch (e) {
    // The namespace, and all its flows, may have gone meanwhile.
    if (!isErrno(e, "ENOENT", "EINVAL")) report = { error: messageOf(e) };
  }
  parentPort?.postMessage(report);
});
