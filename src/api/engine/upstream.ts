// Requests to the container engine's Docker-compatible REST service, over its unix socket. Copying a client's request through is proxy.ts,
// connections that turn into raw streams are hijack.ts; what the engine's refusals mean is refusals.ts.
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { hasCode, messageOf, SkepError } from "../../model/errors.ts";
import { refusal, type Subject } from "./refusals.ts";

/** The Docker API version that every Podman since 4.0 serves. */
export const COMPAT = "/v1.41";
/** The version of Podman's own API that every Podman since 4.0 serves. */
export const LIBPOD = "/v4.0.0/libpod";

/** How often a list is asked for that containers keep vanishing from. */
const LISTING_TRIES = 20;
/** Far more than any JSON answer of an engine with thousands of containers. */
const ANSWER_LIMIT_BYTES = 256 * 1024 * 1024;

export interface Ask {
  readonly query?: URLSearchParams | Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Sent as JSON. Excludes `body`. */
  readonly json?: unknown;
  /** Sent as it comes, with back-pressure. */
  readonly body?: NodeJS.ReadableStream;
  readonly signal?: AbortSignal;
  /** Whose absence a 404 means, so that the error can be worded as Docker does. */
  readonly subject?: Subject;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/**
 * Says "keep-alive" and keeps no connection: a Go server that is told "close" refuses a request without reading its body, and the broken
 * upload would hide the refusal. A connection that was kept could be one that a restarted engine has forgotten.
 */
class OnceAgent extends Agent {
  // maxFreeSockets: 0 would not do: Node takes it for its default, 256
  override keepSocketAlive(): boolean {
    return false;
  }
}

/** One engine's REST service. Paths begin with COMPAT or LIBPOD; every request has a connection of its own. */
export class Upstream {
  readonly socketPath: string;
  readonly #agent = new OnceAgent({ keepAlive: true });

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** Resolves with the answer's head, whatever its status; the caller reads or destroys it. @throws SkepError "unavailable", "timeout" */
  send(method: string, path: string, ask: Ask = {}): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const payload = ask.json === undefined ? undefined : JSON.stringify(ask.json);
      const sent = request({
        socketPath: this.socketPath,
        agent: this.#agent,
        method,
        path: withQuery(path, ask.query),
        headers: {
          host: "engine",
          ...ask.headers,
          ...(payload === undefined
            ? {}
            : { "content-type": "application/json", "content-length": String(Buffer.byteLength(payload)) }),
        },
        ...(ask.signal === undefined ? {} : { signal: ask.signal }),
      });
      sent.on("error", (e) => reject(unreachable(this.socketPath, path, e)));
      sent.on("response", (answer) => {
        // A broken answer is seen by whoever reads it; without a reader yet, it must not bring the process down.
        answer.on("error", () => undefined);
        resolve(answer);
      });
      // A broken upload shows as the request's own error above; pipeline only adds back-pressure and clean-up.
      if (ask.body !== undefined) pipeline(ask.body, sent).catch((e: unknown) => sent.destroy(e as Error));
      else sent.end(payload);
    });
  }

  /** The whole answer, whatever its status. @throws SkepError "unavailable" */
  async ask(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    const answer = await this.send(method, path, ask);
    return { status: answer.statusCode ?? 0, headers: answer.headers, text: await readAll(answer, path) };
  }

  /** The answer's JSON, `undefined` when it is empty. @throws SkepError "unavailable", or what the refusal means in Docker's words */
  async json(method: string, path: string, ask: Ask = {}): Promise<unknown> {
    const { status, text } = await this.ask(method, path, ask);
    if (status >= 300) throw refusal(status, text, ask.subject);
    return text.trim() === "" ? undefined : parseJson(text, path);
  }

  /**
   * The JSON of an answer over many containers. Podman gives such an answer up when one of them is removed while it is made: it is asked anew
   * then. @throws SkepError as `json` does
   */
  async listing(path: string, ask: Ask = {}): Promise<unknown> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.json("GET", path, ask);
      } catch (e) {
        if (tries === LISTING_TRIES || !hasCode(e, "not_found")) throw e;
      }
    }
  }

  /** A connection for raw streams; either side may close its half. @throws SkepError "unavailable" */
  dial(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path: this.socketPath, allowHalfOpen: true });
      const failed = (e: Error) => reject(unreachable(this.socketPath, "stream", e));
      socket.once("error", failed);
      socket.once("connect", () => {
        // Whoever copies the stream sees it close; without a reader yet, an error must not bring the process down.
        socket.off("error", failed).on("error", () => undefined);
        resolve(socket);
      });
    });
  }
}

/** An answer's body as text. @throws SkepError "unavailable" when it breaks off */
export async function readAll(answer: IncomingMessage, path: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > ANSWER_LIMIT_BYTES) throw new Error(`more than ${ANSWER_LIMIT_BYTES} bytes`);
      chunks.push(chunk);
    }
  } catch (e) {
    throw new SkepError("unavailable", `the container engine broke off its answer to ${path}: ${messageOf(e)}`, {}, e);
  }
  return Buffer.concat(chunks).toString("utf8");
}

export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new SkepError(
      "internal",
      `the container engine's answer to ${path} is no JSON: ${text.slice(0, 200)}`,
      {},
      e,
    );
  }
}

function withQuery(path: string, query: Ask["query"]): string {
  const params = query instanceof URLSearchParams ? query : new URLSearchParams(query);
  return params.size === 0 ? path : `${path}?${params}`;
}

function unreachable(socketPath: string, path: string, e: unknown): SkepError {
  if (e instanceof Error && e.name === "AbortError") return new SkepError("timeout", `${path}: given up`, {}, e);
  const text = `cannot reach the container engine at ${socketPath}: ${messageOf(e)}`;
  return new SkepError("unavailable", text, { socket: socketPath, path }, e);
}
