// Requests to Podman's REST service over its unix socket: JSON in and out, and streams with back-pressure. What the answers mean is
// podman-error.ts' and the callers'.
import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { pipeline } from "node:stream/promises";
import { messageOf, SkepError } from "../model/errors.ts";
import { podmanError } from "./podman-error.ts";

/** Paths are relative to this version: the oldest that has all we use, so that Podman 4.0 and later all serve it. */
const BASE = "/v4.0.0";

export interface Ask {
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it comes; excludes `json`. */
  readonly body?: NodeJS.ReadableStream;
  readonly signal?: AbortSignal | undefined;
  /** Fail at once when nobody answers, instead of waiting for the service to come back. */
  readonly once?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export class PodmanClient {
  readonly socketPath: string;
  readonly #agent: Agent;
  readonly #recover: () => Promise<void>;

  /**
   * @param recover resolves when the service answers again, rejects when it will not. A request that certainly had no effect (it was never
   * sent, or only reads) is then sent once more, so that a restart of Podman is a delay to callers and not an error.
   */
  constructor(socketPath: string, recover: () => Promise<void>) {
    this.socketPath = socketPath;
    this.#recover = recover;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 64, maxFreeSockets: 8, timeout: 0 });
  }

  /** The answer's JSON. @throws SkepError "unavailable" when nobody answers, else what Podman's status means */
  async json(method: string, path: string, ask: Ask = {}): Promise<unknown> {
    const answer = await this.ask(method, path, ask);
    if (answer.status >= 300) throw podmanError(`podman ${method} ${path}`, answer.status, answer.body);
    if (answer.body.trim() === "") return undefined;
    return parse(answer.body, path);
  }

  /** The answer whatever its status. @throws SkepError "unavailable" when nobody answers */
  async ask(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    const response = await this.#send(method, path, ask);
    return { status: response.statusCode ?? 0, body: await textOf(response, path) };
  }

  /**
   * Follows an answer made of JSON lines, for as long as the caller iterates; leaving the loop closes the connection.
   * @throws SkepError as `json` does; "unavailable" when the connection breaks half way
   */
  async *lines(method: string, path: string, ask: Ask = {}, opened?: () => void): AsyncGenerator<unknown, void, void> {
    const response = await this.#send(method, path, ask);
    if ((response.statusCode ?? 0) >= 300) {
      throw podmanError(`podman ${method} ${path}`, response.statusCode ?? 0, await textOf(response, path));
    }
    opened?.();
    try {
      let rest = "";
      response.setEncoding("utf8");
      for await (const chunk of response) {
        const parts = (rest + chunk).split("\n");
        rest = parts.pop() ?? "";
        for (const part of parts) if (part.trim() !== "") yield parse(part, path);
      }
      if (rest.trim() !== "") yield parse(rest, path);
    } catch (e) {
      throw e instanceof SkepError ? e : unreachable(this.socketPath, path, e);
    } finally {
      response.destroy();
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(method: string, path: string, ask: Ask): Promise<IncomingMessage> {
    try {
      return await this.#sendOnce(method, path, ask);
    } catch (e) {
      if (ask.once || ask.body !== undefined || ask.signal?.aborted || !hadNoEffect(method, e)) throw e;
      await this.#recover();
      return this.#sendOnce(method, path, ask);
    }
  }

  #sendOnce(method: string, path: string, ask: Ask): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const payload = ask.json === undefined ? undefined : JSON.stringify(ask.json);
      const sent: ClientRequest = request(
        {
          socketPath: this.socketPath,
          agent: this.#agent,
          method,
          path: BASE + path + queryString(ask.query),
          headers: {
            ...(payload === undefined
              ? {}
              : { "content-type": "application/json", "content-length": Buffer.byteLength(payload) }),
            ...ask.headers,
          },
          ...(ask.signal === undefined ? {} : { signal: ask.signal }),
        },
        resolve,
      );
      sent.on("error", (e) => reject(unreachable(this.socketPath, path, e)));
      // A broken upload shows as the request's own error above; pipeline only adds the back-pressure and the clean-up.
      if (ask.body !== undefined) pipeline(ask.body, sent).catch((e: unknown) => sent.destroy(e as Error));
      else sent.end(payload);
    });
  }
}

function hadNoEffect(method: string, e: unknown): boolean {
  const { cause } = e as { cause?: { code?: string } };
  return method === "GET" || cause?.code === "ECONNREFUSED" || cause?.code === "ENOENT";
}

function queryString(query: Ask["query"]): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) params.set(key, String(value));
  return params.size === 0 ? "" : `?${params}`;
}

async function textOf(response: IncomingMessage, path: string): Promise<string> {
  let text = "";
  response.setEncoding("utf8");
  try {
    for await (const chunk of response) text += chunk;
  } catch (e) {
    throw new SkepError("unavailable", `podman broke off its answer to ${path}: ${messageOf(e)}`, {}, e);
  }
  return text;
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new SkepError("internal", `podman's answer to ${path} is no JSON: ${text.slice(0, 200)}`, {}, e);
  }
}

function unreachable(socketPath: string, path: string, e: unknown): SkepError {
  const cause = e instanceof Error ? e : undefined;
  if (cause?.name === "AbortError") return new SkepError("timeout", `podman ${path}: given up`, {}, e);
  const text = `cannot reach podman at ${socketPath} for ${path}: ${messageOf(e)}`;
  return new SkepError("unavailable", text, { socket: socketPath }, e);
}
