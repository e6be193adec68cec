// The routes of images. Podman keeps full names and Docker shows familiar ones, so every answer with a name in it is rewritten; pulling and
// pushing are image-pull.ts and image-push.ts, registry look-ups are distribution.ts.
import { familiarImageName, familiarRepository, parseImageName } from "../../engine/index.ts";
import { SkepError } from "../../model/errors.ts";
import { type ApiRequest, jsonBody, param, type Reply } from "../http.ts";
import type { Router } from "../router.ts";
import type { EngineContext } from "./context.ts";
import { Filters } from "./filters.ts";
import { createImage } from "./image-pull.ts";
import { pushImage } from "./image-push.ts";
import { count, emptyAs, type Json, list, object, strings, text, without } from "./json.ts";
import { type ProxyOptions, proxied, proxy } from "./proxy.ts";
import { refusal } from "./refusals.ts";
import { COMPAT } from "./upstream.ts";

const ACCEPTED = ["before", "dangling", "label", "label!", "reference", "since", "until"];
const PRUNE_ACCEPTED = ["dangling", "label", "label!", "until"];

export function imageRoutes(ctx: EngineContext): (router: Router) => void {
  const { upstream } = ctx;
  const on = (options: (req: ApiRequest) => ProxyOptions = () => ({})) =>
    proxied(upstream, (req) => ({ subject: { kind: "image", name: param(req, "name") }, ...options(req) }));
  return (router) => {
    router.add("GET", "/images/json", (req) => listImages(ctx, req));
    router.add("POST", "/images/create", (req, res) => createImage(ctx, req, res));
    router.add(
      "POST",
      "/images/load",
      proxied(upstream, () => ({ line: loadLine, contentType: "application/json" })),
    );
    router.add("POST", "/images/prune", (req) => prune(ctx, req));
    router.add("GET", "/images/search", (req) => search(ctx, req));
    router.add(
      "GET",
      "/images/get",
      proxied(upstream, (req) => ({
        subject: { kind: "image", name: req.query.get("names") ?? "" },
        contentType: "application/x-tar",
      })),
    );
    router.add(
      "GET",
      "/images/{name:.*}/get",
      on(() => ({ contentType: "application/x-tar" })),
    );
    router.add(
      "GET",
      "/images/{name:.*}/json",
      on((req) => ({ query: new URLSearchParams(), map: (i) => inspect(i, req.minor) })),
    );
    router.add(
      "GET",
      "/images/{name:.*}/history",
      on(() => ({ map: (h) => list(h).map(historyEntry) })),
    );
    router.add(
      "POST",
      "/images/{name:.*}/tag",
      on((req) => ({ query: checkedTag(req.query) })),
    );
    router.add("POST", "/images/{name:.*}/push", (req, res) => pushImage(ctx, req, res));
    router.add(
      "DELETE",
      "/images/{name:.*}",
      on(() => ({ map: deletions })),
    );
    router.add("POST", "/commit", (req, res) => commit(ctx, req, res));
    router.add(
      "POST",
      "/build",
      proxied(upstream, () => ({ contentType: "application/json", line: (d) => d })),
    );
    router.add("POST", "/build/prune", () => ({ json: { CachesDeleted: null, SpaceReclaimed: 0 } }));
    router.add("POST", "/build/cancel", () => ({ status: 204 }));
  };
}

async function listImages(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const filters = Filters.of(req.query, ACCEPTED);
  const images = await allImages(ctx, req.minor);
  const createdOf = (field: string) => {
    const named = filters.get(field)[0];
    if (named === undefined) return undefined;
    const found = images.find((i) => isNamed(i, named));
    if (!found) throw new SkepError("not_found", `No such image: ${familiarImageName(named)}`);
    return count(found.Created);
  };
  const before = createdOf("before");
  const since = createdOf("since");
  const until = filters.get("until")[0];
  const dangling = filters.boolean("dangling");
  const chosen = images.filter(
    (i) =>
      filters.labels(strings(i.Labels)) &&
      (dangling === undefined || dangling === (list(i.RepoTags).length === 0)) &&
      (before === undefined || count(i.Created) < before) &&
      (since === undefined || count(i.Created) > since) &&
      (until === undefined || count(i.Created) < untilSeconds(until)),
  );
  return { json: filters.has("reference") ? chosen.flatMap((i) => referenced(i, filters.get("reference"))) : chosen };
}

/** Every image in Docker's shape. */
export async function allImages(ctx: Pick<EngineContext, "upstream">, minor: number): Promise<Json[]> {
  const images = list(await ctx.upstream.json("GET", `${COMPAT}/images/json`)).map(object);
  return images.map((i) => ({
    Containers: -1,
    Created: i.Created,
    Id: i.Id,
    Labels: i.Labels ?? null,
    ParentId: i.ParentId ?? "",
    RepoDigests: names(i.RepoDigests),
    RepoTags: names(i.RepoTags),
    SharedSize: -1,
    Size: i.Size,
    ...(minor < 44 ? { VirtualSize: i.Size } : {}),
  }));
}

function names(value: unknown): string[] {
  return list(value)
    .map(text)
    .filter((n) => !n.startsWith("<none>"))
    .map(familiarImageName);
}

function isNamed(image: Json, named: string): boolean {
  const id = text(image.Id).replace(/^sha256:/, "");
  const wanted = named.replace(/^sha256:/, "");
  return (
    (/^[0-9a-f]{4,64}$/.test(wanted) && id.startsWith(wanted)) ||
    list(image.RepoTags).includes(familiarImageName(named))
  );
}

/** Of an image's names, those that a pattern of shell wildcards fits, with or without their tag. */
function referenced(image: Json, patterns: readonly string[]): Json[] {
  const fits = (name: string) => {
    const bare = familiarRepository(parseImageName(name));
    return patterns.some((p) => {
      const regex = wildcard(p);
      return regex.test(name) || regex.test(bare);
    });
  };
  const tags = list(image.RepoTags).map(text).filter(fits);
  const digests = list(image.RepoDigests).map(text).filter(fits);
  return tags.length + digests.length === 0 ? [] : [{ ...image, RepoTags: tags, RepoDigests: digests }];
}

/** Go's path.Match: `*` and `?` do not cross slashes. */
function wildcard(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  try {
    return new RegExp(`^${source}$`);
  } catch (e) {
    throw new SkepError("invalid", `invalid filter 'reference=${pattern}'`, {}, e);
  }
}

function untilSeconds(text: string): number {
  const ago = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  if (ago && text !== "") {
    const [, h, m, s] = ago;
    return Date.now() / 1000 - (Number(h ?? 0) * 3600 + Number(m ?? 0) * 60 + Number(s ?? 0));
  }
  const number = Number(text);
  return Number.isFinite(number) ? number : Date.parse(text) / 1000;
}

function inspect(answer: unknown, minor: number): Json {
  const i = object(answer);
  const config = object(i.Config);
  return {
    ...without(i, "ContainerConfig", "Container", "VirtualSize"),
    RepoTags: names(i.RepoTags),
    RepoDigests: names(i.RepoDigests),
    Config: { ...config, Cmd: emptyAs(config.Cmd, null), Entrypoint: emptyAs(config.Entrypoint, null) },
    ...(minor < 44 ? { VirtualSize: i.Size } : {}),
    ...(minor < 45 ? { Container: i.Container ?? "", ContainerConfig: i.ContainerConfig ?? null } : {}),
  };
}

function historyEntry(value: unknown): Json {
  const h = object(value);
  const id = text(h.Id);
  return { ...h, Id: /^[0-9a-f]{64}$/.test(id) ? `sha256:${id}` : id, Tags: h.Tags === null ? null : names(h.Tags) };
}

/** Podman takes bad names and answers with a fault of its own. @throws SkepError "invalid" */
function checkedTag(query: URLSearchParams): URLSearchParams {
  const tag = query.get("tag") ?? "";
  parseImageName(`${query.get("repo") ?? ""}${tag === "" ? "" : `:${tag}`}`);
  return query;
}

function deleted(row: unknown): Json {
  const { Untagged, Deleted } = object(row);
  if (typeof Untagged === "string") return { Untagged: familiarImageName(Untagged) };
  const id = text(Deleted);
  return { Deleted: /^[0-9a-f]{64}$/.test(id) ? `sha256:${id}` : id };
}

/** What lost its name before what is gone, as Docker tells it. */
function deletions(rows: unknown): Json[] {
  const all = list(rows).map(deleted);
  return [...all.filter((r) => r.Untagged !== undefined), ...all.filter((r) => r.Untagged === undefined)];
}

function loadLine(document: unknown): unknown {
  const d = object(document);
  const loaded = /^Loaded image(?:\(s\))?: (.*?)\s*$/.exec(text(d.stream))?.[1];
  if (loaded === undefined) return d;
  return {
    stream: loaded
      .split(",")
      .map((name) => `Loaded image: ${familiarImageName(name)}\n`)
      .join(""),
  };
}

async function prune(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const filters = Filters.of(req.query, PRUNE_ACCEPTED);
  const asked: Record<string, string[]> = { dangling: [String(filters.boolean("dangling") ?? true)] };
  for (const field of ["label", "label!", "until"]) if (filters.has(field)) asked[field] = [...filters.get(field)];
  const query = { filters: JSON.stringify(asked) };
  const answer = object(await ctx.upstream.json("POST", `${COMPAT}/images/prune`, { query }));
  const rows = deletions(answer.ImagesDeleted);
  return { json: { ImagesDeleted: rows.length === 0 ? null : rows, SpaceReclaimed: answer.SpaceReclaimed ?? 0 } };
}

async function commit(
  ctx: EngineContext,
  req: ApiRequest,
  res: Parameters<typeof proxy>[2],
): Promise<Reply | undefined> {
  const id = req.query.get("container") ?? "";
  const json = (await jsonBody(req)) ?? {}; // Podman takes no empty body
  return proxy(ctx.upstream, req, res, {
    subject: { kind: "container", name: id },
    json,
    status: 201,
    map: (answer) => {
      const made = text(object(answer).Id);
      return { Id: /^[0-9a-f]{64}$/.test(made) ? `sha256:${made}` : made };
    },
  });
}

/** Podman says "image not known" for every failure of a search. @throws SkepError "unavailable" */
async function search(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const term = req.query.get("term") ?? "";
  if (term === "") throw new SkepError("invalid", "no search term given");
  const { status, text: body } = await ctx.upstream.ask("GET", `${COMPAT}/images/search`, {
    query: req.query,
    signal: req.signal,
  });
  if (status === 404) throw new SkepError("unavailable", `cannot search for ${term}: no registry answers`);
  if (status >= 300) throw refusal(status, body);
  return { json: list(JSON.parse(body)) };
}
