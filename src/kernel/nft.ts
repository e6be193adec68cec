// nftables in this process, through libnftables (libnftables(3)): what `nft -f -` does, without the fork. One context belongs to one
// namespace. The rules themselves are their owners' business (network/).
import { readdirSync, writeSync } from "node:fs";
import { constants } from "node:os";
import koffi from "koffi";
import { KernelError } from "./errno.ts";
import {
  AF_NETLINK,
  check,
  F_GETFD,
  F_SETFD,
  FD_CLOEXEC,
  libc,
  MFD_CLOEXEC,
  SO_DOMAIN,
  SO_PROTOCOL,
  socketOption,
} from "./libc.ts";
import { NETLINK_NETFILTER } from "./netlink-socket.ts";
import { closeFd, inNetns, type NetnsRef, openNetnsFd } from "./netns.ts";

const OUTPUT_HANDLE = 1 << 3; // NFT_CTX_OUTPUT_*: include/nftables/libnftables.h
const OUTPUT_JSON = 1 << 4;

/**
 * nft refused a script; nothing of it was done. `message` is nft's own first error; errno is that behind its words (`Could not process rule:
 * No such file or directory` is ENOENT), or EINVAL where nft did not understand the script.
 */
export class NftError extends KernelError {
  override readonly name = "NftError";
  /** The line of the script that nft points at, from 1; 0 when it points nowhere. */
  readonly lineNumber: number;
  /** That line. */
  readonly line: string;

  constructor(firstError: string, script: string) {
    const { number, text } = locate(firstError);
    const line = script.split("\n")[number - 1] ?? "";
    const message = `nft: ${text}${line === "" ? "" : `, in: ${line.trim()}`}`;
    super("nft", errnoOf(text), { what: "run an nft script" }, message);
    this.lineNumber = number;
    this.line = line;
  }
}

interface LibNftables {
  create(flags: number): bigint;
  free(context: bigint): void;
  bufferOutput(context: bigint): number;
  bufferError(context: bigint): number;
  setFlags(context: bigint, flags: number): void;
  run(context: bigint, script: string): number;
  runFile(context: bigint, path: string): number;
  output(context: bigint): string;
  errors(context: bigint): string;
}

let bound: LibNftables | undefined;

export class Nft {
  #context: bigint | null;
  readonly #netns: number | undefined;
  readonly #lib: LibNftables;

  private constructor(lib: LibNftables, context: bigint, netns: number | undefined) {
    this.#lib = lib;
    this.#context = context;
    this.#netns = netns;
  }

  /**
   * Opens a context in that namespace (default: the own one), which it keeps alive until `close`.
   * @throws KernelError; Error when libnftables.so.1 is missing
   */
  static open(netns?: NetnsRef): Nft {
    const lib = load();
    const fd = netns === undefined ? undefined : openNetnsFd(netns);
    try {
      // The nfnetlink socket is opened here (nft_ctx_new), but each run opens a second one to learn interface names: so both must be inside.
      const context = inNetns(fd, () => lib.create(0));
      sealNetfilterSockets();
      if (context === null || lib.bufferOutput(context) !== 0 || lib.bufferError(context) !== 0) {
        throw new KernelError("nft_ctx_new", constants.errno.ENOMEM);
      }
      return new Nft(lib, context, fd);
    } catch (e) {
      if (fd !== undefined) closeFd(fd);
      throw e;
    }
  }

  /**
   * Runs a script in nft's own language as one transaction: all of it or nothing. Answers what it prints (for `list`), without handles.
   * @throws NftError
   */
  run(script: string, options: { readonly handles?: boolean } = {}): string {
    return this.#run(script, options.handles ? OUTPUT_HANDLE : 0);
  }

  /** Runs `list …` and answers nft's JSON (libnftables-json(5)), with handles. @throws NftError */
  json(command: string): unknown {
    const text = this.#run(command, OUTPUT_JSON | OUTPUT_HANDLE);
    return text.trim() === "" ? undefined : JSON.parse(text);
  }

  /** Closing twice is harmless. */
  close(): void {
    if (this.#context === null) return;
    this.#lib.free(this.#context);
    this.#context = null;
    if (this.#netns !== undefined) closeFd(this.#netns);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #run(script: string, flags: number): string {
    const context = this.#context;
    if (context === null)
      throw new KernelError("nft", constants.errno.EBADF, { what: "run an nft script after close" });
    return inNetns(this.#netns, () => {
      this.#lib.setFlags(context, flags);
      const first = this.#attempt(context, () => this.#lib.run(context, script));
      if (first.errors === undefined) return first.output;
      // Nothing was done. Only of a script in a file does nft say which line it means, so it has to say it again; should the script pass
      // this time, because what was missing has come meanwhile, then it has been run, once, and all is well.
      const again = withScriptFile(script, (path) => this.#attempt(context, () => this.#lib.runFile(context, path)));
      if (again.errors !== undefined) throw new NftError(again.errors, script);
      return again.output;
    });
  }

  #attempt(context: bigint, run: () => number): { output: string; errors: string | undefined } {
    const failed = run() !== 0;
    // Both are always fetched: that is what empties them. Text left in the C library's hands would be flushed at exit, into a library
    // that koffi has unloaded by then.
    const [output, errors] = [this.#lib.output(context), this.#lib.errors(context)];
    return { output, errors: failed ? errors : undefined };
  }
}

/** Whether libnftables can be loaded here. */
export function hasLibNftables(): boolean {
  try {
    load();
    return true;
  } catch {
    return false; // the question was just that
  }
}

function load(): LibNftables {
  if (bound !== undefined) return bound;
  const lib = koffi.load("libnftables.so.1");
  bound = {
    create: lib.func("void *nft_ctx_new(uint32_t flags)"),
    free: lib.func("void nft_ctx_free(void *ctx)"),
    bufferOutput: lib.func("int nft_ctx_buffer_output(void *ctx)"),
    bufferError: lib.func("int nft_ctx_buffer_error(void *ctx)"),
    setFlags: lib.func("void nft_ctx_output_set_flags(void *ctx, unsigned int flags)"),
    run: lib.func("int nft_run_cmd_from_buffer(void *ctx, const char *buf)"),
    runFile: lib.func("int nft_run_cmd_from_filename(void *ctx, const char *path)"),
    output: lib.func("const char *nft_ctx_get_output_buffer(void *ctx)"),
    errors: lib.func("const char *nft_ctx_get_error_buffer(void *ctx)"),
  };
  return bound;
}

/** Gives the script a path for the time of `use`: a file in memory only. */
function withScriptFile<T>(script: string, use: (path: string) => T): T {
  const fd = check("memfd_create", libc().memfd_create("nft", MFD_CLOEXEC));
  try {
    writeSync(fd, script);
    return use(`/proc/thread-self/fd/${fd}`);
  } finally {
    closeFd(fd);
  }
}

// libnftables opens its socket without SOCK_CLOEXEC and does not say which it is; a child that inherited it would hold the namespace.
function sealNetfilterSockets(): void {
  const c = libc();
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (c.fcntl(fd, F_GETFD, 0) !== 0) continue; // sealed already, or closed (the directory's own)
    if (socketOption(fd, SO_DOMAIN) !== AF_NETLINK || socketOption(fd, SO_PROTOCOL) !== NETLINK_NETFILTER) continue;
    check("fcntl", c.fcntl(fd, F_SETFD, FD_CLOEXEC), "seal nft's socket");
  }
}

// `/proc/…/fd/7:3:9-14: Error: Could not process rule: No such file or directory`. Only the first line is nft's own: the next quote the script.
function locate(errors: string): { number: number; text: string } {
  const first = errors.split("\n").find((l) => l.trim() !== "") ?? "failed without a word";
  const found = /^[^:]*:(\d+):\d+(?:-\d+)?: (?:Error: )?(.*)$/.exec(first);
  return found === null
    ? { number: 0, text: first.replace(/^Error: /, "") }
    : { number: Number(found[1]), text: found[2]! };
}

// nft keeps only strerror's text of what the kernel answered. These are glibc's words for what nf_tables is known to answer.
const WORDS: ReadonlyArray<readonly [string, number]> = [
  ["No such file or directory", constants.errno.ENOENT],
  ["File exists", constants.errno.EEXIST],
  ["Device or resource busy", constants.errno.EBUSY],
  ["Operation not supported", constants.errno.EOPNOTSUPP],
  ["Operation not permitted", constants.errno.EPERM],
  ["Numerical result out of range", constants.errno.ERANGE],
  ["Value too large for defined data type", constants.errno.EOVERFLOW],
  ["Too many open files in system", constants.errno.ENFILE],
  ["Too many levels of symbolic links", constants.errno.ELOOP],
  ["Too many links", constants.errno.EMLINK],
  ["Cannot allocate memory", constants.errno.ENOMEM],
  ["No buffer space available", constants.errno.ENOBUFS],
  ["Message too long", constants.errno.EMSGSIZE],
  ["Interrupted system call", constants.errno.EINTR],
];

function errnoOf(text: string): number {
  return WORDS.find(([words]) => text.includes(words))?.[1] ?? constants.errno.EINVAL;
}
