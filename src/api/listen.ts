// Addresses that the API listens on: a unix socket taken over when nobody answers there any more, or a tcp port. What is answered is
// server.ts'.
import { lstat, mkdir, unlink } from "node:fs/promises";
import type { Server } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { messageOf, SkepError } from "../model/errors.ts";

/** Where to listen. */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Owner and group only, as dockerd's socket. */
const SOCKET_UMASK = 0o117;

/**
 * Resolves when the server accepts connections at the address. A socket file that a dead daemon left is replaced.
 * @throws SkepError "conflict" when something answers there or another file is in the way, "unavailable" when the system refuses
 */
export async function listenAt(server: Server, address: ListenAddress): Promise<void> {
  if (address.kind === "unix") await clearWay(address.path);
  await new Promise<void>((resolve, reject) => {
    const failed = (e: NodeJS.ErrnoException) => {
      const text = `cannot listen on ${nameOf(address)}: ${messageOf(e)}`;
      reject(new SkepError(e.code === "EADDRINUSE" ? "conflict" : "unavailable", text, {}, e));
    };
    server.once("error", failed);
    const listening = () => {
      server.off("error", failed);
      resolve();
    };
    if (address.kind === "tcp") {
      server.listen({ host: address.host, port: address.port }, listening);
      return;
    }
    // The file is made inside this call, so it never exists with other permissions.
    const umask = process.umask(SOCKET_UMASK);
    try {
      server.listen({ path: address.path }, listening);
    } finally {
      process.umask(umask);
    }
  });
}

function nameOf(address: ListenAddress): string {
  return address.kind === "unix" ? `unix://${address.path}` : `tcp://${address.host}:${address.port}`;
}

async function clearWay(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const stat = await lstat(path).catch((e: NodeJS.ErrnoException) => {
    if (e.code === "ENOENT") return undefined;
    throw new SkepError("unavailable", `cannot look at ${path}: ${e.message}`, {}, e);
  });
  if (!stat) return;
  if (!stat.isSocket()) throw new SkepError("conflict", `cannot listen on unix://${path}: the file is no socket`);
  if (await isAnswered(path))
    throw new SkepError("conflict", `cannot listen on unix://${path}: another daemon answers there`);
  await unlink(path);
}

/** Whether somebody accepts connections on the unix socket. @throws SkepError "unavailable" when that cannot be tried */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (e: NodeJS.ErrnoException) => {
      if (e.code === "ECONNREFUSED" || e.code === "ENOENT") resolve(false);
      else reject(new SkepError("unavailable", `cannot try the socket ${path}: ${e.message}`, {}, e));
    });
  });
}
