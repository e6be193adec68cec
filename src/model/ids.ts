// Identifiers: how they are made, and their branded types. Names and their rules are in names.ts.
import { randomBytes } from "node:crypto";

declare const brand: unique symbol;
type Branded<B extends string> = string & { readonly [brand]: B };

export type ServiceId = Branded<"service">;
export type TaskId = Branded<"task">;
export type NodeId = Branded<"node">;
export type NetworkId = Branded<"network">;
export type SecretId = Branded<"secret">;
export type ConfigId = Branded<"config">;
export type ClusterId = Branded<"cluster">;
export type AnyId = ServiceId | TaskId | NodeId | NetworkId | SecretId | ConfigId | ClusterId;

/** Characters of an id: 128 random bits in base 36 (swarmkit, identity/randomid.go). */
export const ID_LENGTH = 25;
const BASE = 36n;
const ID_PATTERN = /^[0-9a-z]{25}$/;

/** A new object id as swarmkit makes them: 25 characters of base 36 over 128 random bits. */
export function newId<T extends AnyId>(): T {
  let n = BigInt(`0x${randomBytes(16).toString("hex")}`);
  let s = "";
  while (n > 0n) {
    s = (n % BASE).toString(36) + s;
    n /= BASE;
  }
  return s.padStart(ID_LENGTH, "0") as T;
}

/** Whether `s` has the form of an object id (it may still name nothing). */
export function isId(s: string): boolean {
  return ID_PATTERN.test(s);
}

/** A new 64-digit hex id, the form that Docker gives endpoints and sandboxes. */
export function newHexId(): string {
  return randomBytes(32).toString("hex");
}
