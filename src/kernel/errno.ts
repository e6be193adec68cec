// The kernel room's own error: what a system call or a netlink request answered, as a typed value. The bindings that throw
// it are in libc.ts and netlink-socket.ts; nft.ts extends it with nft's own words.
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";

/** What a KernelError says beyond its number. */
export interface KernelErrorDetail {
  /** What was being done, in words: `mount /run/x`. Ends up in the message. */
  readonly what?: string;
  /** The kernel's extended acknowledgement: its own sentence on what was wrong with a netlink request. */
  readonly extAck?: string;
}

/**
 * A request that the kernel refused. `errnoName` is the symbolic name (`EEXIST`), or `E<number>` for a number that has none in userland
 * (netlink can answer 524, ENOTSUPP).
 */
export class KernelError extends Error {
  override readonly name: string = "KernelError";
  readonly errno: number;
  readonly errnoName: string;
  readonly syscall: string;
  readonly extAck?: string;

  constructor(syscall: string, errno: number, detail: KernelErrorDetail = {}, message?: string) {
    super(message ?? describe(syscall, errno, detail));
    this.errno = errno;
    this.errnoName = errnoName(errno);
    this.syscall = syscall;
    if (detail.extAck !== undefined) this.extAck = detail.extAck;
  }
}

/** Whether `e` is a kernel's refusal of this kind; knows KernelError, and node's own errors by their `code`. */
export function isErrno(e: unknown, ...names: readonly string[]): boolean {
  if (e instanceof KernelError) return names.includes(e.errnoName);
  return e instanceof Error && "code" in e && typeof e.code === "string" && names.includes(e.code);
}

// Several names share a number; these are the ones that the manual pages use.
const PREFERRED = new Set(["EAGAIN", "EOPNOTSUPP"]);
const ENOTSUPP = 524; // include/linux/errno.h: never meant for userland, and still sent by some netlink handlers

let names: Map<number, string> | undefined;

/** The symbolic name of an errno number; `E<number>` when there is none. */
export function errnoName(errno: number): string {
  if (names === undefined) {
    names = new Map();
    for (const [name, number] of Object.entries(constants.errno)) {
      if (!names.has(number) || PREFERRED.has(name)) names.set(number, name);
    }
    names.set(ENOTSUPP, "ENOTSUPP");
  }
  return names.get(errno) ?? `E${errno}`;
}

/** The words for an errno number, in node's (libuv's) wording; empty when it knows none. */
export function errnoText(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? "";
}

function describe(syscall: string, errno: number, { what, extAck }: KernelErrorDetail): string {
  const text = errnoText(errno);
  const name = errnoName(errno);
  const why = text === "" ? name : `${name} (${text})`;
  return `cannot ${what ?? syscall}: ${why}${what === undefined ? "" : ` from ${syscall}`}${extAck ? `: ${extAck}` : ""}`;
}
