// POST /containers/{id}/wait. Podman's own loses the exit code of a container that is removed as it ends (`docker run --rm`), so the
// engine's events are followed instead; the answer's head goes out at once, since clients start the container only after they have it.
import type { ServerResponse } from "node:http";
import { hasCode, SkepError } from "../../model/errors.ts";
import { type ApiRequest, param } from "../http.ts";
import { rawInspect } from "./container-inspect.ts";
import type { EngineContext } from "./context.ts";
import type { FeedItem } from "./feed.ts";
import type { HeldStreams } from "./held-streams.ts";
import { count, object, text } from "./json.ts";

type Condition = "not-running" | "next-exit" | "removed";
const CONDITIONS: readonly string[] = ["not-running", "next-exit", "removed"];

/** Of a container whose command could not be run, as a shell has it. */
const NOT_RUN = 127;

export async function waitContainer(
  ctx: EngineContext,
  held: HeldStreams,
  req: ApiRequest,
  res: ServerResponse,
): Promise<undefined> {
  const id = param(req, "id");
  const asked = req.query.get("condition") ?? "";
  if (asked !== "" && !CONDITIONS.includes(asked)) {
    throw new SkepError("invalid", `invalid condition: "${asked}"`);
  }
  const condition = (asked === "" ? "not-running" : asked) as Condition;
  const stop = new AbortController();
  const signal = AbortSignal.any([req.signal, stop.signal]);
  try {
    const items = await ctx.feed.follow(signal); // before the look at the container, so that nothing falls between
    const found = await look(ctx, id);
    if (!found && !held.why(id)) throw new SkepError("not_found", `No such container: ${id}`);
    res.writeHead(200, { "Content-Type": "application/json" });
    res.flushHeaders();
    const code = found ? await exitCode(ctx, found, condition, items) : NOT_RUN;
    if (code !== undefined) res.write(`${JSON.stringify({ StatusCode: code })}\n`);
    await new Promise<void>((resolve) => res.end(resolve));
  } finally {
    stop.abort();
  }
  return undefined;
}

interface Seen {
  readonly id: string;
  readonly running: boolean;
  readonly exitCode: number;
}

/** `undefined` when the client has gone. */
async function exitCode(
  ctx: EngineContext,
  found: Seen,
  condition: Condition,
  items: AsyncIterable<FeedItem>,
): Promise<number | undefined> {
  let last = found.exitCode;
  if (condition === "not-running" && !found.running) return last;
  for await (const item of items) {
    if ("gap" in item) {
      const now = await look(ctx, found.id).catch((e: unknown) => {
        if (hasCode(e, "unavailable")) return found; // it went away again, and comes back with another gap
        throw e;
      });
      if (!now) return last; // ended and removed unseen: the code went with it
      last = now.running ? last : now.exitCode;
      if (!now.running && condition !== "removed" && found.running) return last;
      continue;
    }
    const { Actor, Action } = item.event;
    if (Actor.ID !== found.id) continue;
    if (Action === "die") {
      last = Number(Actor.Attributes.exitCode ?? 0);
      if (condition !== "removed") return last;
    }
    if (Action === "destroy") return last;
  }
  return undefined;
}

async function look(ctx: EngineContext, id: string): Promise<Seen | undefined> {
  try {
    const raw = object(await rawInspect(ctx, id));
    const state = object(raw.State);
    const running = state.Running === true || ["paused", "stopping"].includes(text(state.Status));
    return { id: text(raw.Id), running, exitCode: count(state.ExitCode) };
  } catch (e) {
    if (hasCode(e, "not_found")) return undefined;
    throw e;
  }
}
