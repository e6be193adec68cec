// Local stand-in for the kernel room until its index is there. Deleted then.
import { execFile } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";

const lib = koffi.load("libc.so.6");
const setns = lib.func("int setns(int fd, int t)");
const socket = lib.func("int socket(int, int, int)");
const bind = lib.func("int bind(int, const void*, unsigned int)");
const listen = lib.func("int listen(int, int)");
const getsockname = lib.func("int getsockname(int, void*, void*)");
const close = lib.func("int close(int)");
const home = openSync("/proc/thread-self/ns/net", "r");

function open(netns: string, type: number, ip: string, port: number): { fd: number; port: number } {
  const ns = openSync(netns, "r");
  if (setns(ns, 0x40000000) !== 0) throw new Error(`setns ${netns}`);
  try {
    const fd: number = socket(2, type | 0o4000 | 0o2000000, 0);
    const sa = Buffer.alloc(16);
    sa.writeUInt16LE(2, 0);
    sa.writeUInt16BE(port, 2);
    sa.set(ip.split(".").map(Number), 4);
    if (bind(fd, sa, 16) !== 0 || (type === 1 && listen(fd, 128) !== 0)) {
      const errno = koffi.errno();
      close(fd);
      throw Object.assign(new Error(`bind ${ip}:${port}: errno ${errno}`), { code: errno === 98 ? "EADDRINUSE" : "E" });
    }
    const len = Buffer.from([16, 0, 0, 0]);
    getsockname(fd, sa, len);
    return { fd, port: sa.readUInt16BE(2) };
  } finally {
    if (setns(home, 0x40000000) !== 0) process.abort();
    closeSync(ns);
  }
}
export const closeFd = (fd: number): void => void close(fd);
export const udpSocketIn = (netns: string, ip: string, port: number) => open(netns, 2, ip, port);
export const tcpListenerIn = (netns: string, ip: string, port: number) => open(netns, 1, ip, port);
export function nftIn(netns: string, args: string[], stdin = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile("nsenter", [`--net=${netns}`, "nft", ...args], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
    child.stdin?.end(stdin);
  });
}
