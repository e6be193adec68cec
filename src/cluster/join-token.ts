// Join tokens and unlock keys, in Swarm's formats. The digest in a token pins the CA: who joins with it cannot be led to another one.
import { createHash, randomBytes } from "node:crypto";

/** Base-36 digits that hold 256 bits (swarmkit, ca/config.go: base36DigestLen). */
const DIGEST_LENGTH = 50;
/** Base-36 digits that hold 128 bits. */
const SECRET_LENGTH = 25;

/** "SWMTKN-1-<digest of the root certificate>-<secret>" with a new secret. */
export function newJoinToken(certificate: string): string {
  const digest = createHash("sha256").update(certificate).digest();
  return `SWMTKN-1-${base36(digest, DIGEST_LENGTH)}-${base36(randomBytes(16), SECRET_LENGTH)}`;
}

/** A new autolock key: "SWMKEY-1-" and 256 bits, base64 without padding. */
export function newUnlockKey(): string {
  return `SWMKEY-1-${randomBytes(32).toString("base64").replace(/=+$/, "")}`;
}

function base36(bytes: Buffer, length: number): string {
  return BigInt(`0x${bytes.toString("hex")}`)
    .toString(36)
    .padStart(length, "0");
}
