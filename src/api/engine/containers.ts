// The routes of containers. Lists, inspect, create and wait are files of their own next door; exec and attach are streams.ts. What is here
// is passed on to Podman with its words and statuses put right.
import type { ServerResponse } from "node:http";
import { hasCode, messageOf, SkepError } from "../../model/errors.ts";
import type { TaskId } from "../../model/ids.ts";
import { type ApiRequest, boolParam, param, type Reply } from "../http.ts";
import type { Router } from "../router.ts";
import { CommandLines } from "./command-lines.ts";
import { createContainer } from "./container-create.ts";
import { inspectContainer, rawInspect } from "./container-inspect.ts";
import { listContainers } from "./container-list.ts";
import { topContainer } from "./container-top.ts";
import { updateContainer } from "./container-update.ts";
import { waitContainer } from "./container-wait.ts";
import { ATTACHMENT_LABEL, type EngineContext } from "./context.ts";
import { Filters } from "./filters.ts";
import type { HeldStreams } from "./held-streams.ts";
import { MULTIPLEXED_STREAM, RAW_STREAM } from "./hijack.ts";
import { type Json, list, object, strings, text, without } from "./json.ts";
import { type ProxyOptions, proxied, proxy } from "./proxy.ts";
import type { Subject } from "./refusals.ts";
import { COMPAT } from "./upstream.ts";

const PRUNE_FILTERS = ["until", "label", "label!"];

export function containerRoutes(ctx: EngineContext, held: HeldStreams): (router: Router) => void {
  const { upstream } = ctx;
  const named = (req: ApiRequest): Subject => ({ kind: "container", name: param(req, "id") });
  const on = (options: (req: ApiRequest) => ProxyOptions = () => ({})) =>
    proxied(upstream, (req) => ({ subject: named(req), ...options(req) }));
  const lines = new CommandLines(ctx);
  return (router) => {
    router.add("GET", "/containers/json", (req) => listContainers(ctx, lines, req));
    router.add("POST", "/containers/create", (req) => createContainer(ctx, req));
    router.add("POST", "/containers/prune", (req) => prune(ctx, req));
    router.add("GET", "/containers/{id}/json", (req) => inspectContainer(ctx, req));
    router.add("POST", "/containers/{id}/wait", (req, res) => waitContainer(ctx, held, req, res));
    router.add("GET", "/containers/{id}/top", (req) => topContainer(ctx, req));
    router.add("GET", "/containers/{id}/logs", (req, res) => logs(ctx, req, res));
    router.add(
      "GET",
      "/containers/{id}/stats",
      on((req) => stats(req)),
    );
    router.add("GET", "/containers/{id}/changes", (req, res) => changes(ctx, req, res));
    router.add(
      "GET",
      "/containers/{id}/export",
      on(() => ({ contentType: "application/octet-stream" })),
    );
    for (const method of ["HEAD", "GET", "PUT"] as const) {
      router.add(method, "/containers/{id}/archive", (req, res) => archive(ctx, req, res));
    }
    router.add("POST", "/containers/{id}/start", (req, res) => start(ctx, held, req, res));
    router.add("POST", "/containers/{id}/restart", async (req, res) => {
      await ensureSandbox(ctx, param(req, "id"));
      return proxy(upstream, req, res, { subject: named(req) });
    });
    for (const action of ["stop", "pause", "unpause", "resize", "rename"] as const) {
      router.add("POST", `/containers/{id}/${action}`, on());
    }
    router.add("POST", "/containers/{id}/kill", on());
    router.add("POST", "/containers/{id}/update", (req) => updateContainer(ctx, req));
    router.add("DELETE", "/containers/{id}", (req) => remove(ctx, req));
  };
}

async function start(
  ctx: EngineContext,
  held: HeldStreams,
  req: ApiRequest,
  res: ServerResponse,
): Promise<Reply | undefined> {
  const name = param(req, "id");
  let id = name;
  try {
    id = text(object(await rawInspect(ctx, name)).Id);
    await ensureSandbox(ctx, id);
    const subject: Subject = { kind: "container", name };
    return await proxy(ctx.upstream, req, res, { subject, query: new URLSearchParams() });
  } catch (e) {
    const why = hasCode(e, "not_found") ? held.why(id) : undefined;
    held.release(id);
    throw why ?? e;
  }
}

/** A container on an attachable network needs its sandbox, which a restart of the host takes away. */
async function ensureSandbox(ctx: EngineContext, id: string): Promise<void> {
  const taskId = await attachmentOf(ctx, id);
  if (taskId !== undefined) await ctx.attachments.ensure(taskId);
}

async function attachmentOf(ctx: EngineContext, id: string): Promise<TaskId | undefined> {
  const labels = strings(object(object(await rawInspect(ctx, id)).Config).Labels);
  return labels[ATTACHMENT_LABEL] as TaskId | undefined;
}

/** @throws SkepError "not_found", "conflict" when it runs and `force` is not asked for */
async function remove(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const id = param(req, "id");
  const taskId = await attachmentOf(ctx, id);
  const query = { force: String(boolParam(req.query, "force")), v: String(boolParam(req.query, "v")) };
  await ctx.upstream.json("DELETE", `${COMPAT}/containers/${encodeURIComponent(id)}`, {
    query,
    subject: { kind: "container", name: id },
  });
  if (taskId !== undefined) await ctx.attachments.release(taskId);
  return { status: 204 };
}

async function prune(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  Filters.of(req.query, PRUNE_FILTERS);
  const answer = object(await ctx.upstream.json("POST", `${COMPAT}/containers/prune`, { query: req.query }));
  const deleted = list(answer.ContainersDeleted);
  return {
    json: { ContainersDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: answer.SpaceReclaimed ?? 0 },
  };
}

async function logs(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<Reply | undefined> {
  const id = param(req, "id");
  const tty = object(object(await rawInspect(ctx, id)).Config).Tty === true;
  return proxy(ctx.upstream, req, res, {
    subject: { kind: "container", name: id },
    contentType: tty || req.minor < 42 ? RAW_STREAM : MULTIPLEXED_STREAM,
  });
}

function stats(req: ApiRequest): ProxyOptions {
  let before: Json | undefined;
  return {
    contentType: "application/json",
    line: (document) => {
      const now = object(document);
      const shown = {
        ...without(now, "Id", "name"),
        id: now.Id ?? now.id,
        name: `/${text(now.name).replace(/^\//, "")}`,
        networks: object(now.networks),
        // Podman leaves the first one empty, of which clients compute nonsense
        ...(before === undefined ? {} : { precpu_stats: before.cpu_stats, preread: before.read }),
      };
      if (!req.signal.aborted) before = now;
      return shown;
    },
  };
}

/** Podman takes the name of an image too, and the beginning of either: so the container's id is put in its place. */
async function changes(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<Reply | undefined> {
  const id = text(object(await rawInspect(ctx, param(req, "id"))).Id);
  return proxy(ctx.upstream, req, res, {
    path: `${COMPAT}/containers/${id}/changes`,
    map: (found) => (list(found).length === 0 ? null : found),
  });
}

/** `docker cp`. @throws SkepError "not_found" in Docker's words, for the container or the file */
async function archive(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<Reply | undefined> {
  const name = param(req, "id");
  const path = req.query.get("path") ?? "";
  if (path === "") throw new SkepError("invalid", "bad parameter: 'path' cannot be empty");
  await rawInspect(ctx, name);
  try {
    return await proxy(ctx.upstream, req, res, {});
  } catch (e) {
    const noFile = hasCode(e, "not_found") || (e instanceof SkepError && /no such file/i.test(messageOf(e.cause ?? e)));
    if (!noFile || res.headersSent) throw e;
    throw new SkepError("not_found", `Could not find the file ${path} in container ${name}`, {}, e);
  }
}
