// Commands of the host, run to their end: argv arrays, never a shell, and inside a namespace where asked. For what has no faster way;
// namespaces, links and nftables have one (netns.ts, rtnetlink.ts, nft.ts).
import { type ChildProcess, spawn } from "node:child_process";
import { inNetns, type NetnsRef } from "./netns.ts";

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024; // a command that says more is out of hand

export interface ExecOptions {
  /** Written to the command's input, which is then closed. */
  readonly stdin?: string | Uint8Array;
  readonly netns?: NetnsRef;
  /** When it fires the command is killed, and the promise is rejected with the signal's reason as cause. */
  readonly signal?: AbortSignal;
  /** Default: 30 s. */
  readonly timeoutMs?: number;
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that could not be started, failed, or was ended. `exitCode` is null unless it exited by itself. */
export class ExecError extends Error {
  override readonly name = "ExecError";
  readonly argv: readonly string[];
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `ENOENT`: there is no such command. */
  readonly code: string | undefined;

  constructor(argv: readonly string[], why: string, facts: ExecFacts = {}) {
    super(`cannot run ${argv.join(" ")}: ${why}`, facts.cause === undefined ? {} : { cause: facts.cause });
    this.argv = argv;
    this.exitCode = facts.exitCode ?? null;
    this.signal = facts.signal ?? null;
    this.stdout = facts.stdout ?? "";
    this.stderr = facts.stderr ?? "";
    this.code = codeOf(facts.cause);
  }
}

interface ExecFacts {
  readonly exitCode?: number | null;
  readonly signal?: NodeJS.Signals | null;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly cause?: unknown;
}

/**
 * Runs a command and resolves with what it said once it has exited with 0 and closed its output.
 * @throws ExecError; KernelError when the namespace cannot be entered
 */
export async function exec(argv: readonly [string, ...string[]], options: ExecOptions = {}): Promise<ExecResult> {
  const { stdin, netns, signal, timeoutMs = 30_000 } = options;
  const limit = AbortSignal.timeout(timeoutMs);
  const stop = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  if (stop.aborted) throw new ExecError(argv, "ended before it began", { cause: stop.reason });
  // spawn forks before it returns, and the child is where its parent's thread is at that moment
  const child = inNetns<ChildProcess>(netns, () => spawn(argv[0], argv.slice(1), { stdio: ["pipe", "pipe", "pipe"] }));
  return await finish(child, argv, stdin, stop, timeoutMs);
}

function finish(
  child: ChildProcess,
  argv: readonly string[],
  stdin: string | Uint8Array | undefined,
  stop: AbortSignal,
  timeoutMs: number,
): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let size = 0;
    let ended: { why: string; cause?: unknown } | undefined;
    const end = (why: string, cause?: unknown): void => {
      ended ??= { why, cause };
      child.kill("SIGKILL");
    };
    const onStop = (): void => {
      const timedOut = stop.reason instanceof DOMException && stop.reason.name === "TimeoutError";
      end(timedOut ? `not done after ${timeoutMs} ms` : "aborted", stop.reason);
    };
    const gather = (chunks: Buffer[]) => (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_OUTPUT_BYTES) end(`said more than ${MAX_OUTPUT_BYTES} bytes`);
      else chunks.push(chunk);
    };
    stop.addEventListener("abort", onStop, { once: true });
    child.stdout?.on("data", gather(out));
    child.stderr?.on("data", gather(err));
    child.on("error", (cause) => {
      stop.removeEventListener("abort", onStop);
      reject(new ExecError(argv, cause.message, { cause }));
    });
    child.on("close", (exitCode, signal) => {
      stop.removeEventListener("abort", onStop);
      const said = { stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
      if (ended !== undefined)
        reject(new ExecError(argv, ended.why, { ...said, exitCode, signal, cause: ended.cause }));
      else if (exitCode !== 0)
        reject(new ExecError(argv, reason(exitCode, signal, said.stderr), { ...said, exitCode, signal }));
      else resolve(said);
    });
    // A command may exit without reading its input; its exit code then tells what matters, not our broken pipe.
    child.stdin?.on("error", () => {});
    child.stdin?.end(stdin);
  });
}

function reason(exitCode: number | null, signal: NodeJS.Signals | null, stderr: string): string {
  const how = exitCode === null ? `ended by ${signal}` : `exit code ${exitCode}`;
  const words = stderr.trim().split("\n")[0] ?? "";
  return words === "" ? how : `${how}: ${words}`;
}

function codeOf(cause: unknown): string | undefined {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined;
}
