// Docker's image names: the familiar form that people type, and the full one that storage holds. Pure; the looking up is in podman-images.ts.
// Rules: github.com/distribution/reference, normalize.go.
import { SkepError } from "../model/errors.ts";

export interface ImageName {
  /** "docker.io". */
  readonly domain: string;
  /** "library/alpine". */
  readonly path: string;
  readonly tag: string | undefined;
  /** "sha256:…". */
  readonly digest: string | undefined;
}

const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const DOMAIN = /^(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]+)?$/;
const TAG = /^[\w][\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;

/**
 * Reads a name as Docker does: no domain means docker.io, one word on docker.io means library/, and neither tag nor digest means latest.
 * @throws SkepError "invalid" in Docker's words
 */
export function parseImageName(text: string): ImageName {
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(":");
  const hasTag = colon > named.lastIndexOf("/");
  const tag = hasTag ? named.slice(colon + 1) : digest === undefined ? "latest" : undefined;
  const { domain, path } = splitDomain(hasTag ? named.slice(0, colon) : named);
  if (path.toLowerCase() !== path) {
    throw new SkepError("invalid", `invalid reference format: repository name (${path}) must be lowercase`);
  }
  const good =
    PATH.test(path) &&
    DOMAIN.test(domain) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest));
  if (!good) throw new SkepError("invalid", "invalid reference format");
  return { domain, path, tag, digest };
}

/** "alpine" → "docker.io/library/alpine:latest"; ids and digests of local images come back as they are. @throws SkepError "invalid" */
export function fullImageName(text: string): string {
  return isImageId(text) ? text : printImageName(parseImageName(text));
}

export function printImageName(name: ImageName): string {
  return `${name.domain}/${name.path}${suffix(name)}`;
}

/** "docker.io/library/alpine:latest" → "alpine:latest": the form that Docker shows. What is no name comes back unchanged. */
export function familiarImageName(text: string): string {
  if (isImageId(text)) return text;
  let name: ImageName;
  try {
    name = parseImageName(text);
  } catch {
    return text; // shown to people only, and there is nothing shorter to show
  }
  return familiarRepository(name) + suffix(name);
}

/** The name without tag and digest, as Docker shows it: "alpine", "quay.io/a/b". */
export function familiarRepository(name: ImageName): string {
  if (name.domain !== "docker.io") return `${name.domain}/${name.path}`;
  return /^library\/[^/]+$/.test(name.path) ? name.path.slice("library/".length) : name.path;
}

/** Whether this is an image id (64 hex digits, with or without "sha256:") and so cannot be a name. */
export function isImageId(text: string): boolean {
  return /^(?:sha256:)?[0-9a-f]{64}$/.test(text);
}

function splitDomain(text: string): { domain: string; path: string } {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  const isDomain = /[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first;
  const domain = !isDomain || first === "index.docker.io" ? "docker.io" : first;
  const path = isDomain ? text.slice(slash + 1) : text;
  return { domain, path: domain === "docker.io" && !path.includes("/") ? `library/${path}` : path };
}

function suffix(name: ImageName): string {
  return (name.tag === undefined ? "" : `:${name.tag}`) + (name.digest === undefined ? "" : `@${name.digest}`);
}
