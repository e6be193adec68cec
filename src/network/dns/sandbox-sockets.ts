// What the resolver needs in a sandbox's namespace: its two sockets on one port, and the rules that lead to it. Synchronous, in the daemon's
// thread; the sockets are then served by listener.ts in the other.

import { closeFd, isErrno, Nft, portOf, tcpListenerIn, udpSocketIn } from "../../kernel/index.ts";
import { portOfRedirect, REDIRECT_TABLE, RESOLVER_ADDRESS, redirectRules } from "./redirect.ts";

/** A UDP port may be free where the TCP port of that number is not: then another is tried. */
const PORT_TRIES = 16;
/** Queries that wait while the thread is busy elsewhere: some thousand small packets. */
const RECEIVE_BUFFER_BYTES = 1 << 20;

export type SocketPair = { readonly udpFd: number; readonly tcpFd: number; readonly port: number };

/** The port that an earlier daemon's rules lead to; undefined where there are none. @throws KernelError */
export function adoptedPort(netnsPath: string): number | undefined {
  using nft = Nft.open(netnsPath);
  try {
    return portOfRedirect(nft.run(`list table ip ${REDIRECT_TABLE}`));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Leads 127.0.0.11:53 to that port, whatever led where before. @throws KernelError */
export function redirectTo(netnsPath: string, port: number): void {
  using nft = Nft.open(netnsPath);
  nft.run(redirectRules(port));
}

/** Both sockets, on the wanted port if it is free (0: the kernel's choice), else on another. @throws KernelError */
export function openPair(netnsPath: string, wanted: number): SocketPair {
  for (let tries = 1; ; tries++) {
    try {
      // Only the first try is for the wanted port: whoever has it now keeps it.
      return openBoth(netnsPath, tries === 1 ? wanted : 0);
    } catch (error) {
      if (!isErrno(error, "EADDRINUSE") || tries === PORT_TRIES) throw error;
    }
  }
}

function openBoth(netnsPath: string, wanted: number): SocketPair {
  const udpFd = udpSocketIn(netnsPath, RESOLVER_ADDRESS, wanted, { receiveBufferBytes: RECEIVE_BUFFER_BYTES });
  try {
    const port = portOf(udpFd);
    return { udpFd, tcpFd: tcpListenerIn(netnsPath, RESOLVER_ADDRESS, port), port };
  } catch (error) {
    closeFd(udpFd);
    throw error;
  }
}
