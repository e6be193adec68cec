// The C library, called through koffi: plain system calls on the calling thread, with no fork and no thread pool. This file has the
// bindings and `check`, which turns -1 into a KernelError. What is made of them is next door: netns.ts, netlink-socket.ts, sockets.ts.
import koffi from "koffi";
import { KernelError } from "./errno.ts";

/** Numbers from the kernel's uapi headers; the same on x86_64 and arm64. */
export const CLONE_NEWNET = 0x40000000;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_PRIVATE = 1 << 18;
export const MS_SHARED = 1 << 20;
export const MNT_DETACH = 2;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_BRIDGE = 7;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_RCVTIMEO = 20;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
export const SOL_IP = 0;
export const IP_FREEBIND = 15;
export const SOL_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const IPV6_FREEBIND = 78;
export const O_RDONLY = 0;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;
export const F_GETFD = 1;
export const F_SETFD = 2;
export const FD_CLOEXEC = 1;
export const MFD_CLOEXEC = 1;
export const F_GETFL = 3;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;

/** The bound functions. Each answers what C answers: -1 and errno on failure. Pass results through `check`. */
export interface Libc {
  unshare(flags: number): number;
  setns(fd: number, nstype: number): number;
  mount(source: string, target: string, fstype: string | null, flags: number, data: null): number;
  umount2(target: string, flags: number): number;
  open(path: string, flags: number): number;
  close(fd: number): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint8Array): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  sendto(fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array, toLength: number): number;
  recv(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  recvmmsg(fd: number, vector: Uint8Array, count: number, flags: number, timeout: null): number;
  sendmmsg(fd: number, vector: Uint8Array, count: number, flags: number): number;
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  ioctl(fd: number, request: number, argument: number): number;
  memfd_create(name: string, flags: number): number;
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, length: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, length: number): number;
}

let bound: Libc | undefined;

/** The bindings, made on first use. */
export function libc(): Libc {
  bound ??= bindLibc();
  return bound;
}

/**
 * `result` when it is not -1, else the error. It must be called straight after the system call: errno is the thread's.
 * @param what what was being done, for the message: `bind a socket to 10.0.0.1:53`
 * @throws KernelError
 */
export function check(syscall: string, result: number, what?: string): number {
  if (result !== -1) return result;
  throw new KernelError(syscall, errno(), what === undefined ? {} : { what });
}

/** The calling thread's errno, as the last binding left it. */
export function errno(): number {
  return koffi.errno();
}

/** An `int` as C wants it in memory. */
export function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

/** A socket's option (SOL_SOCKET) as a number, or undefined if the descriptor is not a socket's. */
export function socketOption(fd: number, name: number): number | undefined {
  const value = int32(0);
  if (libc().getsockopt(fd, SOL_SOCKET, name, value, int32(4)) !== 0) return undefined;
  return new DataView(value.buffer).getInt32(0, true);
}

function bindLibc(): Libc {
  const lib = koffi.load("libc.so.6");
  // long, not ssize_t: the same thing on every Linux, and koffi knows no ssize_t
  return {
    unshare: lib.func("int unshare(int flags)"),
    setns: lib.func("int setns(int fd, int nstype)"),
    mount: lib.func(
      "int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *d)",
    ),
    umount2: lib.func("int umount2(const char *target, int flags)"),
    open: fixed(lib.func("int open(const char *path, int flags, ...)")),
    close: lib.func("int close(int fd)"),
    socket: lib.func("int socket(int domain, int type, int protocol)"),
    bind: lib.func("int bind(int fd, const void *addr, unsigned int len)"),
    connect: lib.func("int connect(int fd, const void *addr, unsigned int len)"),
    listen: lib.func("int listen(int fd, int backlog)"),
    getsockname: lib.func("int getsockname(int fd, void *addr, void *len)"),
    send: lib.func("long send(int fd, const void *buf, size_t len, int flags)"),
    sendto: lib.func("long sendto(int fd, const void *buf, size_t len, int flags, const void *to, unsigned int tolen)"),
    recv: lib.func("long recv(int fd, void *buf, size_t len, int flags)"),
    recvmmsg: lib.func("int recvmmsg(int fd, void *vec, unsigned int n, int flags, void *timeout)"),
    sendmmsg: lib.func("int sendmmsg(int fd, void *vec, unsigned int n, int flags)"),
    poll: lib.func("int poll(void *fds, unsigned long n, int timeout)"),
    fcntl: variadicInt(lib.func("int fcntl(int fd, int cmd, ...)"), "int"),
    ioctl: variadicInt(lib.func("int ioctl(int fd, unsigned long request, ...)"), "long"),
    memfd_create: lib.func("int memfd_create(const char *name, unsigned int flags)"),
    getsockopt: lib.func("int getsockopt(int fd, int level, int name, void *value, void *len)"),
    setsockopt: lib.func("int setsockopt(int fd, int level, int name, const void *value, unsigned int len)"),
  };
}

type CFunction = (...args: unknown[]) => number;

// C passes variadic arguments differently from named ones on some platforms, so koffi must know which they are.
function variadicInt(f: CFunction, type: string): (a: number, b: number, c: number) => number {
  return (a, b, c) => f(a, b, type, c);
}

function fixed(f: CFunction): (path: string, flags: number) => number {
  return (path, flags) => f(path, flags);
}
