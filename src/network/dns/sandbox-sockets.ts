// What the resolver needs in a sandbox's namespace: its two sockets on one port, and the rules that lead to it. Synchronous, in the daemon's
// thread; the sockets are then served by listener.ts in the other.

import { closeFd, isErrno, Nft, portOf, tcpListenerIn, udpSocketIn } from "../../kernel/index.ts";
import { portOfRedirect, REDIRECT_TABLE, RESOLVER_ADDRESS, redirectRules } from "./redirect.ts";

/** A UDP port may be free where the TCP port of that number is not: then another is tried. */
const PORT_TRIES = 16;
/** Queries that wait while the thread is busy elsewhere: some thousand small packets. */
const RECEIVE_BUFFER_BYTES = 1 << 20;

export type SocketPair = { readonly udpFd: number; readonly tcpFd: number; readonly port: number };

/**
 * Makes both sockets and has 127.0.0.11:53 lead to them. Where rules of an earlier daemon are found, the port they lead to is taken again if
 * it is free, and they stay: connections that conntrack follows then go on.
 * @throws KernelError, having left nothing open
 */
export function openSandbox(netnsPath: string): SocketPair {
  using nft = Nft.open(netnsPath);
  const listing = listTable(nft);
  const before = listing === undefined ? undefined : portOfRedirect(listing);
  const pair = openPair(netnsPath, before ?? 0);
  if (pair.port === before) return pair;
  try {
    nft.run(redirectRules(pair.port, { replace: listing !== undefined }));
    return pair;
  } catch (error) {
    closeFd(pair.udpFd);
    closeFd(pair.tcpFd);
    throw error;
  }
}

function listTable(nft: Nft): string | undefined {
  try {
    return nft.run(`list table ip ${REDIRECT_TABLE}`);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Both sockets, on the wanted port if it is free (0: the kernel's choice), else on another. */
function openPair(netnsPath: string, wanted: number): SocketPair {
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
