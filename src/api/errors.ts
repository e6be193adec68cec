// What a failure looks like to a Docker client: its status and its body, and the "rpc error" wording of what dockerd relays from
// swarmkit. The codes and their statuses are src/model/errors.ts'.
import { type Code, messageOf, SkepError, STATUS } from "../model/errors.ts";
import type { Reply } from "./http.ts";

/** The gRPC codes that dockerd relays, and what each becomes here (api/server/httpstatus of moby: statusCodeFromGRPCError). */
const RPC = {
  InvalidArgument: "invalid",
  NotFound: "not_found",
  AlreadyExists: "conflict",
  // 412 by the HTTP book, but dockerd answers 400
  FailedPrecondition: "invalid",
  Unimplemented: "unimplemented",
  Unavailable: "unavailable",
  ResourceExhausted: "invalid",
  Unknown: "internal",
  Internal: "internal",
} as const satisfies Record<string, Code>;

export type RpcCode = keyof typeof RPC;

/** An error as dockerd words those of its swarm manager: "rpc error: code = … desc = …". */
export function rpcError(code: RpcCode, desc: string): SkepError {
  return new SkepError(RPC[code], `rpc error: code = ${code} desc = ${desc}`);
}

/** A plain "no such thing": "service web not found". */
export function notFound(what: string, name: string): SkepError {
  return new SkepError("not_found", `${what} ${name} not found`);
}

/** A request that cannot be understood, in Docker's words: 400. */
export function invalid(message: string): SkepError {
  return new SkepError("invalid", message);
}

/** What every failed request is answered with. Anything that is no SkepError is a fault of ours: 500, with its message as dockerd would. */
export function errorReply(e: unknown): Reply {
  const status = e instanceof SkepError ? STATUS[e.code] : STATUS.internal;
  return { status, json: { message: messageOf(e) } };
}
