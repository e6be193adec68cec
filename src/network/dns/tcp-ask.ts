// One exchange with a resolver over TCP: for clients that came by TCP, which is what they do after a truncated answer. A connection each.

import { randomInt } from "node:crypto";
import { connect, Socket } from "node:net";
import { answersQuery } from "./forward.ts";
import { newQuery, parseQuery } from "./packet.ts";
import { tcpConnectIn } from "./tcp-connect.ts";
import { FrameReader, frame } from "./tcp-frames.ts";
import type { Upstream } from "./upstreams.ts";

const IDS = 0x10000;

/** Asks over TCP. Rejects after `timeoutMs`, when refused, and when what comes back is no answer to the question. */
export function askByTcp(upstream: Upstream, query: Buffer, timeoutMs: number): Promise<Buffer> {
  const packet = Buffer.from(query);
  const parsed = newQuery();
  parseQuery(packet, parsed);
  packet.writeUInt16BE(randomInt(IDS), 0);
  // What `connectTo` throws rejects this promise, as all in its body does.
  return new Promise((resolve, reject) => {
    const socket = connectTo(upstream);
    const timer = setTimeout(() => finish(() => reject(new Error("no answer in time"))), timeoutMs);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const reader = new FrameReader((message) => {
      if (message.readUInt16BE(0) !== packet.readUInt16BE(0) || !answersQuery(message, packet, parsed.questionEnd))
        return;
      finish(() => resolve(message));
    });
    socket.on("data", (chunk) => reader.push(chunk));
    socket.on("error", (error) => finish(() => reject(error)));
    socket.on("close", () => finish(() => reject(new Error("closed without an answer"))));
    socket.write(frame(packet));
  });
}

function connectTo(upstream: Upstream): Socket {
  if (upstream.netnsPath === undefined) return connect({ host: upstream.address, port: upstream.port });
  return new Socket({ fd: tcpConnectIn(upstream.netnsPath, upstream.address, upstream.port) });
}
