// The API server: from a connection to the route and back, with dockerd's headers, and no error that goes unanswered. Routes are in
// *-routes.ts and in engine/; sockets are listen.ts'.
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Duplex } from "node:stream";
import { messageOf, SkepError } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import { API_VERSION, splitVersion } from "./api-version.ts";
import type { ApiContext } from "./context.ts";
import { errorReply } from "./errors.ts";
import type { ApiRequest, Reply } from "./http.ts";
import { type ListenAddress, listenAt } from "./listen.ts";
import { networkRoutes } from "./network-routes.ts";
import { nodeRoutes } from "./node-routes.ts";
import { pingRoutes } from "./ping-routes.ts";
import { type RegisterRoutes, Router } from "./router.ts";
import { configRoutes, secretRoutes } from "./secret-routes.ts";
import { serviceRoutes } from "./service-routes.ts";
import { swarmRoutes } from "./swarm-routes.ts";
import { taskRoutes } from "./task-routes.ts";

/** As Go's http server: a build's login to every registry comes in one header. */
const HEADERS_LIMIT_BYTES = 1024 * 1024;
/** A client that does not finish its headers is cut off after this. Bodies have their own limits: uploads may take hours. */
const HEADERS_TIMEOUT_MS = 30_000;
/** How often that is looked at, while there are connections: Node's own 30 s would make it a minute. */
const TIMEOUT_CHECK_MS = 5_000;
/** Longer than the pauses between a CLI's requests, so that it need not connect anew. */
const KEEP_ALIVE_MS = 60_000;

/** PEM texts for tcp addresses. With `verify`, clients need a certificate that `ca` signed. */
export interface ApiTls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
  readonly verify: boolean;
}

export interface ApiServerInit {
  readonly context: ApiContext;
  /** skep's version, for the Server header. */
  readonly version: string;
  /** Routes of other rooms. They come after the server's own. */
  readonly routes?: readonly RegisterRoutes[];
  readonly tls?: ApiTls;
}

export class ApiServer {
  readonly #router = new Router();
  readonly #log: Log;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #tls: ApiTls | undefined;
  readonly #servers: Server[] = [];
  readonly #hijacked = new Set<Duplex>();

  constructor(init: ApiServerInit) {
    const { context } = init;
    this.#log = context.log.child({ room: "api" });
    this.#tls = init.tls;
    this.#headers = {
      "Api-Version": API_VERSION,
      "Docker-Experimental": "false",
      Ostype: "linux",
      Server: `Skep/${init.version} (linux)`,
    };
    const own = [
      pingRoutes,
      swarmRoutes,
      nodeRoutes,
      serviceRoutes,
      taskRoutes,
      networkRoutes,
      secretRoutes,
      configRoutes,
    ];
    for (const register of [...own.map((routes) => routes(context)), ...(init.routes ?? [])]) register(this.#router);
  }

  /**
   * Resolves when all addresses accept connections; none does when one cannot be had.
   * @throws SkepError "conflict", "unavailable"
   */
  async listen(addresses: readonly ListenAddress[]): Promise<void> {
    try {
      for (const address of addresses) {
        const server = this.#server(address);
        await listenAt(server, address);
        this.#servers.push(server);
      }
    } catch (e) {
      await this.close();
      throw e;
    }
  }

  /** The tcp ports that were given out, in the order of `listen` (port 0 asks the system for one). */
  ports(): number[] {
    return this.#servers.flatMap((s) => {
      const address = s.address();
      return typeof address === "object" && address !== null ? [address.port] : [];
    });
  }

  /** Stops listening and cuts off every connection. Socket files are removed. */
  async close(): Promise<void> {
    const servers = this.#servers.splice(0);
    for (const socket of this.#hijacked) socket.destroy();
    await Promise.all(
      servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
  }

  #server(address: ListenAddress): Server {
    const options = {
      maxHeaderSize: HEADERS_LIMIT_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      shouldUpgradeCallback: (req: IncomingMessage) => this.#wantsHijack(req),
    };
    const listener: RequestListener = (req, res) => void this.#answer(req, res);
    const tls = address.kind === "tcp" ? this.#tls : undefined;
    const server = tls
      ? createTlsServer(
          {
            ...options,
            cert: tls.cert,
            key: tls.key,
            ca: tls.ca,
            requestCert: tls.verify,
            rejectUnauthorized: tls.verify,
          },
          listener,
        )
      : createServer(options, listener);
    server.on("upgrade", (req, socket, head) => void this.#hijack(req, socket, head));
    return server;
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(this.#headers)) res.setHeader(name, value);
    const gone = new AbortController();
    res.on("close", () => gone.abort());
    res.on("error", () => gone.abort()); // the client went away: nobody is left to be told
    const started = performance.now();
    try {
      const target = targetOf(req);
      const found = this.#router.find(req.method ?? "GET", target.path);
      if (!found) throw new SkepError("not_found", "page not found");
      const reply = await found.handler(requestOf(req, target, found.params, gone.signal), res);
      if (reply) send(req, res, reply);
      else if (!res.headersSent) throw new SkepError("internal", `no answer from the route of ${target.path}`);
    } catch (e) {
      this.#fail(req, res, e);
    }
    const ms = Math.round(performance.now() - started);
    this.#log.debug({ method: req.method, url: req.url, status: res.statusCode, ms }, "request");
  }

  #fail(req: IncomingMessage, res: ServerResponse, e: unknown): void {
    const facts = { method: req.method, url: req.url, error: messageOf(e) };
    if (!(e instanceof SkepError)) {
      const stack = e instanceof Error ? e.stack : undefined;
      this.#log.error({ ...facts, stack }, "a request met a fault of ours");
    } else if (e.code === "internal") this.#log.warn(facts, "request failed");
    // half an answer: cutting it off is the only way left to say so
    if (res.headersSent) res.destroy();
    else send(req, res, errorReply(e));
  }

  #wantsHijack(req: IncomingMessage): boolean {
    try {
      return this.#router.findHijack(req.method ?? "GET", targetOf(req).path) !== undefined;
    } catch {
      return false; // `#answer` finds the same fault and words it
    }
  }

  async #hijack(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#hijacked.add(socket);
    const gone = new AbortController();
    socket.on("close", () => {
      this.#hijacked.delete(socket);
      gone.abort();
    });
    socket.on("error", (e) => this.#log.debug({ url: req.url, error: messageOf(e) }, "hijacked connection broke"));
    try {
      const target = targetOf(req);
      const found = this.#router.findHijack(req.method ?? "GET", target.path);
      if (!found) throw new SkepError("not_found", "page not found");
      await found.handler(requestOf(req, target, found.params, gone.signal), socket, head);
    } catch (e) {
      const { status = 500, json } = errorReply(e);
      const body = JSON.stringify(json);
      const headers = {
        ...this.#headers,
        "Content-Type": "application/json",
        "Content-Length": Buffer.byteLength(body),
      };
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n${lines.join("")}\r\n${body}`);
    }
  }
}

interface Target {
  readonly path: string;
  readonly minor: number;
  readonly query: URLSearchParams;
}

function targetOf(req: IncomingMessage): Target {
  const url = req.url ?? "/";
  const mark = url.indexOf("?");
  const query = mark < 0 ? "" : url.slice(mark + 1);
  const badEscape = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(query);
  if (badEscape) throw new SkepError("invalid", `invalid URL escape ${JSON.stringify(badEscape[0])}`);
  return { ...splitVersion(mark < 0 ? url : url.slice(0, mark)), query: new URLSearchParams(query) };
}

function requestOf(
  req: IncomingMessage,
  target: Target,
  params: ApiRequest["params"],
  signal: AbortSignal,
): ApiRequest {
  return { ...target, method: req.method ?? "GET", params, headers: req.headers, raw: req, signal };
}

function send(req: IncomingMessage, res: ServerResponse, reply: Reply): void {
  const body = reply.json !== undefined ? `${JSON.stringify(reply.json)}\n` : (reply.text ?? "");
  res.statusCode = reply.status ?? 200;
  for (const [name, value] of Object.entries(reply.headers ?? {})) res.setHeader(name, value);
  if (reply.json !== undefined) res.setHeader("Content-Type", "application/json");
  if (res.statusCode !== 204 && res.statusCode !== 304) res.setHeader("Content-Length", Buffer.byteLength(body));
  // What is left of a body that nobody wanted would be taken for the next request.
  if (isBodyLeft(req)) res.setHeader("Connection", "close");
  res.end(body);
}

function isBodyLeft(req: IncomingMessage): boolean {
  const { "content-length": length = "0", "transfer-encoding": encoding } = req.headers;
  return !req.complete && (encoding !== undefined || length !== "0");
}
