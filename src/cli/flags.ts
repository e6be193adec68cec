// The daemon's command-line flags, for every subcommand that takes them. What they mean, and which values are good, is in
// daemon/config.ts; the names follow dockerd's where the meaning is the same.

import { Command } from "commander";
import { type DaemonOptions, DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, LOG_LEVELS } from "../daemon/config.ts";

/** The two flags that say which daemon is meant. */
export interface RootOptions {
  readonly dataRoot?: string;
  readonly execRoot?: string;
}

/** Adds `--data-root` and `--exec-root`. */
export function addRootFlags(command: Command): Command {
  return command
    .option("--data-root <dir>", `state that outlives a reboot (default: ${DEFAULT_DATA_ROOT})`)
    .option("--exec-root <dir>", `sockets, pid file, network namespaces (default: ${DEFAULT_EXEC_ROOT})`);
}

/** Adds every flag of the daemon. Their values make a {@link DaemonOptions}. */
export function addDaemonFlags(command: Command): Command {
  return addRootFlags(
    command.option(
      "-H, --host <url>",
      "address to listen on, unix://PATH or tcp://ADDRESS:PORT; may be repeated (default: unix://EXEC_ROOT/skep.sock)",
      (url: string, before: readonly string[] = []) => [...before, url],
    ),
  )
    .option("-l, --log-level <level>", `${LOG_LEVELS.join(", ")} (default: info)`)
    .option("--podman <url>", "a Podman service that runs already, unix://PATH (default: skep starts one)")
    .option("--podman-root <dir>", "storage of the Podman that skep starts (default: Podman's own)")
    .option("--podman-runroot <dir>", "run-time state of the Podman that skep starts (default: Podman's own)")
    .option("--tls", "use TLS on tcp addresses")
    .option("--tlsverify", "use TLS, and ask clients for a certificate")
    .option("--tlscacert <file>", "trust only clients whose certificate this CA signed")
    .option("--tlscert <file>", "the server's certificate")
    .option("--tlskey <file>", "the server's key")
    .option("--node-hostname <name>", "this node's name in the swarm (default: the host's)");
}

/** Reads written-out daemon flags, as `daemonArgs` makes them. */
export function parseDaemonFlags(args: readonly string[]): DaemonOptions {
  return addDaemonFlags(new Command().exitOverride())
    .parse([...args], { from: "user" })
    .opts();
}
