// What can be known of a daemon from outside: whether it runs, its pid, the flags it was started with, whether it answers.
// The daemon's side (writing these files) is in daemon.ts.

import { readFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type DaemonConfig, type DaemonOptions, type ListenAddress, parseDaemonConfig } from "../daemon/config.ts";
import { SkepError } from "../model/errors.ts";
import { parseDaemonFlags, type RootOptions } from "./flags.ts";
import { isLocked } from "./lock.ts";

/** How often a waiting command looks again: soon enough to feel immediate, seldom enough to cost nothing. */
const LOOK_EVERY_MS = 30;

/** How long an address may take to answer one ping. */
const PING_TIMEOUT_MS = 2000;

/** The files that a daemon keeps for the other commands. */
export function filesOf(config: DaemonConfig): { pid: string; flags: string; log: string } {
  return {
    pid: join(config.execRoot, "skep.pid"),
    // In the data root, since `down --purge` must find a separate Podman storage after a reboot too.
    flags: join(config.dataRoot, "flags.json"),
    log: join(config.dataRoot, "skep.log"),
  };
}

/** The config of the daemon on these roots: as it was last started, or by default. */
export function configOn(roots: RootOptions): DaemonConfig {
  const config = parseDaemonConfig(roots);
  const text = readIfThere(filesOf(config).flags);
  if (text === undefined) return config;
  const recorded = parseDaemonConfig(parseDaemonFlags(JSON.parse(text) as string[]));
  if (recorded.execRoot !== config.execRoot) {
    throw new SkepError(
      "invalid",
      `the daemon on --data-root ${config.dataRoot} has --exec-root ${recorded.execRoot}, not ${config.execRoot}`,
    );
  }
  return recorded;
}

/**
 * The flags, with the Podman of the last start where they name none: its containers are there, and nowhere else could they be found again.
 */
export function withLastPodman(options: DaemonOptions): DaemonOptions {
  if (options.podman ?? options.podmanRoot ?? options.podmanRunroot) return options;
  const text = readIfThere(filesOf(parseDaemonConfig(options)).flags);
  if (text === undefined) return options;
  const { podman, podmanRoot, podmanRunroot } = parseDaemonFlags(JSON.parse(text) as string[]);
  return {
    ...options,
    ...(podman === undefined ? {} : { podman }),
    ...(podmanRoot === undefined ? {} : { podmanRoot }),
    ...(podmanRunroot === undefined ? {} : { podmanRunroot }),
  };
}

/** The pid of the daemon on these roots, or undefined if none runs. */
export function pidOf(config: DaemonConfig): number | undefined {
  if (!isLocked(config.execRoot)) return undefined;
  const pid = Number(readIfThere(filesOf(config).pid));
  return Number.isInteger(pid) && pid > 1 ? pid : undefined;
}

/** Whether a daemon runs on these roots (it may be starting or stopping). */
export function isRunning(config: DaemonConfig): boolean {
  return isLocked(config.execRoot);
}

/** Whether the daemon answers `GET /_ping`; over TLS, whether it accepts connections. */
export async function answers(config: DaemonConfig): Promise<boolean> {
  const address = config.hosts.find((host) => host.kind === "unix") ?? config.hosts[0];
  if (!address) return false;
  return address.kind === "tcp" && config.tls ? accepts(address) : pings(address);
}

function pings(address: ListenAddress): Promise<boolean> {
  const to = address.kind === "unix" ? { socketPath: address.path } : { host: address.host, port: address.port };
  return new Promise((resolve) => {
    const asked = request({ ...to, path: "/_ping", timeout: PING_TIMEOUT_MS, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on("timeout", () => asked.destroy());
    asked.on("error", () => resolve(false)); // nobody listens yet: that is the answer
    asked.on("close", () => resolve(false));
    asked.end();
  });
}

function accepts(address: { host: string; port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.setTimeout(PING_TIMEOUT_MS, () => socket.destroy());
    socket.on("connect", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("error", () => resolve(false)); // as above
    socket.on("close", () => resolve(false));
  });
}

/** Looks until `done` is true. Resolves to whether it became so within `timeoutMs`. */
export async function waitUntil(done: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await done())) {
    if (performance.now() > deadline) return false;
    await delay(LOOK_EVERY_MS);
  }
  return true;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
