// Names of swarm objects: which are allowed, and one for a service that was given none. Identifiers are ids.ts'.
import { randomInt } from "node:crypto";
import { SkepError } from "./errors.ts";

/** A DNS label may not be longer (RFC 1035, 2.3.4). */
const LABEL_LIMIT = 63;
/** Secrets and configs: their names are file names, not DNS names. */
const FILE_NAME_LIMIT = 64;

/**
 * Names of services and networks become DNS names.
 * @throws SkepError "invalid" with swarmkit's words (controlapi/common.go)
 */
export function checkName(name: string): void {
  if (name === "") throw new SkepError("invalid", "meta: name must be provided");
  if (!isDnsName(name)) throw new SkepError("invalid", "name must be valid as a DNS name component");
  if (name.length > LABEL_LIMIT) throw new SkepError("invalid", "name must be 63 characters or fewer");
}

/** Letters, digits, and between them hyphens and underscores. */
function isDnsName(name: string): boolean {
  return /^[a-zA-Z0-9_-]*$/.test(name) && /^[a-zA-Z0-9]/.test(name) && /[a-zA-Z0-9]$/.test(name);
}

/** @throws SkepError "invalid" with swarmkit's words (validateConfigOrSecretAnnotations) */
export function checkFileObjectName(name: string): void {
  if (name === "") throw new SkepError("invalid", "name must be provided");
  if (name.length > FILE_NAME_LIMIT || !/^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$/.test(name)) {
    throw new SkepError(
      "invalid",
      "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]",
    );
  }
}

const ADJECTIVES =
  "amber balmy brave bright brisk busy calm clever dapper eager fair fleet gentle glad golden happy jolly keen kind lively lucid mellow merry nimble noble patient placid proud quick quiet sunny swift tidy vivid warm wise".split(
    " ",
  );
const NOUNS =
  "acorn aster bloom bracken briar clover comb cowslip daisy drone fennel foxglove garden hazel heather hive honey lavender linden meadow nectar orchard pollen poppy primrose queen rowan sage skep sorrel swarm thistle thyme waggle wax willow".split(
    " ",
  );

/** A name for a service whose spec has none: two words, as Docker makes them. It may be taken: ask, and try again. */
export function randomName(): string {
  return `${ADJECTIVES[randomInt(ADJECTIVES.length)]}_${NOUNS[randomInt(NOUNS.length)]}`;
}
