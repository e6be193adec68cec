// What the daemon is told when it starts: the flags, checked and made whole. Reads no file and no environment, so that
// `up`, `down` and `status` can work out the same paths as the daemon. What is done with it is in index.ts.

import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { SkepError } from "../model/errors.ts";

/** Where everything goes unless flags say otherwise. */
export const DEFAULT_DATA_ROOT = "/var/lib/skep";
export const DEFAULT_EXEC_ROOT = "/run/skep";

/** Log levels, most talkative first. The names are dockerd's and pino's alike. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** sun_path of unix(7) is 108 bytes with its closing zero. */
const SOCKET_PATH_MAX_BYTES = 107;

/** dockerd's registered ports, without and with TLS. */
const TCP_PORT = 2375;
const TLS_PORT = 2376;

/** One address that the API listens on. */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Files for TLS on the tcp addresses. `verify` asks every client for a certificate signed by `ca`. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
  readonly verify: boolean;
}

/** Which Podman: one that already serves on a socket, or one that skep starts (on separate storage, or on Podman's own). */
export type PodmanChoice =
  | { readonly kind: "running"; readonly socket: string }
  | { readonly kind: "own"; readonly storage?: { readonly root: string; readonly runRoot: string } };

/** Everything the daemon needs to know to start. All paths are absolute. */
export interface DaemonConfig {
  /** At least one; the first unix one is where `up` waits for an answer. */
  readonly hosts: readonly ListenAddress[];
  /** State that outlives a reboot: the store, the log. */
  readonly dataRoot: string;
  /** State that does not: sockets, pid file, `netns/`. */
  readonly execRoot: string;
  readonly logLevel: LogLevel;
  readonly podman: PodmanChoice;
  /** Present when any `--tls` flag was given; used on tcp addresses only, as dockerd does. */
  readonly tls?: TlsFiles;
  /** The name this node shows in `docker node ls`. */
  readonly nodeHostname: string;
}

/** The flags as typed: what commander hands over, nothing checked. */
export interface DaemonOptions {
  readonly host?: readonly string[];
  readonly dataRoot?: string;
  readonly execRoot?: string;
  readonly logLevel?: string;
  readonly podman?: string;
  readonly podmanRoot?: string;
  readonly podmanRunroot?: string;
  readonly tls?: boolean;
  readonly tlsverify?: boolean;
  readonly tlscacert?: string;
  readonly tlscert?: string;
  readonly tlskey?: string;
  readonly nodeHostname?: string;
}

/**
 * Checks the flags and fills in the defaults.
 *
 * @throws SkepError "invalid" naming the flag, its value and what it should have been
 */
export function parseDaemonConfig(options: DaemonOptions = {}): DaemonConfig {
  const dataRoot = rootOf("--data-root", options.dataRoot, DEFAULT_DATA_ROOT);
  const execRoot = rootOf("--exec-root", options.execRoot, DEFAULT_EXEC_ROOT);
  if (dataRoot === execRoot) {
    throw invalid(`--data-root and --exec-root must be two directories, and both are ${dataRoot}`);
  }
  const tls = tlsOf(options);
  const written = options.host?.length ? options.host : [`unix://${join(execRoot, "skep.sock")}`];
  const hosts = written.map((host) => hostOf(host, execRoot, tls !== undefined));
  refuseRepeats(written, hosts);
  return {
    hosts,
    dataRoot,
    execRoot,
    logLevel: logLevelOf(options.logLevel ?? "info"),
    podman: podmanOf(options),
    ...(tls ? { tls } : {}),
    nodeHostname: nodeHostnameOf(options.nodeHostname),
  };
}

/** Reads one `-H` value. `unix://` alone means the default socket, as with dockerd. */
function hostOf(written: string, execRoot: string, hasTls: boolean): ListenAddress {
  const [, scheme, rest] = /^([a-z]+):\/\/(.*)$/.exec(written) ?? [];
  if (scheme === "unix") {
    return { kind: "unix", path: socketOf("--host", written, rest || join(execRoot, "skep.sock")) };
  }
  if (scheme === "tcp") return tcpOf(written, rest ?? "", hasTls);
  throw invalid(`--host ${quote(written)}: it must start with unix:// or tcp://`);
}

function tcpOf(written: string, rest: string, hasTls: boolean): ListenAddress {
  const [, bracketed, plain, portText] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]*))(?::(\d+))?$/.exec(rest) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined) throw invalid(`--host ${quote(written)}: it must look like tcp://ADDRESS:PORT`);
  const port = portText === undefined ? (hasTls ? TLS_PORT : TCP_PORT) : Number(portText);
  if (port < 1 || port > 65535) throw invalid(`--host ${quote(written)}: port ${portText} is not between 1 and 65535`);
  if (!hasTls && !isLoopback(host)) {
    throw invalid(
      `--host ${quote(written)}: whoever reaches this address owns the machine; ` +
        "use a loopback address, or --tlsverify with --tlscacert, --tlscert and --tlskey",
    );
  }
  return { kind: "tcp", host: host || "0.0.0.0", port };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

function refuseRepeats(written: readonly string[], hosts: readonly ListenAddress[]): void {
  const seen = new Set<string>();
  for (const [index, host] of hosts.entries()) {
    const key = formatHost(host);
    if (seen.has(key)) throw invalid(`--host ${quote(written[index] ?? key)} is given twice`);
    seen.add(key);
  }
}

function tlsOf(options: DaemonOptions): TlsFiles | undefined {
  const wanted = options.tls || options.tlsverify || options.tlscacert || options.tlscert || options.tlskey;
  if (!wanted) return undefined;
  if (!options.tlscert || !options.tlskey) throw invalid("TLS needs both --tlscert FILE and --tlskey FILE");
  const verify = options.tlsverify === true;
  if (verify && !options.tlscacert) throw invalid("--tlsverify needs --tlscacert FILE, to check clients against");
  return {
    cert: resolve(options.tlscert),
    key: resolve(options.tlskey),
    ...(options.tlscacert ? { ca: resolve(options.tlscacert) } : {}),
    verify,
  };
}

function podmanOf(options: DaemonOptions): PodmanChoice {
  const { podman, podmanRoot, podmanRunroot } = options;
  if (podman !== undefined) {
    if (podmanRoot !== undefined || podmanRunroot !== undefined) {
      throw invalid(
        "--podman uses a Podman that runs already: --podman-root and --podman-runroot are for one that skep starts",
      );
    }
    const [, path] = /^unix:\/\/(.+)$/.exec(podman) ?? [];
    if (!path) throw invalid(`--podman ${quote(podman)}: it must look like unix:///run/podman/podman.sock`);
    return { kind: "running", socket: socketOf("--podman", podman, path) };
  }
  if ((podmanRoot === undefined) !== (podmanRunroot === undefined)) {
    throw invalid("--podman-root and --podman-runroot go together: storage on one and locks on the other do not mix");
  }
  if (podmanRoot === undefined || podmanRunroot === undefined) return { kind: "own" };
  return {
    kind: "own",
    storage: {
      root: rootOf("--podman-root", podmanRoot, ""),
      runRoot: rootOf("--podman-runroot", podmanRunroot, ""),
    },
  };
}

function rootOf(flag: string, written: string | undefined, byDefault: string): string {
  if (written === "") throw invalid(`${flag} must name a directory`);
  const path = resolve(written ?? byDefault);
  // `down --purge` empties these: one that is the whole file system can only be a slip.
  if (path === "/") throw invalid(`${flag} cannot be /`);
  return path;
}

function socketOf(flag: string, written: string, path: string): string {
  if (!path.startsWith("/")) throw invalid(`${flag} ${quote(written)}: the socket's path must be absolute`);
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_MAX_BYTES) {
    throw invalid(
      `${flag} ${quote(written)}: a socket's path has at most ${SOCKET_PATH_MAX_BYTES} bytes, this has ${bytes}`,
    );
  }
  return resolve(path);
}

function logLevelOf(written: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === written);
  if (!level) throw invalid(`--log-level ${quote(written)}: it must be one of ${LOG_LEVELS.join(", ")}`);
  return level;
}

function nodeHostnameOf(written: string | undefined): string {
  const name = written ?? hostname();
  // RFC 1123, as long as Linux allows a host name to be
  if (name.length > 64 || !/^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$/.test(name)) {
    throw invalid(`--node-hostname ${quote(name)}: it must be 1 to 64 letters, digits, dots and hyphens`);
  }
  return name;
}

/** An address the way `-H` takes it, and the way DOCKER_HOST does. */
export function formatHost(address: ListenAddress): string {
  if (address.kind === "unix") return `unix://${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `tcp://${host}:${address.port}`;
}

/** The flags that give this config again: `parseDaemonConfig` of them is equal to it. What `up` starts the daemon with. */
export function daemonArgs(config: DaemonConfig): string[] {
  const { podman, tls } = config;
  const args = config.hosts.map((host) => `--host=${formatHost(host)}`);
  args.push(`--data-root=${config.dataRoot}`, `--exec-root=${config.execRoot}`, `--log-level=${config.logLevel}`);
  if (podman.kind === "running") args.push(`--podman=unix://${podman.socket}`);
  else if (podman.storage) {
    args.push(`--podman-root=${podman.storage.root}`, `--podman-runroot=${podman.storage.runRoot}`);
  }
  if (tls) {
    args.push(`--tlscert=${tls.cert}`, `--tlskey=${tls.key}`);
    if (tls.ca) args.push(`--tlscacert=${tls.ca}`);
    if (tls.verify) args.push("--tlsverify");
  }
  args.push(`--node-hostname=${config.nodeHostname}`);
  return args;
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function invalid(message: string): SkepError {
  return new SkepError("invalid", message);
}
