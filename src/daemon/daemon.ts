// The composition root: makes the rooms of one daemon, connects them, and starts and stops them in order.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  ALL_FEATURES,
  API_VERSION,
  ApiServer,
  EngineConnections,
  type EngineContext,
  EngineFeed,
  EventBus,
  engineRoutes,
  type Features,
  followSwarm,
  keepAttachments,
  MIN_API_VERSION,
  PodmanNetworks,
  swarmInfoJson,
  Upstream,
} from "../api/index.ts";
import { PodmanEngine, podmanOptions } from "../engine/index.ts";
import { systemClock, timestamp } from "../model/clock.ts";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import { createNodeNetwork } from "../network/index.ts";
import { SqliteBackend, Store } from "../store/index.ts";
import { TaskAttachments } from "./attachments.ts";
import type { DaemonConfig, TlsFiles } from "./config.ts";
import { hostRoutes, toCidrs } from "./host-routes.ts";
import { IdentityFile } from "./identity-file.ts";
import { HostNetworks } from "./local-networks.ts";
import { NodeNetworkStatus } from "./network-status.ts";
import { describeNode } from "./node-description.ts";
import type { Part } from "./parts.ts";
import { Swarm } from "./swarm.ts";

const PACKAGE = join(import.meta.dirname, "../../package.json");

/** What works already. The front door refuses the rest, or warns of it. */
const FEATURES: Features = {
  ...ALL_FEATURES,
  secretFiles: false,
  publishedPorts: false,
  healthChecks: false,
  templates: false,
  encryption: false,
  autolock: false,
};

export interface Daemon {
  /** In the order in which they start; each may use those before it. */
  readonly parts: readonly Part[];
  readonly engine: PodmanEngine;
  readonly swarm: Swarm;
}

/** Makes the rooms. Only the store's file is opened (and locked); nothing runs yet. @throws SkepError "unavailable" */
export async function assemble(config: DaemonConfig, log: Log, onDeath: (error: unknown) => void): Promise<Daemon> {
  const clock = systemClock;
  const { version } = JSON.parse(readFileSync(PACKAGE, "utf8")) as { version: string };
  const store = await Store.open(SqliteBackend.open(storeFile(config)), clock);
  const identity = new IdentityFile(config.dataRoot);
  const engine = new PodmanEngine({
    ...podmanOptions(config.execRoot, config.podman),
    log: log.child({ room: "engine" }),
  });
  const network = createNodeNetwork({
    execRoot: config.execRoot,
    log: log.child({ room: "network" }),
    clock,
    advertiseAddr: () => identity.read()?.advertiseAddr,
    dataPathPort: () => store.view.all("cluster")[0]?.dataPathPort,
  });
  const routes = () => hostRoutes(network.gatewayBridge().name);
  const swarm = new Swarm({
    store,
    engine,
    network,
    identity,
    describeNode: async () => describeNode(await engine.info(), config.nodeHostname, version),
    hostRoutes: routes,
    onDeath,
    clock,
    log,
  });
  const events = new EventBus(clock);
  const upstream = new Upstream(engine.socketPath);
  const feed = new EngineFeed(upstream, log.child({ room: "api" }));
  const attachments = new TaskAttachments({ store, swarm, network, clock });
  const engineContext: EngineContext = {
    upstream,
    feed,
    store,
    attachments,
    containerNetworks: attachments,
    swarmInfo: () => swarmInfoJson({ store, swarm }),
    ceilings: async () => engine.ceilings,
    events,
    clock,
    log,
    about: {
      version,
      apiVersion: API_VERSION,
      minApiVersion: MIN_API_VERSION,
      gitCommit: "",
      buildTime: "",
      dataRoot: config.dataRoot,
      labels: [],
      warnings: () => [],
    },
  };
  const localNetworks = new HostNetworks({
    podman: new PodmanNetworks(upstream),
    network,
    since: timestamp(clock.now()),
  });
  const api = new ApiServer({
    version,
    routes: [engineRoutes(engineContext)],
    context: {
      store,
      swarm,
      networkStatus: new NodeNetworkStatus({ network, swarm }),
      localNetworks,
      connections: new EngineConnections(engineContext),
      events,
      clock,
      log,
      features: FEATURES,
      hostRoutes: () => toCidrs(routes()),
    },
    ...(config.tls ? { tls: readTls(config.tls) } : {}),
  });
  const parts: Part[] = [
    { name: "store", start: async () => {}, stop: () => store.close() },
    { name: "network", start: () => network.start(), stop: () => network.stop() },
    { name: "engine", start: () => engine.start(), stop: () => engine.stopService() },
    { name: "swarm", start: () => swarm.start(), stop: () => swarm.stop() },
    background("events", (signal) => followSwarm(store, events, signal), log),
    background("attachments", (signal) => keepAttachments(engineContext, signal), log),
    { name: "api", start: () => api.listen(config.hosts), stop: () => api.close() },
  ];
  return { parts, engine, swarm };
}

/** The embedded store's file. */
export function storeFile(config: DaemonConfig): string {
  return join(config.dataRoot, "swarm.db");
}

/** A part that is one long piece of work, ended by its signal. */
function background(name: string, work: (signal: AbortSignal) => Promise<void>, log: Log): Part {
  const abort = new AbortController();
  let done: Promise<void> | undefined;
  return {
    name,
    start: async () => {
      done = work(abort.signal).catch((e) => {
        if (!abort.signal.aborted) log.error({ part: name, error: messageOf(e) }, "a part ended that should not");
      });
    },
    stop: async () => {
      abort.abort();
      await done;
    },
  };
}

function readTls(files: TlsFiles) {
  return {
    cert: readFileSync(files.cert, "utf8"),
    key: readFileSync(files.key, "utf8"),
    ...(files.ca ? { ca: readFileSync(files.ca, "utf8") } : {}),
    verify: files.verify,
  };
}
