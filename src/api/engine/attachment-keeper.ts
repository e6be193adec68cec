// Lets attachments go when their containers do, whoever removes them: `docker rm`, `--rm` at its end, `podman rm` on the host, or somebody
// while the daemon was down. The daemon runs one of these for its whole life.
import { pause } from "../../model/clock.ts";
import { hasCode, messageOf } from "../../model/errors.ts";
import type { TaskId } from "../../model/ids.ts";
import { ATTACHMENT_LABEL, type EngineContext } from "./context.ts";
import { list, object, strings, text } from "./json.ts";
import { LIBPOD } from "./upstream.ts";

/** A container is created within this after its attachment, or never: the daemon died between the two. */
const CREATION_MS = 60_000;
const AGAIN_MS = 1_000;

type Needs = Pick<EngineContext, "upstream" | "feed" | "attachments" | "clock" | "log">;

/** Resolves when the signal aborts. Whatever goes wrong, it begins again with a comparison. */
export async function keepAttachments(ctx: Needs, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await follow(ctx, signal);
    } catch (e) {
      ctx.log.warn({ err: messageOf(e) }, "cannot keep attachments and containers in step; will try again");
    }
    await pause(ctx.clock, AGAIN_MS, signal);
  }
}

async function follow(ctx: Needs, signal: AbortSignal): Promise<void> {
  const items = await ctx.feed.follow(signal);
  await sweep(ctx);
  for await (const item of items) {
    if ("gap" in item) await sweep(ctx);
    else if (item.event.Type === "container" && item.event.Action === "destroy")
      await released(ctx, item.event.Actor.ID);
  }
}

async function released(ctx: Needs, containerId: string): Promise<void> {
  for (const { taskId, containerId: of } of ctx.attachments.list()) {
    if (of === containerId) await ctx.attachments.release(taskId);
  }
}

/** Compares the attachments with the containers that there are. */
async function sweep(ctx: Needs): Promise<void> {
  // Before the containers are listed: one that is made meanwhile is not to be missed.
  const known = ctx.attachments.list();
  let containers: readonly unknown[];
  try {
    const query = { all: "true", filters: JSON.stringify({ label: [ATTACHMENT_LABEL] }) };
    containers = list(await ctx.upstream.listing(`${LIBPOD}/containers/json`, { query }));
  } catch (e) {
    ctx.log.warn({ err: messageOf(e) }, "cannot compare attachments with containers: the engine does not answer");
    return; // it comes back with a gap, and then this is done
  }
  const kept = new Map(containers.map((c) => [strings(object(c).Labels)[ATTACHMENT_LABEL], text(object(c).Id)]));
  for (const { taskId, containerId, createdAt } of known) {
    const found = kept.get(taskId);
    const isLate = ctx.clock.now() - Date.parse(createdAt) > CREATION_MS;
    if (found === undefined && (containerId !== "" || isLate)) await ctx.attachments.release(taskId);
    if (found !== undefined && containerId === "") await bind(ctx, taskId, found);
  }
}

async function bind(ctx: Needs, taskId: TaskId, containerId: string): Promise<void> {
  try {
    await ctx.attachments.bind(taskId, containerId);
  } catch (e) {
    if (!hasCode(e, "not_found")) throw e; // it was released meanwhile
  }
}
