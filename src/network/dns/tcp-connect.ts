// A TCP connection that starts inside a namespace: node's own connect only knows the namespace that the thread is in when it gets to it.

import { check, closeFd, inNetns, ipToBytes, isErrno, libc } from "../../kernel/index.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const STREAM_NONBLOCK_CLOEXEC = 1 | 0x800 | 0x80000;

/**
 * A descriptor on its way to being connected, for `new Socket({ fd })`: writes wait until it is, and a refusal comes as an error there.
 * @throws KernelError when the namespace cannot be entered or has no route
 */
export function tcpConnectIn(netnsPath: string, address: string, port: number): number {
  const to = socketAddress(address, port);
  return inNetns(netnsPath, () => {
    const fd = check("socket", libc().socket(to.readUInt16LE(0), STREAM_NONBLOCK_CLOEXEC, 0), "open a socket");
    try {
      check("connect", libc().connect(fd, to, to.length), `connect to ${address} port ${port}`);
    } catch (error) {
      if (isErrno(error, "EINPROGRESS")) return fd;
      closeFd(fd);
      throw error;
    }
    return fd;
  });
}

/** A struct sockaddr_in or sockaddr_in6. */
function socketAddress(address: string, port: number): Buffer {
  const bytes = ipToBytes(address);
  const v6 = bytes.length === 16;
  const packed = Buffer.alloc(v6 ? 28 : 16);
  packed.writeUInt16LE(v6 ? AF_INET6 : AF_INET, 0);
  packed.writeUInt16BE(port, 2);
  packed.set(bytes, v6 ? 8 : 4);
  return packed;
}
