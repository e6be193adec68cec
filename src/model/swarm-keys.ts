// New keys of a swarm that exists: rotation of join tokens and of the autolock key. Those of a new swarm are made by src/cluster.
import { randomBytes } from "node:crypto";
import { newId } from "./ids.ts";

/** The same token with another secret: "SWMTKN-1-<digest of the CA>-<secret>". The secret is 128 bits in base 36, as ids are. */
export function rotatedJoinToken(token: string): string {
  return `${token.slice(0, token.lastIndexOf("-"))}-${newId()}`;
}

/** A new autolock key: "SWMKEY-1-" and 256 bits, base64 without padding (swarmkit, manager/encryption). */
export function rotatedUnlockKey(): string {
  return `SWMKEY-1-${randomBytes(32).toString("base64").replace(/=+$/, "")}`;
}
