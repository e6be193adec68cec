// POST /images/create: a pull with progress as Docker prints it, or an import of a root file system. A failure that comes before any
// progress is an error answer, as from dockerd; later ones are a line of the stream.
import type { IncomingMessage, ServerResponse } from "node:http";
import { familiarImageName, familiarRepository, parseImageName, pullError } from "../../engine/index.ts";
import { SkepError } from "../../model/errors.ts";
import type { ApiRequest, Reply } from "../http.ts";
import type { EngineContext } from "./context.ts";
import { isLoopback } from "./distribution.ts";
import { list, object, text } from "./json.ts";
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
  const answer = await ctx.upstream.send("POST", local ? `${LIBPOD}/images/pull` : `${COMPAT}/images/create`, {
    query: local ? { reference: ref, tlsVerify: "false" } : query,
    headers: authHeader(req),
    ...(ref === undefined ? { body: req.raw } : {}),
    signal: req.signal,
  });
  if ((answer.statusCode ?? 500) >= 300) {
    throw refusal(answer.statusCode ?? 500, await readAll(answer, req.path), { kind: "image", name: ref ?? source });
  }
  await tell(ctx, answer, res, ref);
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
  answer: IncomingMessage,
  res: ServerResponse,
  ref: string | undefined,
): Promise<void> {
  let failed = false;
  const say = async (document: object) => {
    if (!res.headersSent) {
      res.writeHead(200, { "Content-Type": "application/json" });
      if (ref !== undefined) res.write(`${JSON.stringify(opening(ref))}\r\n`);
    }
    if (!res.write(`${JSON.stringify(document)}\r\n`)) await drained(res);
  };
  for await (const line of linesOf(answer)) {
    const document = object(parsed(line));
    const error = text(document.error) || text(object(document.errorDetail).message);
    if (error !== "") {
      const e = ref === undefined ? new SkepError("internal", error) : pullError(ref, error);
      if (!res.headersSent) throw e;
      failed = true;
      await say({ errorDetail: { message: e.message }, error: e.message });
    } else if (document.images !== undefined)
      continue; // the last line of Podman's own API: the ids
    else if (ref === undefined) await say({ status: text(document.status) || text(document.id) });
    else if (!/^(Pulling from|Digest:|Status:)/.test(text(document.status))) await say(progress(document));
  }
  if (ref !== undefined && !failed) for (const document of await closing(ctx, ref)) await say(document);
  await new Promise<void>((resolve) => res.end(resolve));
}

function opening(ref: string): object {
  const name = parseImageName(ref);
  return {
    status: `Pulling from ${name.domain === "docker.io" ? name.path : familiarRepository(name)}`,
    id: name.tag ?? name.digest,
  };
}

function progress(document: ReturnType<typeof object>): object {
  if (typeof document.stream === "string") return copied(document.stream.trim());
  const id = text(document.id);
  return { ...document, ...(id === "" ? {} : { id: id.replace(/^sha256:/, "").slice(0, 12) }) };
}

/** Of Podman's own API: "Copying blob sha256:…". */
function copied(line: string): object {
  const blob = /^Copying (?:blob|config) (?:sha256:)?([0-9a-f]{12})/.exec(line)?.[1];
  return blob === undefined ? { status: line } : { status: "Download complete", progressDetail: {}, id: blob };
}

/** Podman reads padded base64 only; some clients leave the padding out. */
function authHeader(req: ApiRequest): Record<string, string> {
  const auth = req.headers["x-registry-auth"];
  if (typeof auth !== "string" || auth === "") return {};
  return { "x-registry-auth": auth.padEnd(Math.ceil(auth.length / 4) * 4, "=") };
}

/** What dockerd says last. Podman does not tell whether the image was there before. */
async function closing(ctx: EngineContext, ref: string): Promise<object[]> {
  const image = object(await ctx.upstream.json("GET", `${COMPAT}/images/${encodeURIComponent(ref)}/json`));
  const digest = list(image.RepoDigests).map(text)[0]?.split("@")[1];
  return [
    ...(digest === undefined ? [] : [{ status: `Digest: ${digest}` }]),
    { status: `Status: Downloaded newer image for ${familiarImageName(ref)}` },
  ];
}

async function* linesOf(answer: IncomingMessage): AsyncGenerator<string, void, void> {
  let rest = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield line;
  }
  if (rest.trim() !== "") yield rest;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return { status: line.trim() }; // plain text between the documents is shown as it is
  }
}

function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    res.once("drain", resolve);
    res.once("close", resolve);
  });
}
