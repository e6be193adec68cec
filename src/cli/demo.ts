// `skep demo`: the walk of walk.ts on a daemon of its own, told to the person who watches; then everything is taken away again.
// Whether anything stayed behind is looked at in leftovers.ts.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type DaemonConfig, formatHost, parseDaemonConfig } from "../daemon/config.ts";
import { messageOf, SkepError } from "../model/errors.ts";
import { demoImages } from "./demo-images.ts";
import { down } from "./down.ts";
import { hostMarks, leftovers } from "./leftovers.ts";
import { storageBeside } from "./own-files.ts";
import { filesOf, isRunning } from "./running.ts";
import { up } from "./up.ts";
import { type Balancer, noFacts, type Step, WALK } from "./walk.ts";
import { balancerOf, dockerEnvironment, runStep, shown, unpackedDocker } from "./walk-run.ts";

export interface DemoOptions {
  readonly keep: boolean;
  readonly say: (line: string) => void;
}

/** Enough of the daemon's log to see what went before a failure. */
const LOG_LINES = 30;

/** The exit code of a program that Ctrl-C ended, as shells have it. */
const INTERRUPTED = 130;

/**
 * Runs the demo. Uses the default roots if nothing is there, else roots of its own, so that no swarm of anybody's is touched.
 *
 * @returns the exit code: 0 if every check held and, without `keep`, nothing was left behind
 */
export async function demo({ keep, say }: DemoOptions): Promise<number> {
  if (process.getuid?.() !== 0)
    throw new SkepError("forbidden", "the demo makes network namespaces, which takes root: use sudo");
  const config = freeRoots();
  const before = hostMarks();
  const interrupt = new AbortController();
  const stop = (): void => interrupt.abort();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);

  let failure: unknown;
  try {
    await walk(config, say, interrupt.signal);
  } catch (error) {
    failure = error;
    say("");
    say(interrupt.signal.aborted ? "Interrupted." : `The demo failed at: ${messageOf(error)}`);
    if (!interrupt.signal.aborted) sayLog(config, say);
  }
  if (keep && !interrupt.signal.aborted) {
    sayKept(config, say);
  } else {
    say("");
    say("Removing everything again.");
    // From here on an impatient second Ctrl-C changes nothing: half a removal would help nobody.
    await down(rootsOf(config), { say: () => {}, purge: true });
    const left = leftovers(before, config);
    for (const what of left) say(`  left behind: ${what}`);
    if (left.length > 0) return 1;
    say("Nothing is left behind: no process, mount, namespace, link, nftables table or file.");
  }
  if (interrupt.signal.aborted) return INTERRUPTED;
  return failure === undefined ? 0 : 1;
}

async function walk(config: DaemonConfig, say: (line: string) => void, signal: AbortSignal): Promise<void> {
  say("Starting skep.");
  await up(config, { say });
  signal.throwIfAborted();
  const host = formatHost(config.hosts[0]!);
  say("");
  say("The images of the walk:");
  await demoImages(config, { say: (line) => say(`  ${line}`) });
  const facts = noFacts(join(config.execRoot, "netns"));
  const env = dockerEnvironment(host);
  let balancer: Balancer | undefined;
  const checked: string[] = [];
  for (const step of WALK) {
    signal.throwIfAborted();
    if (step.balancer) {
      balancer ??= await balancerOf(facts);
      if (step.balancer !== balancer) continue;
    }
    say("");
    say(`$ ${shown(step.command(facts))}`);
    await runStep(step, facts, { env, signal, hear: (text) => process.stdout.write(text) });
    say(`# ${step.shows}`);
    checked.push(step.checks);
  }
  sayChecked(checked, say);
}

function sayChecked(checked: readonly Step["checks"][], say: (line: string) => void): void {
  say("");
  say("What was checked:");
  for (const check of checked) say(`  ok  ${check}`);
}

/** The log goes with the rest, so its end is shown while it is there. */
function sayLog(config: DaemonConfig, say: (line: string) => void): void {
  const { log } = filesOf(config);
  if (!existsSync(log)) return;
  say(`The end of ${log}:`);
  for (const line of readFileSync(log, "utf8").trimEnd().split("\n").slice(-LOG_LINES)) say(`  ${line}`);
}

function sayKept(config: DaemonConfig, say: (line: string) => void): void {
  const defaults = parseDaemonConfig();
  const flags =
    config.execRoot === defaults.execRoot ? "" : ` --data-root ${config.dataRoot} --exec-root ${config.execRoot}`;
  const launcher = join(import.meta.dirname, "../../bin/skep");
  const unpacked = unpackedDocker();
  say("");
  say("The swarm stays up. Use it with:");
  if (unpacked) say(`  export PATH=${unpacked}:$PATH`);
  say(`  export DOCKER_HOST=${formatHost(config.hosts[0]!)}`);
  say("  docker service ls");
  say("Remove it, and everything that belongs to it, with:");
  say(`  ${launcher} down --purge${flags}`);
}

/** Roots where nobody has anything: the default ones, else the demo's own. */
function freeRoots(): DaemonConfig {
  const candidates = [
    parseDaemonConfig(),
    parseDaemonConfig({ dataRoot: "/var/lib/skep-demo", execRoot: "/run/skep-demo" }),
  ];
  const free = candidates.find((config) => !isRunning(config) && isEmpty(config.dataRoot));
  if (free) return withOwnStorage(free);
  const { dataRoot, execRoot } = candidates[1]!;
  throw new SkepError(
    "conflict",
    `a demo was kept or cut off: remove it with skep down --purge --data-root ${dataRoot} --exec-root ${execRoot}, then run this again`,
  );
}

/** Its images and containers are kept apart from what the user has in Podman, and go with the rest. */
function withOwnStorage(config: DaemonConfig): DaemonConfig {
  const { root, runRoot } = storageBeside(config);
  return parseDaemonConfig({ ...rootsOf(config), podmanRoot: root, podmanRunroot: runRoot });
}

function rootsOf(config: DaemonConfig): { dataRoot: string; execRoot: string } {
  return { dataRoot: config.dataRoot, execRoot: config.execRoot };
}

function isEmpty(dir: string): boolean {
  return !existsSync(dir) || readdirSync(dir).length === 0;
}
