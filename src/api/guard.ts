// What most routes need first: that this node is a manager, the version that an update is based on, and a boolean in Go's notation.
import { hasCode, SkepError } from "../model/errors.ts";
import type { ActiveSwarm, ApiContext } from "./context.ts";
import { invalid, type RpcCode, rpcError } from "./errors.ts";

const NO_SWARM =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
const WORKER =
  "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
const LOCKED =
  'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.';

/** @throws SkepError "unavailable" with dockerd's words (daemon/cluster: errNoManager) */
export function requireManager({ swarm }: ApiContext): ActiveSwarm {
  const me = swarm.active();
  if (me?.manager) return me;
  throw new SkepError("unavailable", me ? WORKER : swarm.state() === "locked" ? LOCKED : NO_SWARM);
}

/** `?version=` of an update. @throws SkepError "invalid" as Go's ParseUint words it */
export function versionOf(query: URLSearchParams, what: string): number {
  const text = query.get("version") ?? "";
  const wrong = (why: string) =>
    invalid(`invalid ${what} version '${text}': strconv.ParseUint: parsing ${JSON.stringify(text)}: ${why}`);
  if (!/^[0-9]+$/.test(text)) throw wrong("invalid syntax");
  if (BigInt(text) >= 1n << 64n) throw wrong("value out of range");
  return Number(text);
}

/** A parameter in the notation of Go's ParseBool; `undefined` when it is not there. @throws SkepError "invalid" */
export function goBool(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name) ?? "";
  if (text === "") return undefined;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  throw invalid(`invalid value for ${name}: ${text}`);
}

/** The error of an update that is based on an old version, in the words that clients look for. */
export function outOfSequence(): SkepError {
  return new SkepError("stale", "rpc error: code = Unknown desc = update out of sequence");
}

/** Runs a rule of src/model, and words what it refuses as swarmkit's own control API would. */
export function asRpc<T>(rule: () => T, code: RpcCode = "InvalidArgument"): T {
  try {
    return rule();
  } catch (e) {
    if (hasCode(e, "invalid")) throw rpcError(code, e.message);
    if (hasCode(e, "unimplemented")) throw rpcError("Unimplemented", e.message);
    throw e;
  }
}
