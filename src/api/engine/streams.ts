// Attach and exec: the routes whose connections become the container's own streams. The taking over itself is hijack.ts.
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { SkepError } from "../../model/errors.ts";
import { type ApiRequest, jsonBody, param, type Reply } from "../http.ts";
import type { Router } from "../router.ts";
import { rawInspect } from "./container-inspect.ts";
import type { EngineContext } from "./context.ts";
import type { HeldStreams } from "./held-streams.ts";
import { hijack, hijackPlain, MULTIPLEXED_STREAM, RAW_STREAM } from "./hijack.ts";
import { type Json, list, object, text } from "./json.ts";
import { proxied, proxy } from "./proxy.ts";
import { COMPAT } from "./upstream.ts";

/** The body of an exec start: two booleans and a console size. */
const BODY_LIMIT_BYTES = 64 * 1024;

export function streamRoutes(ctx: EngineContext, held: HeldStreams): (router: Router) => void {
  return (router) => {
    router.addHijack("POST", "/containers/{id}/attach", (req, socket, head) => attach(ctx, held, req, socket, head));
    router.add("POST", "/containers/{id}/attach", async (req, res) => {
      const { options } = await attachOptions(ctx, req);
      await hijackPlain(ctx.upstream, req, res, Buffer.alloc(0), options);
      return undefined;
    });
    router.add("POST", "/containers/{id}/exec", (req, res) => createExec(ctx, req, res));
    router.addHijack("POST", "/exec/{id}/start", async (req, socket, head) => {
      await hijack(ctx.upstream, req, socket, head, await execOptions(ctx, req));
    });
    router.add("POST", "/exec/{id}/start", (req, res) => startExec(ctx, req, res));
    router.add(
      "POST",
      "/exec/{id}/resize",
      proxied(ctx.upstream, (req) => ({ subject: { kind: "exec", name: param(req, "id") }, status: 200 })),
    );
    router.add(
      "GET",
      "/exec/{id}/json",
      proxied(ctx.upstream, (req) => ({ subject: { kind: "exec", name: param(req, "id") }, map: execJson })),
    );
    router.addHijack("POST", "/session", (req, socket, head) => hijack(ctx.upstream, req, socket, head));
    router.add("POST", "/session", () => {
      throw new SkepError("invalid", "connection upgrade required");
    });
  };
}

async function attach(
  ctx: EngineContext,
  held: HeldStreams,
  req: ApiRequest,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { id, started, options } = await attachOptions(ctx, req);
  await hijack(ctx.upstream, req, socket, head, {
    ...options,
    otherwise: (refused) =>
      started || refused.code === "not_found" ? undefined : (client) => held.hold(id, client, refused),
  });
}

async function attachOptions(ctx: EngineContext, req: ApiRequest) {
  const id = param(req, "id");
  const raw = object(await rawInspect(ctx, id));
  if (object(raw.State).Paused === true) {
    throw new SkepError("conflict", `container ${id} is paused, unpause the container before attach`);
  }
  return {
    id: text(raw.Id),
    started: !["created", "configured", "exited", "stopped"].includes(text(object(raw.State).Status)),
    options: {
      subject: { kind: "container", name: id } as const,
      contentType: streamType(object(raw.Config).Tty === true, req),
    },
  };
}

async function createExec(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<Reply | undefined> {
  const id = param(req, "id");
  const raw = object(await rawInspect(ctx, id));
  if (object(raw.State).Paused === true) {
    throw new SkepError("conflict", `container ${id} is paused, unpause the container before exec`);
  }
  const asked = object(await jsonBody(req));
  return proxy(ctx.upstream, req, res, {
    subject: { kind: "container", name: text(raw.Id) },
    json: asked.Tty === true ? { ...asked, Env: withTerminal(list(asked.Env).map(text)) } : asked,
  });
}

/** As Docker: a process on a terminal is told which, unless the client says otherwise. */
function withTerminal(env: readonly string[]): string[] {
  return env.some((e) => /^TERM(=|$)/.test(e)) ? [...env] : ["TERM=xterm", ...env];
}

async function execOptions(ctx: EngineContext, req: ApiRequest) {
  const id = param(req, "id");
  const exec = object(
    await ctx.upstream.json("GET", `${COMPAT}/exec/${encodeURIComponent(id)}/json`, {
      subject: { kind: "exec", name: id },
    }),
  );
  if (exec.Running === true) throw new SkepError("conflict", `exec command ${id} is already running`);
  return {
    subject: { kind: "exec", name: id } as const,
    contentType: streamType(object(exec.ProcessConfig).tty === true, req),
  };
}

/** Without an upgrade: either detached, which is a plain request, or an old client's stream. */
async function startExec(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<Reply | undefined> {
  const body = await smallBody(req);
  const options = await execOptions(ctx, req);
  let asked: Json;
  try {
    asked = object(body.length === 0 ? {} : JSON.parse(body.toString("utf8")));
  } catch (e) {
    throw new SkepError("invalid", `invalid JSON: ${body.toString("utf8")}`, {}, e);
  }
  if (asked.Detach === true) {
    const path = `${COMPAT}/exec/${encodeURIComponent(param(req, "id"))}/start`;
    await ctx.upstream.json("POST", path, { json: asked, subject: options.subject });
    return { status: 200 };
  }
  await hijackPlain(ctx.upstream, req, res, body, { ...options, contentType: RAW_STREAM });
  return undefined;
}

async function smallBody(req: ApiRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req.raw as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT_BYTES) throw new SkepError("too_large", "request body too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** From 1.42 on the type says whether the stream is framed. */
function streamType(tty: boolean, req: ApiRequest): string {
  return !tty && req.minor >= 42 ? MULTIPLEXED_STREAM : RAW_STREAM;
}

function execJson(answer: unknown): unknown {
  const exec = object(answer);
  const process = object(exec.ProcessConfig);
  return { ...exec, ProcessConfig: { ...process, arguments: list(process.arguments) } };
}
