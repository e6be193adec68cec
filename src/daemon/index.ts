// The daemon room: one skep daemon, from its config to its end.
import { rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { isAnswered } from "../api/index.ts";
import { PodmanEngine, podmanOptions } from "../engine/index.ts";
import { systemClock } from "../model/clock.ts";
import { SkepError } from "../model/errors.ts";
import { createNodeNetwork } from "../network/index.ts";
import { SqliteBackend, Store } from "../store/index.ts";
import type { DaemonConfig } from "./config.ts";
import { assemble, storeFile } from "./daemon.ts";
import { IdentityFile, identityFile } from "./identity-file.ts";
import { createLog } from "./log.ts";
import { startParts } from "./parts.ts";

/** Podman answers a tenth of a second after its start, some seconds after on a machine that is busy. */
const PODMAN_PATIENCE_MS = 60_000;

/**
 * Runs a daemon until SIGTERM or SIGINT, and resolves when all of it has stopped; tasks run on.
 * @throws SkepError when it cannot start, or what one of its control loops died of, with everything that had started stopped again
 */
export async function runDaemon(config: DaemonConfig): Promise<void> {
  const log = createLog(config.logLevel);
  const { promise: end, resolve, reject } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve(signal));
  end.catch(() => undefined); // a death while the parts still start is thrown below, when they have
  const { parts } = await assemble(config, log, reject);
  const stop = await startParts(parts, log);
  log.info({ hosts: config.hosts }, "skep answers");
  try {
    const signal = await end;
    log.info({ signal }, "stopping; tasks run on");
  } finally {
    await stop();
  }
}

/**
 * Removes every container of a task or on a swarm network, every network, and every file that a daemon with this config made. The daemon
 * must not run. Images and volumes stay: they are Podman's. Repeating it is harmless.
 */
export async function purge(config: DaemonConfig): Promise<void> {
  const log = createLog("warn");
  const engine = new PodmanEngine({ ...podmanOptions(config.execRoot, config.podman), log });
  const network = createNodeNetwork({ execRoot: config.execRoot, log, clock: systemClock });
  const nodeId = new IdentityFile(config.dataRoot).read()?.nodeId;
  try {
    if (nodeId) {
      await startWithin(PODMAN_PATIENCE_MS, engine);
      const containers = [
        ...(await engine.listContainers({ label: `com.docker.swarm.node.id=${nodeId}` })).map((c) => c.id),
        ...(await attachedContainers(config)),
      ];
      await Promise.all(containers.map((id) => engine.removeContainer(id, { force: true, volumes: true })));
    }
  } finally {
    await engine.stopService();
  }
  await network.purge();
  for (const path of ownFiles(config)) rmSync(path, { recursive: true, force: true });
  // A socket that is answered is another daemon's: this one was refused it.
  for (const host of config.hosts) {
    if (host.kind === "unix" && !(await isAnswered(host.path))) rmSync(host.path, { force: true });
  }
}

/** The engine tries for ever; whoever waits for a command must be told. @throws SkepError "timeout" */
async function startWithin(ms: number, engine: PodmanEngine): Promise<void> {
  const abort = new AbortController();
  const late = delay(ms, "late", { signal: abort.signal }).catch(() => undefined);
  const first = await Promise.race([engine.start(), late]);
  abort.abort();
  if (first === "late") {
    throw new SkepError(
      "timeout",
      `podman did not answer within ${ms / 1000} s, so tasks' containers cannot be removed: see podman.log in the exec root, then repeat`,
    );
  }
}

/** What the rooms keep in the roots. Anything else there is somebody else's, or the command line's, which removes its own. */
function ownFiles(config: DaemonConfig): string[] {
  const store = storeFile(config);
  const { socketPath, own } = podmanOptions(config.execRoot, config.podman);
  return [
    ...[store, `${store}-wal`, `${store}-shm`, identityFile(config.dataRoot)],
    ...(own ? [socketPath, own.stateDir] : []),
  ];
}

/** Containers of `docker run` on a swarm network: they would be left without one. */
async function attachedContainers(config: DaemonConfig): Promise<string[]> {
  const store = await Store.open(SqliteBackend.open(storeFile(config)));
  try {
    return store.view.all("task").flatMap((t) => t.spec.NetworkAttachmentSpec?.ContainerID || []);
  } finally {
    await store.close();
  }
}
