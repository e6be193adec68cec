// POST /images/{name}/push: an image to its registry, with progress as Docker prints it. Whatever goes wrong is a line of the stream, as
// from dockerd.
import type { ServerResponse } from "node:http";
import { familiarImageName, familiarRepository, type ImageName, parseImageName } from "../../engine/index.ts";
import { messageOf } from "../../model/errors.ts";
import { type ApiRequest, param } from "../http.ts";
import type { EngineContext } from "./context.ts";
import { credentials, isLoopback } from "./distribution.ts";
import { registryAuth } from "./image-pull.ts";
import { list, object, text } from "./json.ts";
import { documentsOf, Progress } from "./progress.ts";
import { COMPAT, readAll } from "./upstream.ts";

/** @throws SkepError "invalid" when the name is none */
export async function pushImage(ctx: EngineContext, req: ApiRequest, res: ServerResponse): Promise<undefined> {
  const repository = parseImageName(param(req, "name"));
  const tag = req.query.get("tag") ?? "";
  const progress = new Progress(res, [
    { status: `The push refers to repository [${repository.domain}/${repository.path}]` },
  ]);
  await progress.say();
  try {
    // without a tag: every tag there is
    const tags = tag === "" ? await tagsOf(ctx, repository) : [tag];
    if (tags.length === 0) throw new Error(absent(repository));
    for (const each of tags) await pushTag(ctx, req, progress, repository, each);
  } catch (e) {
    await progress.fail(messageOf(e));
  }
  await progress.end();
  return undefined;
}

async function pushTag(
  ctx: EngineContext,
  req: ApiRequest,
  progress: Progress,
  repository: ImageName,
  tag: string,
): Promise<void> {
  const name = `${repository.domain}/${repository.path}:${tag}`;
  const layers = await layersOf(ctx, name, repository);
  await progress.say(...layers.map((id) => ({ status: "Preparing", progressDetail: {}, id })));
  const path = `${COMPAT}/images/${encodeURIComponent(`${repository.domain}/${repository.path}`)}/push`;
  const answer = await ctx.upstream.send("POST", path, {
    // As Docker: a registry on this machine may be without TLS.
    query: { tag, ...(isLoopback(repository.domain) ? { tlsVerify: "false" } : {}) },
    headers: registryAuth(req),
    signal: req.signal,
  });
  if ((answer.statusCode ?? 500) >= 300) throw new Error(worded(await readAll(answer, req.path), req));
  for await (const document of documentsOf(answer)) {
    const error = text(document.error) || text(object(document.errorDetail).message);
    if (error !== "") throw new Error(worded(error, req));
    const [, digest, size] = /digest: (sha256:[0-9a-f]{64}) size: (\d+)/.exec(text(document.status)) ?? [];
    if (digest === undefined) continue;
    await progress.say(
      ...layers.map((id) => ({ status: "Pushed", progressDetail: {}, id })),
      { status: `${tag}: digest: ${digest} size: ${size}` },
      { progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: Number(size) } },
    );
  }
}

async function layersOf(ctx: EngineContext, name: string, repository: ImageName): Promise<string[]> {
  const { status, text: body } = await ctx.upstream.ask("GET", `${COMPAT}/images/${encodeURIComponent(name)}/json`);
  if (status >= 300) throw new Error(absent(repository));
  const layers = list(object(object(JSON.parse(body)).RootFS).Layers).map(text);
  return [...new Set(layers)].reverse().map((diffId) => diffId.replace("sha256:", "").slice(0, 12));
}

async function tagsOf(ctx: EngineContext, repository: ImageName): Promise<string[]> {
  const images = list(await ctx.upstream.json("GET", `${COMPAT}/images/json`)).map(object);
  const names = images.flatMap((image) => list(image.RepoTags).map(text));
  const prefix = `${familiarRepository(repository)}:`;
  const familiar = names.filter((name) => !name.includes("<none>")).map(familiarImageName);
  return familiar.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
}

function absent(repository: ImageName): string {
  return `An image does not exist locally with the tag: ${familiarRepository(repository)}`;
}

/** Docker's words for what Podman (containers/image) says of the registry's refusal. */
function worded(said: string, req: ApiRequest): string {
  if (/authentication required|unauthorized/i.test(said)) {
    return credentials(req.headers["x-registry-auth"])
      ? "unauthorized: authentication required"
      : "no basic auth credentials";
  }
  if (/denied|insufficient_scope|status: 403/i.test(said)) return "denied: requested access to the resource is denied";
  // The transport's own line is the last thing quoted.
  return /(?:Get|Head|Put|Post|Patch) "[^"]+": .*$/m.exec(said)?.[0] ?? said;
}
