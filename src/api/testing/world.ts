// A world for tests of the API: the real server on a socket of its own, a real store in memory, and fakes for what the daemon provides.
// The test plays the managers and the agent: it writes into the store what they would.

import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { FakeClock } from "../../model/clock.ts";
import { INGRESS_NETWORK } from "../../model/cluster-defaults.ts";
import { SkepError } from "../../model/errors.ts";
import { type ClusterId, type NetworkId, type NodeId, newHexId, newId } from "../../model/ids.ts";
import { type Log, silent } from "../../model/log.ts";
import type { Network, TlsInfo } from "../../model/objects.ts";
import { MemoryBackend, Store } from "../../store/index.ts";
import type {
  ActiveSwarm,
  ApiContext,
  ConnectTarget,
  LocalNetworks,
  NetworkConnections,
  NetworkCreateRequest,
  NetworkResource,
  NetworkStatus,
  NetworkStatusSource,
  SwarmControl,
  SwarmInit,
} from "../context.ts";
import { ALL_FEATURES, type Features } from "../context.ts";
import { EventBus } from "../event-bus.ts";
import type { RegisterRoutes } from "../router.ts";
import { ApiServer } from "../server.ts";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON; the text where it is none. */
  readonly json: unknown;
}

export interface Ask {
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON, unless it is a string: then just so. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface World {
  readonly store: Store;
  readonly clock: FakeClock;
  readonly swarm: FakeSwarm;
  readonly status: FakeStatus;
  readonly local: FakeLocalNetworks;
  readonly connections: FakeConnections;
  readonly context: ApiContext;
  readonly socket: string;
  /** What the server logged as faults of its own. */
  readonly faults: object[];
  hostRoutes: string[];
  ask(method: string, path: string, ask?: Ask): Promise<Answer>;
}

export interface WorldOptions {
  readonly features?: Partial<Features>;
  readonly routes?: readonly RegisterRoutes[];
}

/** Starts a server; it stops when the test ends. */
export async function world(t: TestContext, options: WorldOptions = {}): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), "skep-api-"));
  const socket = join(dir, "api.sock");
  const clock = new FakeClock();
  const store = await Store.open(new MemoryBackend(), clock);
  const swarm = new FakeSwarm(store);
  const status = new FakeStatus();
  const local = new FakeLocalNetworks();
  const connections = new FakeConnections();
  const faults: object[] = [];
  const log: Log = { ...silent, error: (facts) => void faults.push(facts), child: () => log };
  const context: ApiContext = {
    store,
    swarm,
    networkStatus: status,
    localNetworks: local,
    connections,
    events: new EventBus(clock),
    clock,
    log,
    features: { ...ALL_FEATURES, ...options.features },
    hostRoutes: () => w.hostRoutes,
  };
  const server = new ApiServer({ context, version: "0.1.0", ...(options.routes && { routes: options.routes }) });
  const w: World = {
    store,
    clock,
    swarm,
    status,
    local,
    connections,
    context,
    socket,
    faults,
    hostRoutes: ["0.0.0.0/0"],
    ask: (method, path, ask) => askAt(socket, method, path, ask),
  };
  await server.listen([{ kind: "unix", path: socket }]);
  t.after(async () => {
    await server.close();
    await store.close();
    await rm(dir, { recursive: true });
  });
  return w;
}

/** A world that is a swarm of one manager already. */
export async function swarmWorld(t: TestContext, options: WorldOptions = {}): Promise<World> {
  const w = await world(t, options);
  await w.ask("POST", "/swarm/init", { body: { ListenAddr: "0.0.0.0:2377" } });
  return w;
}

/** A small service spec; `changes` replace its fields. */
export function aService(changes: object = {}): object {
  return { Name: "web", TaskTemplate: { ContainerSpec: { Image: "alpine" } }, ...changes };
}

/** One request over a connection of its own. */
export function askAt(socket: string, method: string, path: string, ask: Ask = {}): Promise<Answer> {
  const query = ask.query ? `?${new URLSearchParams(ask.query)}` : "";
  const body = ask.body === undefined || typeof ask.body === "string" ? ask.body : JSON.stringify(ask.body);
  return new Promise((resolve, reject) => {
    const headers = { ...(body !== undefined && { "content-type": "application/json" }), ...ask.headers };
    const req = request({ socketPath: socket, method, path: path + query, headers, agent: false }, (res) => {
      let text = "";
      res.setEncoding("utf8");
      res.on("data", (chunk: string) => {
        text += chunk;
      });
      res.on("error", reject);
      res.on("end", () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text, json: jsonOrText(text) }));
    });
    req.on("error", reject);
    req.end(body);
  });
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const TLS: TlsInfo = {
  trustRoot: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
  certIssuerSubject: "MBMxETAPBgNVBAMTCHN3YXJtLWNh",
  certIssuerPublicKey: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
};

const LOG_DRIVERS = "awslogs fluentd gcplogs gelf journald json-file local logentries splunk syslog".split(" ");
const NETWORK_DRIVERS = "bridge host ipvlan macvlan null overlay".split(" ");

/** Writes what a swarm's first manager has at once. */
export class FakeSwarm implements SwarmControl {
  readonly inits: SwarmInit[] = [];
  readonly #store: Store;
  #active: ActiveSwarm | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  state() {
    return this.#active ? ("active" as const) : ("inactive" as const);
  }

  active() {
    return this.#active;
  }

  /** A worker answers for nothing of the swarm. */
  becomeWorker(): void {
    if (this.#active) this.#active = { ...this.#active, manager: false };
  }

  async init(request: SwarmInit): Promise<NodeId> {
    this.inits.push(request);
    const nodeId = newId<NodeId>();
    const clusterId = newId<ClusterId>();
    const addr = request.advertiseAddr || "192.0.2.1";
    await this.#store.update((tx) => {
      tx.create<"cluster">({
        kind: "cluster",
        id: clusterId,
        spec: request.spec,
        defaultAddrPool: request.defaultAddrPool,
        subnetSize: request.subnetSize,
        dataPathPort: request.dataPathPort,
        joinTokens: {
          worker: `SWMTKN-1-${"a".repeat(50)}-${newId()}`,
          manager: `SWMTKN-1-${"a".repeat(50)}-${newId()}`,
        },
        tlsInfo: TLS,
        caKey: "the key that nobody may see",
        unlockKey: "",
        rootRotationInProgress: false,
      });
      tx.create<"node">({
        kind: "node",
        id: nodeId,
        spec: { Labels: {}, Role: "manager", Availability: request.availability },
        description: {
          hostname: "vm",
          platform: { architecture: "x86_64", os: "linux" },
          resources: { nanoCPUs: 2_000_000_000, memoryBytes: 25_276_502_016 },
          engine: {
            engineVersion: "20.10.24+dfsg1",
            labels: {},
            plugins: [
              ...LOG_DRIVERS.map((name) => ({ type: "Log", name })),
              ...NETWORK_DRIVERS.map((name) => ({ type: "Network", name })),
              { type: "Volume", name: "local" },
            ],
          },
          tlsInfo: TLS,
        },
        status: { state: "ready", message: "", addr },
        managerStatus: { leader: true, reachability: "reachable", addr: request.listenAddr },
        attachments: [],
      });
      tx.create<"network">({
        kind: "network",
        id: newId<NetworkId>(),
        spec: INGRESS_NETWORK,
        driverState: { vni: 4096 },
        ipam: { configs: [{ subnet: "10.0.0.0/24", gateway: "10.0.0.1" }] },
      });
    });
    this.#active = { nodeId, clusterId, nodeAddr: addr, manager: true };
    return nodeId;
  }

  async join(): Promise<void> {
    throw new SkepError("unimplemented", "joining is not for this fake");
  }

  async leave(): Promise<void> {
    this.#active = undefined;
    await this.#store.wipe();
  }
}

export class FakeStatus implements NetworkStatusSource {
  readonly byName = new Map<string, NetworkStatus>();

  async status(network: Network): Promise<NetworkStatus | undefined> {
    return this.byName.get(network.spec.Name);
  }
}

/** Stateful: what is created can be found and removed. */
export class FakeLocalNetworks implements LocalNetworks {
  readonly networks = ["bridge", "host", "none"].map((name) => localNetwork({ Name: name }));
  readonly inUse = new Set<string>();

  async list() {
    return this.networks;
  }

  async inspect(id: string) {
    return this.networks.find((n) => n.Id === id);
  }

  async create(request: NetworkCreateRequest) {
    const network = localNetwork(request);
    this.networks.push(network);
    return { Id: network.Id, Warning: "" };
  }

  async remove(id: string) {
    const at = this.networks.findIndex((n) => n.Id === id);
    if (at < 0) throw new SkepError("not_found", `network ${id} not found`);
    if (this.inUse.has(id)) throw new SkepError("forbidden", `network ${id} has active endpoints`);
    this.networks.splice(at, 1);
  }
}

function localNetwork(request: NetworkCreateRequest): NetworkResource {
  return {
    Name: request.Name ?? "",
    Id: newHexId(),
    Created: "2026-01-01T00:00:00Z",
    Scope: "local",
    Driver: request.Driver ?? "bridge",
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: [] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: {},
    Options: {},
    Labels: request.Labels ?? {},
  };
}

export class FakeConnections implements NetworkConnections {
  readonly calls: {
    readonly what: "connect" | "disconnect";
    readonly target: ConnectTarget;
    readonly request: object;
  }[] = [];

  async connect(target: ConnectTarget, request: object) {
    this.calls.push({ what: "connect", target, request });
  }

  async disconnect(target: ConnectTarget, request: object) {
    this.calls.push({ what: "disconnect", target, request });
  }
}
