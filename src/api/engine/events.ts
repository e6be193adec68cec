// GET /events: the engine's events and the swarm's in one stream, with Docker's filters, `since` and `until`.
import type { ServerResponse } from "node:http";
import { SkepError } from "../../model/errors.ts";
import { type ApiEvent, eventJson } from "../event-bus.ts";
import type { ApiRequest } from "../http.ts";
import type { EngineContext } from "./context.ts";
import { Filters, imageForms } from "./filters.ts";
import { translateEvent } from "./translate-event.ts";
import { LIBPOD } from "./upstream.ts";

const ACCEPTED = [
  ...["config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret"],
  ...["service", "type", "volume"],
];
const NANO = 1_000_000_000n;

export async function streamEvents(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<undefined> {
  const filters = Filters.of(req.query, ACCEPTED);
  const now = BigInt(Math.trunc(ctx.clock.now())) * 1_000_000n;
  const since = instant(req.query.get("since"), now);
  const until = instant(req.query.get("until"), now);
  const stop = new AbortController();
  const signal = AbortSignal.any([req.signal, stop.signal]);
  const ends =
    until !== undefined && until > now
      ? ctx.clock.after(Number((until - now) / 1_000_000n), () => stop.abort())
      : undefined;
  try {
    // Live before past, so that nothing falls between; what is in both is told once.
    const follows = until === undefined || until > now;
    const swarm = follows ? ctx.events.follow(signal) : undefined;
    const live = follows ? await ctx.feed.follow(signal) : undefined;
    res.writeHead(200, { "Content-Type": "application/json" });
    res.flushHeaders();
    const told = new Set<string>();
    const tell = async (event: ApiEvent) => {
      if (until !== undefined && event.timeNano > until) return;
      const key = `${event.timeNano} ${event.Type} ${event.Action} ${event.Actor.ID}`;
      if (told.has(key) || !isWanted(event, filters)) return;
      if (event.timeNano <= now) told.add(key); // only the past can come twice
      if (!res.write(`${eventText(event)}\n`)) await drained(res, signal);
    };
    if (since !== undefined) for (const event of await past(ctx, since, until ?? now)) await tell(event);
    await Promise.all([
      (async () => {
        for await (const item of live ?? []) if ("event" in item) await tell(item.event);
      })(),
      (async () => {
        for await (const event of swarm ?? []) await tell(event);
      })(),
    ]);
    await new Promise<void>((resolve) => res.end(resolve));
  } finally {
    ends?.cancel();
    stop.abort();
  }
  return undefined;
}

/** From both sources, oldest first. */
async function past(ctx: EngineContext, since: bigint, until: bigint): Promise<ApiEvent[]> {
  const seconds = (nano: bigint) => `${nano / NANO}.${String(nano % NANO).padStart(9, "0")}`;
  // Without `until`: Podman 4.3 takes a number there for something else and answers with nothing.
  const query = { stream: "false", since: seconds(since) };
  const { status, text } = await ctx.upstream.ask("GET", `${LIBPOD}/events`, { query });
  if (status >= 300) throw new SkepError("internal", `the engine's past events: ${text}`);
  const engine = text
    .split("\n")
    .map(translateEvent)
    .filter((e) => e !== undefined)
    .filter((e) => e.timeNano >= since && e.timeNano <= until);
  const swarm = ctx.events.past(since).filter((e) => e.timeNano <= until);
  return [...engine, ...swarm].sort((a, b) => (a.timeNano < b.timeNano ? -1 : 1));
}

/** Before 1.22 … 1.51 containers and images also carry the old names of the fields, which scripts still read. */
function eventText(event: ApiEvent): string {
  const json = eventJson(event);
  if (event.Type !== "container" && event.Type !== "image") return json;
  const from = event.Type === "container" ? event.Actor.Attributes.image : undefined;
  const old = {
    status: event.Action,
    id: event.Actor.ID,
    ...(from === undefined ? {} : { from }),
  };
  return `${JSON.stringify(old).slice(0, -1)},${json.slice(1)}`;
}

function isWanted(e: ApiEvent, filters: Filters): boolean {
  const { Attributes, ID } = e.Actor;
  const of = (type: string) =>
    !filters.has(type) ||
    (e.Type === type && filters.get(type).some((w) => ID === w || ID.startsWith(w) || Attributes.name === w));
  return (
    filters.exact("type", e.Type) &&
    filters.exact("event", e.Action, e.Action.split(":")[0] ?? "") &&
    filters.exact("scope", e.scope) &&
    filters.labels(Attributes) &&
    ["container", "volume", "network", "service", "node", "secret", "config", "plugin", "daemon"].every(of) &&
    hasImage(e, filters)
  );
}

function hasImage(e: ApiEvent, filters: Filters): boolean {
  if (!filters.has("image")) return true;
  const name = e.Type === "image" ? e.Actor.Attributes.name : e.Actor.Attributes.image;
  const forms = imageForms(name ?? "");
  return filters.get("image").some((w) => e.Actor.ID === w || imageForms(w).some((f) => forms.includes(f)));
}

/** A time as Docker's clients send it: seconds with or without a fraction, RFC 3339, or a duration before now. @throws "invalid" */
export function instant(value: string | null, nowNano: bigint): bigint | undefined {
  if (value === null || value === "") return undefined;
  const number = /^(-?\d+)(?:\.(\d{1,9}))?$/.exec(value);
  if (number) {
    const seconds = BigInt(number[1] ?? "0");
    return seconds * NANO + BigInt((number[2] ?? "").padEnd(9, "0") || "0");
  }
  const duration = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(value);
  if (duration) {
    const [, h, m, s] = duration;
    const ms = (Number(h ?? 0) * 3600 + Number(m ?? 0) * 60 + Number(s ?? 0)) * 1000;
    return nowNano - BigInt(Math.round(ms)) * 1_000_000n;
  }
  const date = Date.parse(value);
  if (Number.isNaN(date)) throw new SkepError("invalid", `failed to parse value "${value}" as time or duration`);
  return BigInt(date) * 1_000_000n;
}

function drained(res: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      res.off("drain", done).off("close", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    res.on("drain", done).on("close", done);
    signal.addEventListener("abort", done);
  });
}
