// GET /services/{id}/logs and /tasks/{id}/logs: the logs of the tasks' containers on this node as one framed stream. With `follow`, tasks
// that come later join in.
import type { IncomingMessage, ServerResponse } from "node:http";
import { hasCode, messageOf, SkepError } from "../../model/errors.ts";
import type { Task } from "../../model/objects.ts";
import { notFound } from "../errors.ts";
import { type ApiRequest, boolParam, param } from "../http.ts";
import type { EngineContext } from "./context.ts";
import { FrameReader, frame } from "./frames.ts";
import { MULTIPLEXED_STREAM, RAW_STREAM } from "./hijack.ts";
import { COMPAT } from "./upstream.ts";

/** @throws SkepError "not_found" */
export async function serviceLogs(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<undefined> {
  const name = param(req, "id");
  const { view } = ctx.store;
  const found =
    view.get("service", name) ??
    view.byName("service", name)[0] ??
    only(view.all("service").filter((s) => s.id.startsWith(name)));
  if (!found || found.pendingDelete) throw notFound("service", name);
  return streamLogs(ctx, req, res, () => ctx.store.view.tasksOfService(found.id));
}

/** @throws SkepError "not_found" */
export async function taskLogs(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<undefined> {
  const id = param(req, "id");
  const { view } = ctx.store;
  const found = view.get("task", id) ?? only(view.all("task").filter((t) => t.id.startsWith(id)));
  if (!found) throw notFound("task", id);
  return streamLogs(ctx, req, res, () => [ctx.store.view.get("task", found.id)].filter((t) => t !== undefined));
}

function only<T>(found: readonly T[]): T | undefined {
  return found.length === 1 ? found[0] : undefined;
}

async function streamLogs(
  ctx: EngineContext,
  req: ApiRequest,
  res: ServerResponse,
  tasks: () => readonly Task[],
): Promise<undefined> {
  if (!boolParam(req.query, "stdout") && !boolParam(req.query, "stderr")) {
    throw new SkepError("invalid", "Bad parameters: you must choose at least one stream");
  }
  const follow = boolParam(req.query, "follow");
  const tty = tasks().some((t) => t.spec.ContainerSpec?.TTY === true);
  const stop = new AbortController();
  const signal = AbortSignal.any([req.signal, stop.signal]);
  const out = new Output(res, signal, tty);
  try {
    const watch = follow ? ctx.store.watch(signal) : undefined;
    res.writeHead(200, { "Content-Type": tty || req.minor < 42 ? RAW_STREAM : MULTIPLEXED_STREAM });
    res.flushHeaders();
    const running = new Map<string, Promise<void>>();
    const join = (query: URLSearchParams) => {
      for (const task of tasks()) {
        const id = task.status.container?.id;
        if (id === undefined || running.has(id)) continue;
        running.set(id, copyLogs(ctx, req, query, task, id, out, signal));
      }
    };
    const whole = new URLSearchParams(req.query);
    whole.delete("tail");
    join(req.query);
    for await (const _commit of watch?.commits ?? []) join(whole); // who comes later is heard from its beginning
    await Promise.all(running.values());
    await new Promise<void>((resolve) => res.end(resolve));
  } finally {
    stop.abort();
  }
  return undefined;
}

/** One container's log, line by line. A container that has gone has no log any more, and the others go on. */
async function copyLogs(
  ctx: EngineContext,
  req: ApiRequest,
  asked: URLSearchParams,
  task: Task,
  id: string,
  out: Output,
  signal: AbortSignal,
): Promise<void> {
  const query = new URLSearchParams(asked);
  query.delete("details");
  const prefix = boolParam(req.query, "details") ? details(task) : "";
  const timestamps = boolParam(req.query, "timestamps");
  try {
    const answer = await ctx.upstream.send("GET", `${COMPAT}/containers/${id}/logs`, { query, signal });
    if ((answer.statusCode ?? 500) >= 300) {
      answer.resume();
      return;
    }
    const lines = new FrameReader(task.spec.ContainerSpec?.TTY === true);
    for await (const chunk of answer as AsyncIterable<Buffer> & IncomingMessage) {
      for (const { stream, line } of lines.push(chunk)) await out.line(stream, detailed(line, prefix, timestamps));
    }
    for (const { stream, line } of lines.end()) await out.line(stream, detailed(line, prefix, timestamps));
  } catch (e) {
    if (signal.aborted || hasCode(e, "timeout")) return;
    ctx.log.warn({ container: id, err: messageOf(e) }, "reading a task's log broke off");
  }
}

/** What the CLI reads back to say whose line it is (cli/command/service/logs.go). */
function details(task: Task): string {
  const pairs = [
    ["com.docker.swarm.node.id", task.nodeId ?? ""],
    ["com.docker.swarm.service.id", task.serviceId ?? ""],
    ["com.docker.swarm.task.id", task.id],
  ];
  return pairs.map(([k, v]) => `${k}=${encodeURIComponent(v ?? "")}`).join(",");
}

/** With timestamps, the details stand behind the first word. */
function detailed(line: Buffer, prefix: string, timestamps: boolean): Buffer {
  if (prefix === "") return line;
  const space = timestamps ? line.indexOf(0x20) : -1;
  const head = space < 0 ? Buffer.alloc(0) : line.subarray(0, space + 1);
  return Buffer.concat([head, Buffer.from(`${prefix} `), line.subarray(space + 1)]);
}

/** Whole lines of many logs into one answer, with its back-pressure. */
class Output {
  readonly #res: ServerResponse;
  readonly #signal: AbortSignal;
  readonly #raw: boolean;

  constructor(res: ServerResponse, signal: AbortSignal, raw: boolean) {
    this.#res = res;
    this.#signal = signal;
    this.#raw = raw;
  }

  async line(stream: number, line: Buffer): Promise<void> {
    if (this.#signal.aborted) return;
    if (this.#res.write(this.#raw ? line : frame(stream, line))) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#res.off("drain", done).off("close", done);
        this.#signal.removeEventListener("abort", done);
        resolve();
      };
      this.#res.on("drain", done).on("close", done);
      this.#signal.addEventListener("abort", done);
    });
  }
}
