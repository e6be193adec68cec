// Images through Podman: look up, pull, tag, import. Names are Docker's on our side and full ones on Podman's (image-names.ts). An image that
// was loaded or built locally may be called localhost/NAME there: it is found, and given the name that Docker would use.
import { SkepError } from "../model/errors.ts";
import type { PodmanClient } from "./http-client.ts";
import { familiarImageName, fullImageName, isImageId, parseImageName, printImageName } from "./image-names.ts";
import { list, object, readImage } from "./podman-answers.ts";
import { podmanError, pullError } from "./podman-error.ts";
import type { ImageInfo, ImportOptions, PullOptions } from "./port.ts";

export class PodmanImages {
  readonly #client: PodmanClient;

  constructor(client: PodmanClient) {
    this.#client = client;
  }

  async find(ref: string): Promise<ImageInfo | undefined> {
    const full = fullImageName(ref);
    const found = await this.#inspect(full);
    if (found !== undefined || isImageId(ref)) return found;
    const local = localName(full);
    if (local === undefined || (await this.#inspect(local)) === undefined) return undefined;
    await this.tag(local, full);
    return this.#inspect(full);
  }

  async pull(ref: string, options: PullOptions): Promise<ImageInfo> {
    const full = fullImageName(ref);
    const ask = {
      // As Docker: a registry on this machine may be without TLS.
      query: { reference: full, tlsVerify: isLoopback(domainOf(full)) ? false : undefined },
      headers: options.authHeader === undefined ? {} : { "x-registry-auth": padded(options.authHeader) },
      signal: options.signal,
    };
    let failure: string | undefined;
    try {
      for await (const line of this.#client.lines("POST", "/libpod/images/pull", ask)) {
        const { stream, error } = object(line);
        if (typeof error === "string" && error !== "") failure = error;
        if (typeof stream === "string") options.onProgress?.(stream.trimEnd());
      }
    } catch (e) {
      const status = e instanceof SkepError ? e.facts.status : undefined;
      // Podman did not answer at all, or the request itself was wrong: neither says anything of the registry.
      if (!(e instanceof SkepError) || status === undefined || e.code === "invalid") throw e;
      failure = e.message;
    }
    if (failure !== undefined) throw pullError(ref, failure);
    const image = await this.find(ref);
    if (image === undefined) throw new SkepError("internal", `podman pulled ${full} but does not have it`);
    return image;
  }

  async tag(ref: string, name: string): Promise<void> {
    const to = parseImageName(name);
    const repo = printImageName({ ...to, tag: undefined, digest: undefined });
    await this.#client.json("POST", `/libpod/images/${encodeURIComponent(ref)}/tag`, {
      query: { repo, tag: to.tag ?? "latest" },
    });
  }

  async import(tar: NodeJS.ReadableStream, options: ImportOptions): Promise<ImageInfo> {
    const full = fullImageName(options.reference);
    const changes = (options.changes ?? []).map((c) => `&changes=${encodeURIComponent(c)}`).join("");
    const path = `/libpod/images/import?reference=${encodeURIComponent(full)}${changes}`;
    const answer = await this.#client.ask("POST", path, {
      body: tar,
      headers: { "content-type": "application/x-tar" },
    });
    if (answer.status >= 300) throw podmanError(`cannot import ${full}`, answer.status, answer.body);
    const image = await this.find(full);
    if (image === undefined) throw new SkepError("internal", `podman imported ${full} but does not have it`);
    return image;
  }

  async count(): Promise<number> {
    return list(await this.#client.json("GET", "/libpod/images/json")).length;
  }

  async #inspect(name: string): Promise<ImageInfo | undefined> {
    const path = `/libpod/images/${encodeURIComponent(name)}/json`;
    const answer = await this.#client.ask("GET", path);
    if (answer.status === 404) return undefined;
    if (answer.status >= 300) throw podmanError(`cannot look up image ${name}`, answer.status, answer.body);
    return readImage(JSON.parse(answer.body));
  }
}

/** Docker's words for a container whose image is missing. */
export function noSuchImage(ref: string, cause?: unknown): SkepError {
  return new SkepError("not_found", `No such image: ${familiarImageName(ref)}`, { image: ref }, cause);
}

/** Podman takes only base64url with its padding; Docker takes any base64, and clients send several kinds. */
function padded(base64: string): string {
  const plain = Buffer.from(base64, "base64").toString("base64url");
  return plain.padEnd(Math.ceil(plain.length / 4) * 4, "=");
}

function domainOf(full: string): string {
  return isImageId(full) ? "" : parseImageName(full).domain;
}

function isLoopback(domain: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/.test(domain);
}

/** "docker.io/library/x:1" → "localhost/x:1": what Podman calls an image of no registry. */
function localName(full: string): string | undefined {
  const name = parseImageName(full);
  if (name.domain !== "docker.io" || name.digest !== undefined) return undefined;
  return printImageName({ ...name, domain: "localhost", path: name.path.replace(/^library\/(?=[^/]+$)/, "") });
}
