// Connections that turn into raw streams: attach, exec, build sessions. Once both sides have switched, bytes are copied either way, and
// each direction ends by itself: a client that closes its stdin still gets the output.
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { messageOf, SkepError } from "../../model/errors.ts";
import type { ApiRequest } from "../http.ts";
import { refusal, type Subject } from "./refusals.ts";
import { COMPAT, type Upstream } from "./upstream.ts";

export const RAW_STREAM = "application/vnd.docker.raw-stream";
export const MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream";
/** A head of more than this is no answer of an engine. */
const HEAD_LIMIT_BYTES = 64 * 1024;
/** How long a client that got all its output may take to close its half, before the connection is cut. */
const LINGER_MS = 10_000;

export interface HijackOptions {
  readonly subject?: Subject;
  /** Of the upgraded connection; absent: what the engine says. */
  readonly contentType?: string;
  /** Takes the client, upgraded, when the engine refuses for this reason; absent, or false: the refusal is the answer. */
  readonly otherwise?: (refused: SkepError) => ((client: Duplex) => Promise<void>) | undefined;
}

/**
 * Takes a client's upgraded connection through to the engine. Resolves when both directions have ended.
 * @throws SkepError when the engine refuses or cannot be reached: nothing has been sent to the client then
 */
export async function hijack(
  engine: Upstream,
  req: ApiRequest,
  client: Duplex,
  head: Buffer,
  options: HijackOptions = {},
): Promise<void> {
  const upstream = await engine.dial();
  upstream.write(requestHead(req, req.headers));
  if (head.length > 0) upstream.write(head);
  client.pipe(upstream); // the body, which the engine wants before it answers, and then the stream
  const quit = () => upstream.destroy();
  client.once("close", quit);
  try {
    const answer = await readHead(upstream);
    if (answer.status !== 101 && answer.status !== 200) {
      client.unpipe(upstream);
      const refused = refusal(answer.status, await readBody(upstream, answer), options.subject);
      const otherwise = options.otherwise?.(refused);
      if (!otherwise) throw refused;
      upstream.destroy();
      client.write(switching(req, options.contentType));
      await otherwise(client);
      return;
    }
    client.write(switching(req, options.contentType ?? answer.headers.get("content-type")));
    if (answer.rest.length > 0) client.write(answer.rest);
    await join(client, upstream);
  } catch (e) {
    upstream.destroy();
    throw e;
  } finally {
    client.off("close", quit);
  }
}

/**
 * The same for a client that asks for no upgrade: it gets "200 OK" and the raw stream until the connection ends, and what it sends after
 * its request is the container's input. (Docker before 1.9, and clients that only want the output.)
 */
export async function hijackPlain(
  engine: Upstream,
  req: ApiRequest,
  res: ServerResponse,
  body: Buffer,
  options: HijackOptions = {},
): Promise<void> {
  const client = req.raw.socket;
  // From here on the bytes are the stream's, not another request's, and their end is that of the input only.
  client.removeAllListeners("data").removeAllListeners("end");
  const upstream = await engine.dial();
  const quit = () => upstream.destroy();
  client.once("close", quit);
  try {
    upstream.write(requestHead(req, { ...req.headers, "content-length": String(body.length) }));
    upstream.write(body);
    const answer = await readHead(upstream);
    if (answer.status !== 101 && answer.status !== 200) {
      throw refusal(answer.status, await readBody(upstream, answer), options.subject);
    }
    res.useChunkedEncodingByDefault = false;
    res.shouldKeepAlive = false;
    res.writeHead(200, { "Content-Type": options.contentType ?? answer.headers.get("content-type") ?? RAW_STREAM });
    res.flushHeaders();
    if (answer.rest.length > 0) res.write(answer.rest);
    client.on("data", (chunk: Buffer) => upstream.write(chunk) || client.pause());
    upstream.on("drain", () => client.resume());
    client.once("end", () => upstream.end());
    await new Promise<void>((resolve) => {
      upstream.pipe(res);
      upstream.on("error", () => res.destroy());
      res.on("error", () => upstream.destroy());
      res.once("close", resolve);
    });
  } finally {
    client.off("close", quit);
    upstream.destroy();
  }
}

function switching(req: ApiRequest, type: string | undefined): string {
  const upgrade = req.headers.upgrade ?? "tcp";
  const lines = [`Content-Type: ${type ?? RAW_STREAM}`, "Connection: Upgrade", `Upgrade: ${upgrade}`];
  return `HTTP/1.1 101 UPGRADED\r\n${lines.join("\r\n")}\r\n\r\n`;
}

/** Copies both ways until both have ended. Output that has ended ends the connection: the process is gone, nobody reads its input. */
function join(client: Duplex, upstream: Socket): Promise<void> {
  return new Promise((resolve) => {
    upstream.pipe(client);
    let linger: NodeJS.Timeout | undefined;
    upstream.once("end", () => {
      client.unpipe(upstream);
      client.resume(); // unread input would turn the close into a reset, which eats output on its way
      linger = setTimeout(() => client.destroy(), LINGER_MS);
    });
    client.once("error", () => upstream.destroy());
    upstream.once("error", () => client.destroy());
    client.once("close", () => {
      clearTimeout(linger);
      upstream.destroy();
      resolve();
    });
    if (client.destroyed) resolve();
  });
}

function requestHead(req: ApiRequest, headers: IncomingHttpHeaders): string {
  const query = req.query.size === 0 ? "" : `?${req.query}`;
  const lines = [`${req.method} ${COMPAT}${req.path}${query} HTTP/1.1`, "Host: engine"];
  for (const name of ["content-type", "content-length", "transfer-encoding"] as const) {
    const value = headers[name];
    if (value !== undefined) lines.push(`${name}: ${value}`);
  }
  lines.push("Connection: Upgrade", `Upgrade: ${headers.upgrade ?? "tcp"}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** What came after the head already. */
  readonly rest: Buffer;
}

function readHead(upstream: Socket): Promise<Head> {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const broken = (e?: Error) => {
      stop();
      const why = e ? messageOf(e) : "connection closed";
      reject(new SkepError("unavailable", `the container engine did not answer: ${why}`, {}, e));
    };
    const ended = () => broken();
    const stop = () => {
      upstream.pause();
      upstream.off("data", take).off("error", broken).off("end", ended).off("close", ended);
    };
    const take = (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      const end = got.indexOf("\r\n\r\n");
      if (end >= 0) {
        stop();
        resolve(parseHead(got.subarray(0, end).toString("latin1"), got.subarray(end + 4)));
      } else if (got.length > HEAD_LIMIT_BYTES) broken(new Error("its head never ends"));
    };
    upstream.on("data", take).on("error", broken).on("end", ended).on("close", ended);
  });
}

function parseHead(text: string, rest: Buffer): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0), headers, rest };
}

/** The body of a refusal: so long as it says, or all there is. */
async function readBody(upstream: Socket, head: Head): Promise<string> {
  const length = Number(head.headers.get("content-length") ?? Number.NaN);
  const chunks = [head.rest];
  let size = head.rest.length;
  if (!(size >= length)) {
    for await (const chunk of upstream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= length || size > HEAD_LIMIT_BYTES) break;
    }
  }
  return Buffer.concat(chunks).toString("utf8");
}
