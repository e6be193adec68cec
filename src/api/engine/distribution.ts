// GET /distribution/{name}/json: what a registry says a tag is, asked over HTTPS as a client of the registry API v2. `service create` asks
// it to pin an image to its digest, and goes on with a warning when there is no answer; so an unreachable registry is said quickly.
import { createHash } from "node:crypto";
import { request, STATUS_CODES } from "node:http";
import { Readable } from "node:stream";
import { type ImageName, parseImageName } from "../../engine/index.ts";
import { messageOf, SkepError } from "../../model/errors.ts";
import { type ApiRequest, param, type Reply } from "../http.ts";
import { object, text } from "./json.ts";

const TIMEOUT_MS = 2_500;
const MANIFESTS = [
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
];

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** @throws SkepError "unauthorized", "not_found", "unavailable" */
export async function inspectDistribution(req: ApiRequest): Promise<Reply> {
  const image = parseImageName(param(req, "name"));
  const signal = AbortSignal.any([req.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const registry = new Registry(image, credentials(req.headers["x-registry-auth"]), signal);
  try {
    return { json: await describe(registry, image) };
  } catch (e) {
    if (e instanceof SkepError) throw e;
    throw new SkepError("internal", `Get "${registry.base}/v2/": ${whyNot(e)}`, {}, e); // 500, as dockerd says it
  }
}

/** The digest that the registry has for this name now; undefined when it does not tell. */
export async function digestInRegistry(
  image: ImageName,
  auth: string | string[] | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const registry = new Registry(image, credentials(auth), patience);
  try {
    const path = `/manifests/${image.digest ?? image.tag ?? "latest"}`;
    const answer = await registry.get(path, MANIFESTS.join(", "), "HEAD");
    return answer.headers.get("docker-content-digest") ?? undefined;
  } catch {
    return undefined; // as promised: it did not tell
  }
}

/** Tries a login where there may be no TLS. @throws SkepError "unauthorized", "unavailable" */
export async function loginOnLoopback(host: string, credentials: Credentials, signal: AbortSignal): Promise<void> {
  const registry = new Registry({ domain: host, path: "" }, credentials, signal);
  const status = await registry.welcome().catch((e: unknown) => {
    throw new SkepError("unavailable", `Get "${registry.base}/v2/": ${whyNot(e)}`, {}, e);
  });
  if (status >= 200 && status < 300) return;
  const said = `${status} ${STATUS_CODES[status] ?? ""}`.trimEnd();
  throw new SkepError("unauthorized", `login attempt to ${registry.base}/v2/ failed with status: ${said}`);
}

async function describe(registry: Registry, image: ImageName): Promise<object> {
  const reference = image.digest ?? image.tag ?? "latest";
  const answer = await registry.get(`/manifests/${reference}`, MANIFESTS.join(", "));
  const body = Buffer.from(await answer.arrayBuffer());
  const manifest = object(JSON.parse(body.toString("utf8")));
  const mediaType = answer.headers.get("content-type") ?? text(manifest.mediaType);
  const digest =
    answer.headers.get("docker-content-digest") ?? `sha256:${createHash("sha256").update(body).digest("hex")}`;
  return {
    Descriptor: { mediaType, digest, size: body.length },
    Platforms: Array.isArray(manifest.manifests)
      ? manifest.manifests.map((m) => platform(object(m).platform))
      : [await configPlatform(registry, text(object(manifest.config).digest))],
  };
}

async function configPlatform(registry: Registry, digest: string): Promise<object> {
  const config = await registry.get(`/blobs/${digest}`, "*/*");
  return platform(await config.json());
}

function platform(value: unknown): object {
  const p = object(value);
  return {
    architecture: text(p.architecture),
    os: text(p.os),
    ...(text(p.variant) === "" ? {} : { variant: p.variant }),
    ...(text(p["os.version"]) === "" ? {} : { "os.version": p["os.version"] }),
  };
}

/** One repository of a registry, with the token that it asks for. */
class Registry {
  readonly base: string;
  readonly #repository: string;
  readonly #credentials: Credentials | undefined;
  readonly #signal: AbortSignal;
  #authorization: string | undefined;

  constructor(image: Pick<ImageName, "domain" | "path">, credentials: Credentials | undefined, signal: AbortSignal) {
    const host = image.domain === "docker.io" ? "registry-1.docker.io" : image.domain;
    this.base = `${isLoopback(host) ? "http" : "https"}://${host}`;
    this.#repository = image.path;
    this.#credentials = credentials;
    this.#signal = signal;
  }

  /** The status with which the registry itself answers these credentials. @throws TypeError when it cannot be reached */
  async welcome(): Promise<number> {
    const url = `${this.base}/v2/`;
    let answer = await this.#fetch(url, "*/*");
    await answer.body?.cancel();
    if (answer.status === 401) {
      this.#authorization = await this.#answerTo(answer.headers.get("www-authenticate") ?? "");
      answer = await this.#fetch(url, "*/*");
      await answer.body?.cancel();
    }
    return answer.status;
  }

  /** @throws SkepError "unauthorized", "not_found"; TypeError when the registry cannot be reached */
  async get(path: string, accept: string, method: "GET" | "HEAD" = "GET"): Promise<Response> {
    const url = `${this.base}/v2/${this.#repository}${path}`;
    let answer = await this.#fetch(url, accept, method);
    if (answer.status === 401) {
      await answer.body?.cancel();
      this.#authorization = await this.#answerTo(answer.headers.get("www-authenticate") ?? "");
      answer = await this.#fetch(url, accept, method);
    }
    if (answer.ok) return answer;
    await answer.body?.cancel();
    if (answer.status === 404) throw new SkepError("not_found", "manifest unknown: manifest unknown");
    if (answer.status === 401 || answer.status === 403) {
      throw new SkepError(
        "unauthorized",
        "errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required\n",
      );
    }
    if (answer.status === 429)
      throw new SkepError("internal", "toomanyrequests: You have reached your pull rate limit.");
    throw new SkepError("internal", `received unexpected HTTP status: ${answer.status} ${answer.statusText}`);
  }

  #fetch(url: string, accept: string, method = "GET"): Promise<Response> {
    const headers = { accept, ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }) };
    return url.startsWith("http:")
      ? fetchPlain(url, method, headers, this.#signal)
      : fetch(url, { method, headers, signal: this.#signal });
  }

  /** RFC 6750 as registries use it: a token from the realm that the challenge names; or plain Basic. */
  async #answerTo(challenge: string): Promise<string | undefined> {
    const basic =
      this.#credentials &&
      `Basic ${Buffer.from(`${this.#credentials.username}:${this.#credentials.password}`).toString("base64")}`;
    if (/^basic/i.test(challenge)) return basic;
    const fields = new Map([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map((m) => [m[1] ?? "", m[2] ?? ""]));
    const realm = fields.get("realm");
    if (realm === undefined) return undefined;
    const url = new URL(realm);
    if (url.protocol !== "https:" && !isLoopback(url.host)) return undefined; // the password must not go out in the clear
    for (const name of ["service", "scope"]) if (fields.has(name)) url.searchParams.set(name, fields.get(name) ?? "");
    const answer = await fetch(url, {
      headers: basic === undefined ? {} : { authorization: basic },
      signal: this.#signal,
    });
    if (!answer.ok) return undefined;
    const token = object(await answer.json());
    return `Bearer ${text(token.token) || text(token.access_token)}`;
  }
}

/** Without TLS, on this machine: `fetch` refuses some ports, such as 6000, that a registry may well have here. */
function fetchPlain(
  url: string,
  method: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, signal, agent: false }, (answer) => {
      const { statusCode = 502, headers: said } = answer;
      const head = { status: statusCode, headers: new Headers(said as Record<string, string>) };
      const bodiless = method === "HEAD" || statusCode === 204 || statusCode === 304;
      if (bodiless) answer.resume();
      resolve(new Response(bodiless ? null : (Readable.toWeb(answer) as ReadableStream), head));
    });
    asked.on("error", reject);
    asked.end();
  });
}

/** Why a registry cannot be reached, in Go's words where they are known. */
function whyNot(e: unknown): string {
  const cause = e instanceof Error && e.cause !== undefined ? e.cause : e;
  const { code, address, port } = object(cause);
  if (code === "ECONNREFUSED") return `dial tcp ${text(address)}:${String(port)}: connect: connection refused`;
  return messageOf(cause);
}

/** Docker's X-Registry-Auth header: base64url of JSON. One that cannot be read is no credentials, as in Docker. */
export function credentials(header: string | string[] | undefined): Credentials | undefined {
  if (typeof header !== "string" || header === "") return undefined;
  try {
    const auth = object(JSON.parse(Buffer.from(header, "base64url").toString("utf8")));
    const username = text(auth.username);
    return username === "" ? undefined : { username, password: text(auth.password) };
  } catch {
    return undefined; // dockerd ignores it too ("set to auth config to be empty")
  }
}

/** Registries there may be without TLS, as in Docker. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
}
