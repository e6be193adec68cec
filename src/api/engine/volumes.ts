// The routes of volumes. Podman prunes named volumes too, where Docker since API 1.42 takes only anonymous ones unless told otherwise, so
// pruning is done from here, one by one.
import { hasCode, SkepError } from "../../model/errors.ts";
import { type ApiRequest, boolParam, param, type Reply } from "../http.ts";
import type { Router } from "../router.ts";
import type { EngineContext } from "./context.ts";
import { Filters } from "./filters.ts";
import { count, type Json, list, object, strings, text } from "./json.ts";
import { proxied } from "./proxy.ts";
import { noSuch } from "./refusals.ts";
import { COMPAT, LIBPOD } from "./upstream.ts";

const ACCEPTED = ["dangling", "driver", "label", "name"];
const PRUNE_ACCEPTED = ["all", "label", "label!"];

export function volumeRoutes(ctx: EngineContext): (router: Router) => void {
  return (router) => {
    router.add("GET", "/volumes", (req) => listVolumes(ctx, req));
    router.add(
      "POST",
      "/volumes/create",
      proxied(ctx.upstream, () => ({ status: 201, map: (v) => volume(object(v)) })),
    );
    router.add("POST", "/volumes/prune", (req) => prune(ctx, req));
    router.add("GET", "/volumes/{name}", async (req) => ({ json: await inspectVolume(ctx, param(req, "name")) }));
    router.add("DELETE", "/volumes/{name}", (req) => remove(ctx, req));
  };
}

async function listVolumes(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const filters = Filters.of(req.query, ACCEPTED);
  const dangling = filters.boolean("dangling");
  const query = dangling === undefined ? {} : { filters: JSON.stringify({ dangling: [String(dangling)] }) };
  const answer = object(await ctx.upstream.json("GET", `${COMPAT}/volumes`, { query }));
  const chosen = list(answer.Volumes)
    .map((v) => volume(object(v)))
    .filter(
      (v) =>
        filters.match("name", text(v.Name)) &&
        filters.exact("driver", text(v.Driver)) &&
        filters.labels(strings(v.Labels)),
    );
  return { json: { Volumes: chosen, Warnings: null } };
}

function volume(v: Json): Json {
  const options = strings(v.Options);
  return {
    CreatedAt: v.CreatedAt,
    Driver: text(v.Driver) === "" ? "local" : v.Driver,
    Labels: Object.keys(strings(v.Labels)).length === 0 ? null : v.Labels,
    Mountpoint: v.Mountpoint,
    Name: v.Name,
    Options: Object.keys(options).length === 0 ? null : options,
    Scope: "local",
  };
}

/** Podman takes the beginning of a name for the name; Docker does not. @throws SkepError "not_found" */
async function inspectVolume(ctx: EngineContext, name: string): Promise<Json> {
  const subject = { kind: "volume", name } as const;
  const found = object(await ctx.upstream.json("GET", `${COMPAT}/volumes/${encodeURIComponent(name)}`, { subject }));
  if (text(found.Name) !== name) throw new SkepError("not_found", noSuch(subject));
  return volume(found);
}

async function remove(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const name = param(req, "name");
  try {
    await inspectVolume(ctx, name);
    await ctx.upstream.json("DELETE", `${COMPAT}/volumes/${encodeURIComponent(name)}`, {
      subject: { kind: "volume", name },
    });
  } catch (e) {
    // Docker's force means "no complaint when there is none"; Podman's would remove the containers that use it
    if (!(boolParam(req.query, "force") && hasCode(e, "not_found"))) throw e;
  }
  return { status: 204 };
}

async function prune(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const filters = Filters.of(req.query, PRUNE_ACCEPTED);
  const all = filters.boolean("all") ?? req.minor < 42;
  const query = { filters: JSON.stringify({ dangling: ["true"] }) };
  const [unused, sizes] = await Promise.all([
    ctx.upstream.json("GET", `${LIBPOD}/volumes/json`, { query }),
    volumeSizes(ctx),
  ]);
  const removed: string[] = [];
  let reclaimed = 0;
  for (const v of list(unused).map(object)) {
    const name = text(v.Name);
    if (!(all || v.Anonymous === true) || !filters.labels(strings(v.Labels))) continue;
    const { status } = await ctx.upstream.ask("DELETE", `${LIBPOD}/volumes/${encodeURIComponent(name)}`);
    if (status >= 300) continue; // taken into use meanwhile
    removed.push(name);
    reclaimed += sizes.get(name)?.Size ?? 0;
  }
  return { json: { VolumesDeleted: removed.length === 0 ? null : removed, SpaceReclaimed: reclaimed } };
}

/** Bytes and users of every volume, by name. */
export async function volumeSizes(
  ctx: Pick<EngineContext, "upstream">,
): Promise<ReadonlyMap<string, { readonly Size: number; readonly RefCount: number }>> {
  const answer = object(await ctx.upstream.listing(`${LIBPOD}/system/df`));
  return new Map(
    list(answer.Volumes).map((v) => {
      const { VolumeName, Size, Links } = object(v);
      return [text(VolumeName), { Size: count(Size), RefCount: count(Links) }];
    }),
  );
}

/** Every volume with its usage, for `docker system df`. */
export async function volumesWithUsage(ctx: Pick<EngineContext, "upstream">): Promise<Json[]> {
  const [answer, sizes] = await Promise.all([ctx.upstream.json("GET", `${COMPAT}/volumes`), volumeSizes(ctx)]);
  return list(object(answer).Volumes).map((value) => {
    const v = volume(object(value));
    return { ...v, UsageData: sizes.get(text(v.Name)) ?? { Size: -1, RefCount: -1 } };
  });
}
