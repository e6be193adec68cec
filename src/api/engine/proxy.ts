// Passing a request on to the container engine and its answer back, as streams: both with back-pressure, ended when either side goes away.
// What is JSON and must be changed on the way is given a `map` (whole documents) or a `line` (streams of documents); hijacked connections
// are hijack.ts.
import type { IncomingMessage, ServerResponse } from "node:http";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ApiRequest, Handler, Reply } from "../http.ts";
import { refusal, type Subject } from "./refusals.ts";
import { COMPAT, parseJson, readAll, type Upstream } from "./upstream.ts";

/** Headers that belong to one hop, or that the engine says of itself: not for the client. */
const OWN_HEADERS = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "expect",
  "date",
  "server",
  "api-version",
  "docker-experimental",
  "libpod-api-version",
  "libpod-buildah-version",
  "buildah-version",
  "ostype",
  "x-reference-id",
]);

export interface ProxyOptions {
  /** Default: the client's own path, below the API version that the engine speaks. */
  readonly path?: string;
  readonly method?: string;
  readonly query?: URLSearchParams;
  /** Sent instead of the client's body. */
  readonly json?: unknown;
  readonly subject?: Subject;
  /** Changes a whole JSON answer. */
  readonly map?: (answer: unknown) => unknown;
  /** Changes each document of a stream of JSON documents; `undefined` drops it. */
  readonly line?: (document: unknown) => unknown;
  /** The status of success, where the engine's differs from Docker's. */
  readonly status?: number;
  readonly contentType?: string;
}

/** A route that passes its requests on. */
export function proxied(engine: Upstream, options: (req: ApiRequest) => ProxyOptions = () => ({})): Handler {
  return (req, res) => proxy(engine, req, res, options(req));
}

/**
 * Passes one request on and its answer back. Resolves when the answer is through.
 * @throws SkepError with Docker's words when the engine refuses, "unavailable" when it cannot be reached. Once the answer has begun, a
 * failure can only cut the connection, and does.
 */
export async function proxy(
  engine: Upstream,
  req: ApiRequest,
  res: ServerResponse,
  options: ProxyOptions = {},
): Promise<Reply | undefined> {
  const method = options.method ?? req.method;
  const hasBody = options.json === undefined && carriesBody(req.raw);
  const answer = await engine.send(method, options.path ?? COMPAT + req.path, {
    query: options.query ?? req.query,
    headers: passedHeaders(req.raw, hasBody),
    ...(options.json === undefined ? {} : { json: options.json }),
    ...(hasBody ? { body: req.raw } : {}),
    signal: req.signal,
  });
  const path = req.path;
  const upstreamStatus = answer.statusCode ?? 502;
  if (upstreamStatus === 304) {
    answer.resume();
    return { status: 304 };
  }
  if (upstreamStatus >= 300) throw refusal(upstreamStatus, await readAll(answer, path), options.subject);
  const status = options.status ?? upstreamStatus;
  if (options.map) return { status, json: options.map(parseJson(await readAll(answer, path), path)) };
  await relay(answer, res, status, options);
  return undefined;
}

/** Copies an answer's head, body and trailers. @throws what broke it, with the client's connection already cut */
export async function relay(
  answer: IncomingMessage,
  res: ServerResponse,
  status: number,
  options: Pick<ProxyOptions, "line" | "contentType"> = {},
): Promise<void> {
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value === undefined || OWN_HEADERS.has(name)) continue;
    if (options.line && name === "content-length") continue;
    res.setHeader(name, value);
  }
  if (options.contentType !== undefined) res.setHeader("Content-Type", options.contentType);
  res.writeHead(status);
  res.flushHeaders(); // followers (events, logs, wait) act on the head long before there is a body
  try {
    if (options.line) await pipeline(answer, jsonLines(options.line), res, { end: false });
    else await pipeline(answer, res, { end: false });
  } catch (e) {
    answer.destroy();
    res.destroy();
    throw e;
  }
  if (Object.keys(answer.trailers).length > 0) res.addTrailers(answer.trailers as Record<string, string>);
  await new Promise<void>((resolve) => res.end(resolve));
}

/** A stream of JSON documents, one a line, each changed by `change`. A line that is no JSON passes as it is. */
export function jsonLines(change: (document: unknown) => unknown): Transform {
  let rest = "";
  const decoder = new TextDecoder();
  const changed = (line: string): string => {
    if (line.trim() === "") return "";
    let document: unknown;
    try {
      document = JSON.parse(line);
    } catch {
      return `${line}\n`; // not ours to drop: the client may know what it is
    }
    const result = change(document);
    return result === undefined ? "" : `${JSON.stringify(result)}\r\n`;
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      done(null, lines.map(changed).join(""));
    },
    flush(done) {
      done(null, changed(rest + decoder.decode()));
    },
  });
}

function carriesBody(raw: IncomingMessage): boolean {
  const length = raw.headers["content-length"];
  return raw.headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}

function passedHeaders(raw: IncomingMessage, hasBody: boolean): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(raw.headers)) {
    if (value === undefined || OWN_HEADERS.has(name)) continue;
    if (!hasBody && (name === "content-length" || name === "content-type")) continue;
    headers[name] = value;
  }
  return headers;
}
