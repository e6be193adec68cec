// One request and one reply as routes see them: path parameters, query, body, and the ways to answer. Finding the route is router.ts',
// the sockets are server.ts', JSON against a type is decode.ts'.
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { SkepError } from "../model/errors.ts";
import { invalid } from "./errors.ts";
import { parseJson } from "./json-text.ts";

/** A service spec with its inlined configs fits many times over; far below what could hurt the daemon. */
const BODY_LIMIT_BYTES = 4 * 1024 * 1024;
/** A JSON body comes in one piece from any honest client. */
const BODY_TIMEOUT_MS = 30_000;

/** What a route hands back to be sent. Without `json`, `text` or `body` the answer is empty. */
export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly text?: string;
}

/** A request on its way through a route. */
export interface ApiRequest {
  readonly method: string;
  /** Without the version prefix, still encoded: "/images/docker.io%2Falpine/json". */
  readonly path: string;
  /** The minor number of the API version that the client speaks: 41 for 1.41. */
  readonly minor: number;
  /** The decoded `{…}` parts of the route's pattern. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** The request itself, for routes that pass the body on. */
  readonly raw: IncomingMessage;
  /** Aborts when the client goes away before the answer is complete. */
  readonly signal: AbortSignal;
}

/** Answers with a Reply, or writes to `res` itself (streams) and resolves with nothing when it has finished. */
export type Handler = (req: ApiRequest, res: ServerResponse) => Promise<Reply | undefined> | Reply | undefined;

/**
 * Takes over the connection of a request that asks for it (`Connection: Upgrade`). `head` is what came after the headers: the body is not
 * read. The handler answers on the socket itself ("HTTP/1.1 101 UPGRADED…"); when it throws before that, the server answers for it.
 */
export type HijackHandler = (req: ApiRequest, socket: Duplex, head: Buffer) => Promise<void>;

/** A parameter that Docker treats as a boolean (httputils.BoolValue): anything but "", 0, no, false and none is true. */
export function boolParam(query: URLSearchParams, name: string): boolean {
  const value = (query.get(name) ?? "").trim().toLowerCase();
  return !["", "0", "no", "false", "none"].includes(value);
}

/** The path parameter; it exists, since the route's pattern names it. */
export function param(req: ApiRequest, name: string): string {
  const value = req.params[name];
  if (value === undefined) throw new SkepError("internal", `route for ${req.path} has no {${name}}`);
  return value;
}

/**
 * The body as JSON, `undefined` when there is none. Types are not checked: see decode.ts.
 * @throws SkepError "invalid" with the words of dockerd's httputils.ReadJSON, "too_large", "timeout"
 */
export async function jsonBody(req: ApiRequest, timeoutMs = BODY_TIMEOUT_MS): Promise<unknown> {
  const length = req.headers["content-length"];
  const empty = (length === undefined || length === "0") && req.headers["transfer-encoding"] === undefined;
  const type = req.headers["content-type"] ?? "";
  if (type === "" && empty) return undefined;
  checkContentType(type);
  if (empty) return undefined;
  const text = await readText(req, timeoutMs);
  if (text.trim() === "") throw invalid("invalid JSON: got EOF while reading request body");
  return parseJson(text);
}

function checkContentType(type: string): void {
  const media = (type.split(";")[0] ?? "").trim().toLowerCase();
  if (media === "") throw invalid(`malformed Content-Type header (${type}): mime: no media type`);
  if (media === "application/json") return;
  throw invalid(`unsupported Content-Type header (${type}): must be 'application/json'`);
}

function readText(req: ApiRequest, timeoutMs: number): Promise<string> {
  const tooLarge = () => new SkepError("too_large", `request body too large: the limit is ${BODY_LIMIT_BYTES} bytes`);
  if (Number(req.headers["content-length"] ?? 0) > BODY_LIMIT_BYTES) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (act: () => void) => {
      clearTimeout(timer);
      req.raw.off("data", onData).off("end", onEnd).off("error", onCut).off("close", onCut);
      act();
    };
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size > BODY_LIMIT_BYTES) settle(() => reject(tooLarge()));
      else chunks.push(chunk);
    };
    const onEnd = () => settle(() => resolve(Buffer.concat(chunks).toString("utf8")));
    const onCut = () => settle(() => reject(invalid("invalid JSON: unexpected EOF")));
    const onSlow = () => settle(() => reject(invalid(`the request's body did not come within ${timeoutMs} ms`)));
    const timer = setTimeout(onSlow, timeoutMs);
    timer.unref();
    req.raw.on("data", onData).on("end", onEnd).on("error", onCut).on("close", onCut);
  });
}
