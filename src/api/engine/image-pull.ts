// POST /images/create: a pull with progress as Docker prints it, or an import of a root file system. A failure that comes before any
// progress is an error answer, as from dockerd; later ones are a line of the stream.
import type { IncomingMessage, ServerResponse } from "node:http";
import { familiarImageName, parseImageName, pullError } from "../../engine/index.ts";
import { SkepError } from "../../model/errors.ts";
import type { ApiRequest, Reply } from "../http.ts";
import type { EngineContext } from "./context.ts";
import { digestInRegistry, isLoopback } from "./distribution.ts";
import { type Json, list, object, text } from "./json.ts";
import { documentsOf, Progress } from "./progress.ts";
import { refusal } from "./refusals.ts";
import { COMPAT, LIBPOD, readAll } from "./upstream.ts";

/** @throws SkepError "not_found" in Docker's words, "unavailable" when no registry answers, "invalid" */
export async function createImage(
  ctx: EngineContext,
  req: ApiRequest,
  res: ServerResponse,
): Promise<Reply | undefined> {
  const from = req.query.get("fromImage") ?? "";
  const source = req.query.get("fromSrc") ?? "";
  if (from === "" && source === "") throw new SkepError("invalid", "one of fromImage or fromSrc must be given");
  const ref = from === "" ? undefined : pulledName(from, req.query.get("tag") ?? "");
  const query = new URLSearchParams(req.query);
  if (ref !== undefined) {
    query.set("fromImage", ref);
    query.delete("tag");
  }
  // As Docker: a registry on this machine may be without TLS, for which only Podman's own API has a word.
  const local = ref !== undefined && isLoopback(parseImageName(ref).domain);
  const before = ref === undefined ? undefined : await imageId(ctx, ref);
  const answer = await ctx.upstream.send("POST", local ? `${LIBPOD}/images/pull` : `${COMPAT}/images/create`, {
    query: local ? { reference: ref, tlsVerify: "false" } : query,
    headers: registryAuth(req),
    ...(ref === undefined ? { body: req.raw } : {}),
    signal: req.signal,
  });
  if ((answer.statusCode ?? 500) >= 300) {
    throw refusal(answer.statusCode ?? 500, await readAll(answer, req.path), { kind: "image", name: ref ?? source });
  }
  await tell(ctx, req, answer, res, ref, before);
  return undefined;
}

/** The two parameters as one name: `tag` may also be a digest. @throws SkepError "invalid" */
function pulledName(from: string, tag: string): string {
  const whole = tag === "" ? from : `${from}${tag.includes(":") ? "@" : ":"}${tag}`;
  parseImageName(whole);
  return whole;
}

async function tell(
  ctx: EngineContext,
  req: ApiRequest,
  answer: IncomingMessage,
  res: ServerResponse,
  ref: string | undefined,
  before: string | undefined,
): Promise<void> {
  const progress = new Progress(res, ref === undefined ? [] : [opening(ref)]);
  const blobs: string[] = [];
  let failed = false;
  for await (const document of documentsOf(answer)) {
    const error = text(document.error) || text(object(document.errorDetail).message);
    if (error !== "") {
      const e = ref === undefined ? new SkepError("internal", error) : pullError(ref, error);
      if (!progress.begun) throw e;
      failed = true;
      await progress.fail(e.message);
    } else if (document.images !== undefined) {
      // the last line of Podman's own API
      await progress.say(...blobs.map((id) => ({ status: "Pull complete", progressDetail: {}, id })));
    } else if (typeof document.stream === "string") {
      const blob = /^Copying blob (?:sha256:)?([0-9a-f]{12})/.exec(document.stream)?.[1];
      if (blob === undefined || blobs.includes(blob)) continue; // Podman's talk: "Trying to pull", "Storing signatures"
      blobs.push(blob);
      await progress.say({ status: "Pulling fs layer", progressDetail: {}, id: blob });
    } else if (ref === undefined) await progress.say({ status: text(document.status) || text(document.id) });
    else if (!/^(Pulling from|Digest:|Status:)/.test(text(document.status))) await progress.say(shortened(document));
  }
  if (ref !== undefined && !failed) await progress.say(...(await closing(ctx, req, ref, before)));
  await progress.end();
}

function opening(ref: string): object {
  const name = parseImageName(ref);
  return {
    status: `Pulling from ${name.path}`,
    id: name.tag ?? name.digest,
  };
}

function shortened(document: Json): object {
  const id = text(document.id);
  return { ...document, ...(id === "" ? {} : { id: id.replace(/^sha256:/, "").slice(0, 12) }) };
}

/** Podman reads padded base64 only; some clients leave the padding out. */
export function registryAuth(req: ApiRequest): Record<string, string> {
  const auth = req.headers["x-registry-auth"];
  if (typeof auth !== "string" || auth === "") return {};
  return { "x-registry-auth": auth.padEnd(Math.ceil(auth.length / 4) * 4, "=") };
}

/** What dockerd says last. */
async function closing(
  ctx: EngineContext,
  req: ApiRequest,
  ref: string,
  before: string | undefined,
): Promise<object[]> {
  const image = object(await ctx.upstream.json("GET", imagePath(ref)));
  const name = parseImageName(ref);
  const own = list(image.RepoDigests)
    .map(text)
    .filter((d) => d.startsWith(`${name.domain}/${name.path}@`))
    .map((d) => d.split("@")[1]);
  // Podman keeps every digest that an image ever had: one built here and pushed has two, one of many platforms too.
  const told = own.length > 1 ? await digestInRegistry(name, req.headers["x-registry-auth"], req.signal) : undefined;
  const digest = told ?? own[0];
  const news = text(image.Id) === before ? "Image is up to date" : "Downloaded newer image";
  return [
    ...(digest === undefined ? [] : [{ status: `Digest: ${digest}` }]),
    { status: `Status: ${news} for ${familiarImageName(ref)}` },
  ];
}

async function imageId(ctx: EngineContext, ref: string): Promise<string | undefined> {
  const { status, text: body } = await ctx.upstream.ask("GET", imagePath(ref));
  return status < 300 ? text(object(JSON.parse(body)).Id) : undefined;
}

function imagePath(ref: string): string {
  return `${COMPAT}/images/${encodeURIComponent(ref)}/json`;
}
