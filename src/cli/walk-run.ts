// Runs the steps of walk.ts: the command itself, its output as it comes, its check. What is printed around it is the caller's.

import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { messageOf, SkepError } from "../model/errors.ts";
import { type Balancer, type Facts, lbNamespace, type Step } from "./walk.ts";

/** One command may take this long: pulling an image through a slow line is the longest. */
const STEP_TIMEOUT_MS = 300_000;

export interface RunOptions {
  /** The environment of the commands: DOCKER_HOST and PATH matter. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
  /** Hears what the command prints (both streams), as it prints it. */
  readonly hear?: (text: string) => void;
}

/**
 * Runs one step: its command, then its check of standard output.
 *
 * @throws SkepError "internal" with the command and its output if it fails or does not show what it should
 */
export async function runStep(step: Step, facts: Facts, options: RunOptions): Promise<void> {
  const words = step.command(facts);
  const { output, ending } = await run(words, options);
  options.signal?.throwIfAborted();
  try {
    if (ending !== "exit code 0") throw new Error(ending);
    step.check(output, facts);
  } catch (error) {
    throw new SkepError("internal", `${shown(words)}: ${messageOf(error)}\n${output}`, {}, error);
  }
}

/** Which balancer a load balancer's namespace has: IPVS if it answers and holds services. */
export async function balancerOf(facts: Facts): Promise<Balancer> {
  try {
    const { stdout } = await promisify(execFile)("nsenter", [`--net=${lbNamespace(facts)}`, "ipvsadm", "-Ln"]);
    return /^FWM/m.test(stdout) ? "ipvs" : "nft";
  } catch {
    return "nft"; // ipvsadm fails where the kernel has no ip_vs: that is how it tells
  }
}

/** A command as one would type it. */
export function shown(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("\t", "\\t")}'`)).join(" ");
}

/** Where setup puts a docker command if the machine has none; undefined if it had one. */
export function unpackedDocker(): string | undefined {
  const bin = join(import.meta.dirname, "../../.cache/docker-cli/bin");
  return existsSync(join(bin, "docker")) ? bin : undefined;
}

/** The environment in which `docker` is Docker's command and speaks to this host, whatever the user's own settings for it are. */
export function dockerEnvironment(host: string): NodeJS.ProcessEnv {
  const { DOCKER_CONTEXT, DOCKER_TLS, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH, DOCKER_API_VERSION, ...others } =
    process.env;
  const unpacked = unpackedDocker();
  return { ...others, PATH: unpacked ? `${unpacked}:${others.PATH}` : others.PATH, DOCKER_HOST: host };
}

function run(words: readonly string[], options: RunOptions): Promise<{ output: string; ending: string }> {
  const [program = "", ...args] = words;
  const child = spawn(program, args, {
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"],
    signal: AbortSignal.any([AbortSignal.timeout(STEP_TIMEOUT_MS), ...(options.signal ? [options.signal] : [])]),
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      if (stream === child.stdout) output += text;
      options.hear?.(text);
    });
  }
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ output, ending: error.message }));
    child.on("close", (code, signal) =>
      resolve({ output, ending: signal ? `killed by ${signal}` : `exit code ${code}` }),
    );
  });
}
