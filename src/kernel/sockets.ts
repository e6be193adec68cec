// UDP and TCP sockets bound inside a namespace, as descriptors for node's own `dgram` and `net` (`bind({ fd })`, `listen({ fd })`), which own
// and close them from then on. Datagrams in batches are in datagrams.ts.
import { familyOf, sockaddr } from "./ip.ts";
import {
  AF_INET6,
  check,
  IPV6_V6ONLY,
  int32,
  libc,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_IPV6,
  SOL_SOCKET,
} from "./libc.ts";
import { closeFd, inNetns, type NetnsRef } from "./netns.ts";

const LISTEN_BACKLOG = 511; // node's own default

export interface SocketOptions {
  /** Kernel buffer for datagrams that have not been read. */
  readonly receiveBufferBytes?: number;
}

/**
 * A bound UDP socket, non-blocking and closed on exec. For `dgram.createSocket("udp4").bind({ fd })`, which is listening
 * when it returns (it emits `listening` before, so do not wait for that afterwards). Port 0 lets the kernel choose.
 * @throws KernelError (EADDRINUSE; EADDRNOTAVAIL: the address is not up there), TypeError
 */
export function udpSocketIn(netns: NetnsRef, ip: string, port: number, options: SocketOptions = {}): number {
  return boundSocket(netns, SOCK_DGRAM, ip, port, (fd) => {
    if (options.receiveBufferBytes !== undefined) setInt(fd, SOL_SOCKET, SO_RCVBUF, options.receiveBufferBytes);
  });
}

/**
 * A bound TCP socket, listening, non-blocking and closed on exec. For `server.listen({ fd })`.
 * @throws KernelError (EADDRINUSE, EADDRNOTAVAIL), TypeError
 */
export function tcpListenerIn(netns: NetnsRef, ip: string, port: number): number {
  const reusable = (fd: number): void => setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1); // as node does: not held up by TIME_WAIT
  const fd = boundSocket(netns, SOCK_STREAM, ip, port, reusable);
  try {
    check("listen", libc().listen(fd, LISTEN_BACKLOG), `listen on ${ip} port ${port}`);
  } catch (e) {
    closeFd(fd);
    throw e;
  }
  return fd;
}

/** The port that a socket is bound to. @throws KernelError */
export function portOf(fd: number): number {
  const address = Buffer.alloc(28);
  check("getsockname", libc().getsockname(fd, address, int32(address.length)), "ask a socket for its port");
  return address.readUInt16BE(2);
}

function boundSocket(netns: NetnsRef, type: number, ip: string, port: number, prepare: (fd: number) => void): number {
  const address = sockaddr(ip, port);
  const family = familyOf(ip);
  return inNetns(netns, () => {
    const fd = check("socket", libc().socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "open a socket");
    try {
      if (family === AF_INET6) setInt(fd, SOL_IPV6, IPV6_V6ONLY, 1);
      prepare(fd);
      check("bind", libc().bind(fd, address, address.length), `bind a socket to ${ip} port ${port}`);
      return fd;
    } catch (e) {
      closeFd(fd);
      throw e;
    }
  });
}

function setInt(fd: number, level: number, name: number, value: number): void {
  check("setsockopt", libc().setsockopt(fd, level, name, int32(value), 4), "set a socket option");
}
