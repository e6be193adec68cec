// The API versions that skep speaks, and the version prefix of request paths.
import { invalid } from "./errors.ts";

/** moby's floor (Docker 1.12) and the version of Docker 28.2 and later that this API follows. */
export const MIN_API_MINOR = 24;
export const MAX_API_MINOR = 51;
export const MIN_API_VERSION = `1.${MIN_API_MINOR}`;
export const API_VERSION = `1.${MAX_API_MINOR}`;

/**
 * "/v1.41/info" → "/info" and 41. Without a prefix the newest version is meant.
 * @throws SkepError "invalid" with the words of dockerd's version middleware
 */
export function splitVersion(path: string): { readonly path: string; readonly minor: number } {
  const match = /^\/v([0-9.]+)(\/.*)$/.exec(path);
  if (!match) return { path, minor: MAX_API_MINOR };
  const [major = 0, minor = 0] = match[1]!.split(".").map(Number);
  if (major < 1 || (major === 1 && minor < MIN_API_MINOR)) {
    throw invalid(
      `client version ${match[1]} is too old. Minimum supported API version is ${MIN_API_VERSION}, please upgrade your client to a newer version`,
    );
  }
  if (major > 1 || minor > MAX_API_MINOR) {
    throw invalid(`client version ${match[1]} is too new. Maximum supported API version is ${API_VERSION}`);
  }
  return { path: match[2]!, minor };
}
