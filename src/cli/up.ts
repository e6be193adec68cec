// `skep up`: starts the daemon in the background and waits until it answers. The waiting is in running.ts.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type DaemonConfig, daemonArgs, formatHost } from "../daemon/config.ts";
import { SkepError } from "../model/errors.ts";
import { answers, filesOf, isRunning, pidOf, waitUntil } from "./running.ts";

/** How long the daemon may take to answer: it may have a few hundred tasks to adopt on a slow disk. */
const START_TIMEOUT_MS = 120_000;

/** A longer log than this is put aside at the next start. */
const LOG_MAX_BYTES = 10 * 1024 * 1024;

const LOG_TAIL_LINES = 20;

export interface UpOptions {
  readonly say: (line: string) => void;
  /** The program to start, before the daemon's flags. */
  readonly command?: readonly [string, ...string[]];
  readonly timeoutMs?: number;
}

/**
 * Makes sure that a daemon runs with these roots and answers. One that runs already is left as it is, whatever its other flags.
 *
 * @returns "started" or "already running"
 * @throws SkepError "unavailable" with the end of its log when it dies, "timeout" when it does not answer
 */
export async function up(config: DaemonConfig, options: UpOptions): Promise<"started" | "already running"> {
  const { say, timeoutMs = START_TIMEOUT_MS } = options;
  if (isRunning(config)) {
    if (!(await waitUntil(() => answers(config), timeoutMs))) throw silent(config, timeoutMs);
    say(`skep is already running on ${config.execRoot}`);
    sayHow(config, say);
    return "already running";
  }
  const log = openLog(config);
  const [program, ...args] = options.command ?? [join(import.meta.dirname, "../../bin/skep"), "daemon"];
  const child = spawn(program, [...args, ...daemonArgs(config)], {
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
    cwd: "/",
  });
  closeSync(log.fd);
  const died = endOf(child);
  // Another `up` may have been faster: then ours ends at once, and theirs is the one to wait for. But ours must have ended:
  // were it still waiting for the lock, it would start when theirs is stopped.
  const ready = await waitUntil(async () => {
    if (died.how !== undefined) return !isRunning(config) || (await answers(config));
    return pidOf(config) === child.pid && (await answers(config));
  }, timeoutMs);
  if (!ready) {
    child.kill("SIGTERM");
    throw silent(config, timeoutMs);
  }
  if (died.how !== undefined && !isRunning(config)) {
    throw new SkepError(
      "unavailable",
      `the daemon did not start (${died.how}). The end of ${log.path}:\n${tailOf(log)}`,
    );
  }
  child.unref();
  say(`skep is running: pid ${pidOf(config) ?? child.pid}, log ${log.path}`);
  sayHow(config, say);
  return "started";
}

function sayHow(config: DaemonConfig, say: (line: string) => void): void {
  const host = config.hosts.find((address) => address.kind === "unix") ?? config.hosts[0];
  if (!host) return;
  say("Use it with the docker command, by either of:");
  say(`  export DOCKER_HOST=${formatHost(host)}`);
  say(`  docker context create skep --docker host=${formatHost(host)} && docker context use skep`);
}

function silent(config: DaemonConfig, timeoutMs: number): SkepError {
  const { log } = filesOf(config);
  return new SkepError(
    "timeout",
    `the daemon on ${config.execRoot} did not answer within ${timeoutMs / 1000} s; its log is ${log}`,
  );
}

/** How a child ended, once it has. */
function endOf(child: ChildProcess): { how: string | undefined } {
  const end: { how: string | undefined } = { how: undefined };
  child.on("error", (error) => {
    end.how = error.message;
  });
  child.on("exit", (code, signal) => {
    end.how = signal ? `killed by ${signal}` : `exit code ${code}`;
  });
  return end;
}

interface Log {
  readonly path: string;
  readonly fd: number;
  /** Where this start's part begins. */
  readonly from: number;
}

function openLog(config: DaemonConfig): Log {
  const path = filesOf(config).log;
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  if (existsSync(path) && statSync(path).size > LOG_MAX_BYTES) renameSync(path, `${path}.1`);
  const fd = openSync(path, "a", 0o640);
  return { path, fd, from: statSync(path).size };
}

function tailOf(log: Log): string {
  const text = readFileSync(log.path).subarray(log.from).toString().trimEnd();
  return text === "" ? "(it wrote nothing)" : text.split("\n").slice(-LOG_TAIL_LINES).join("\n");
}
