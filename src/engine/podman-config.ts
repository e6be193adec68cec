// How our own `podman system service` is told to run: global flags and a containers.conf, so that tasks get Docker's defaults, and several
// skeps and the host's Podman live side by side. Starting and watching it is podman-service.ts.
import { access, constants, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostConf, parseConf, printConf } from "./containers-conf.ts";
import { chooseRuntime, chooseStorageDriver, hasSystemd } from "./podman-host.ts";

/** Which Podman: one that already serves on a socket, or one that skep starts (on separate storage, or on Podman's own). */
export type PodmanChoice =
  | { readonly kind: "running"; readonly socket: string }
  | { readonly kind: "own"; readonly storage?: { readonly root: string; readonly runRoot: string } };

/** Where the engine finds or starts its Podman, for a daemon with this exec root. */
export function podmanOptions(
  execRoot: string,
  choice: PodmanChoice,
): { socketPath: string; own?: { stateDir: string; storage: PodmanStorage } } {
  if (choice.kind === "running") return { socketPath: choice.socket };
  const { root, runRoot } = choice.storage ?? {};
  return {
    socketPath: join(execRoot, "podman.sock"),
    own: { stateDir: join(execRoot, "podman"), storage: { root, runroot: runRoot } },
  };
}

/** Where images and containers are kept. Nothing given: Podman's own default storage, shared with the `podman` command. */
export interface PodmanStorage {
  readonly root?: string | undefined;
  readonly runroot?: string | undefined;
}

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** The directory where conmon leaves exit codes, for storage of our own. Podman's default storage decides for itself. */
export function tmpDirOf(storage: PodmanStorage): string | undefined {
  return storage.runroot === undefined ? undefined : join(storage.runroot, "libpod");
}

/** The command line and environment; writes the configuration file that it names. */
export async function podmanCommand(stateDir: string, storage: PodmanStorage, socketPath: string): Promise<Command> {
  const systemd = await hasSystemd();
  const runtime = await chooseRuntime();
  const tmpdir = tmpDirOf(storage);
  const args = [
    ...(storage.root === undefined ? [] : await ownRoot(storage.root)),
    ...(storage.runroot === undefined ? [] : ["--runroot", storage.runroot]),
    ...(tmpdir === undefined ? [] : ["--tmpdir", tmpdir]),
    ...(runtime === undefined ? [] : ["--runtime", runtime]),
    ...(systemd ? [] : ["--cgroup-manager", "cgroupfs", "--events-backend", "file"]),
    ...["system", "service", "--time=0", `unix://${socketPath}`],
  ];
  const conf = join(stateDir, "containers.conf");
  const separate = storage.root !== undefined || storage.runroot !== undefined;
  const ours = parseConf(DOCKER_DEFAULTS + (separate ? SEPARATE : "") + (await initPath()));
  await writeFile(conf, printConf(separate ? ours : await hostConf(ours)));
  // Podman's own health checks are systemd timers; skep runs health checks itself.
  // As with Docker, the logins are those that clients send: not the ones in the files of whoever started the daemon.
  const logins = join(stateDir, "no-logins.json");
  await writeFile(logins, "{}\n");
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    CONTAINERS_CONF: conf,
    DISABLE_HC_SYSTEMD: "true",
    REGISTRY_AUTH_FILE: logins,
  };
  delete env.DOCKER_CONFIG;
  return { program: "podman", args, env };
}

async function ownRoot(root: string): Promise<string[]> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  return ["--root", root, "--storage-driver", await chooseStorageDriver(root)];
}

/** Docker's default capabilities, and no limit on processes, as with Docker. */
const DOCKER_DEFAULTS = `
[containers]
default_capabilities = ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"]
default_sysctls = []
pids_limit = 0
`;

/**
 * Locks of separate storage are files: the default shared-memory locks are one pool for all storages of a host, and a second storage
 * that starts afresh frees the locks of the first.
 */
const SEPARATE = `
[engine]
lock_type = "file"
`;

/** Where distributions put the init that `--init` containers get; Podman's own guess is only the first. */
const INITS = ["/usr/libexec/podman/catatonit", "/usr/bin/catatonit", "/usr/libexec/catatonit/catatonit"];

async function initPath(): Promise<string> {
  for (const path of INITS) {
    const runs = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return `[containers]\ninit_path = "${path}"\n`;
  }
  return ""; // Podman then refuses an --init container, in its own words
}
