// For tests: the real API server in front of an engine's socket, real or fake. Everything of the swarm is an empty store and fakes.
import { type ExecFileException, execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { ceilingsOf, findService } from "../../../engine/index.ts";
import { systemClock } from "../../../model/clock.ts";
import type { NetworkId, TaskId } from "../../../model/ids.ts";
import { silent } from "../../../model/log.ts";
import { MemoryBackend, Store } from "../../../store/index.ts";
import { ALL_FEATURES } from "../../context.ts";
import { EventBus } from "../../event-bus.ts";
import { ApiServer } from "../../server.ts";
import { FakeStatus, FakeSwarm } from "../../testing/world.ts";
import { EngineConnections } from "../connections.ts";
import type { Attachment, AttachmentRequest, Attachments, EngineContext } from "../context.ts";
import { EngineFeed } from "../feed.ts";
import { PodmanNetworks } from "../podman-networks.ts";
import { engineRoutes } from "../routes.ts";
import { storeNetworks } from "../task-networks.ts";
import { Upstream } from "../upstream.ts";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface FrontDoor {
  readonly socket: string;
  readonly store: Store;
  readonly swarm: FakeSwarm;
  readonly context: EngineContext;
  readonly attachments: FakeAttachments;
  /** Runs the real CLI against this server; `input` is its stdin. */
  docker(args: readonly string[], input?: string): Promise<Ran>;
}

/** Starts the server; it stops when the test ends. */
export async function frontDoor(t: TestContext, enginePath: string): Promise<FrontDoor> {
  const dir = await mkdtemp(join(tmpdir(), "skep-a-"));
  const socket = join(dir, "d.sock");
  const clock = systemClock;
  const store = await Store.open(new MemoryBackend(), clock);
  const upstream = new Upstream(enginePath);
  const events = new EventBus(clock);
  const attachments = new FakeAttachments();
  const context: EngineContext = {
    upstream,
    feed: new EngineFeed(upstream, silent),
    store,
    attachments,
    containerNetworks: storeNetworks(store, () => undefined),
    swarmInfo: () => ({ LocalNodeState: "inactive" }),
    ceilings: async () => ceilingsOf((await findService(enginePath)) ?? "self"),
    events,
    clock,
    log: silent,
    about: {
      version: "0.1.0",
      apiVersion: "1.51",
      minApiVersion: "1.24",
      gitCommit: "abcdef0",
      buildTime: "2026-01-01T00:00:00Z",
      dataRoot: dir,
      labels: ["zone=a"],
      warnings: () => ["a warning"],
    },
  };
  const swarm = new FakeSwarm(store);
  const server = new ApiServer({
    version: "0.1.0",
    routes: [engineRoutes(context)],
    context: {
      store,
      swarm,
      networkStatus: new FakeStatus(),
      localNetworks: new PodmanNetworks(upstream),
      connections: new EngineConnections(context),
      events,
      clock,
      log: silent,
      features: ALL_FEATURES,
      hostRoutes: () => [],
    },
  });
  await server.listen([{ kind: "unix", path: socket }]);
  t.after(async () => {
    await server.close();
    await store.close();
    await rm(dir, { recursive: true });
  });
  return { socket, store, swarm, context, attachments, docker: (args, input) => docker(dir, socket, args, input) };
}

function docker(dir: string, socket: string, args: readonly string[], input = ""): Promise<Ran> {
  const env = { ...process.env, DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: dir, DOCKER_BUILDKIT: "0" };
  return new Promise((resolve) => {
    const child = execFile("docker", args, { env, timeout: 30_000 }, (e: ExecFileException | null, stdout, stderr) =>
      resolve({ code: e === null ? 0 : Number(e.code ?? -1), stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

/** Remembers what it was asked for, and gives out the namespace that the test put into `netnsPath`. */
export class FakeAttachments implements Attachments {
  netnsPath = "";
  readonly calls: string[] = [];
  readonly #all = new Map<TaskId, { containerId: string; createdAt: string }>();
  #made = 0;

  async create(request: { readonly networks: readonly AttachmentRequest[] }): Promise<Attachment> {
    const taskId = `attachment${++this.#made}` as TaskId;
    this.#all.set(taskId, { containerId: "", createdAt: new Date().toISOString() });
    this.calls.push(`create ${request.networks.map((n) => n.network.spec.Name).join(",")}`);
    return { taskId, netnsPath: this.netnsPath, binds: [{ source: "/etc/hostname", target: "/etc/resolv.conf" }] };
  }

  async bind(taskId: TaskId, containerId: string): Promise<void> {
    const found = this.#all.get(taskId);
    if (found) found.containerId = containerId;
    this.calls.push(`bind ${taskId}`);
  }

  async ensure(taskId: TaskId): Promise<void> {
    this.calls.push(`ensure ${taskId}`);
  }

  async connect(taskId: TaskId, request: AttachmentRequest): Promise<void> {
    this.calls.push(`connect ${taskId} ${request.network.spec.Name}`);
  }

  async disconnect(taskId: TaskId, networkId: NetworkId): Promise<void> {
    this.calls.push(`disconnect ${taskId} ${networkId}`);
  }

  async release(taskId: TaskId): Promise<void> {
    if (this.#all.delete(taskId)) this.calls.push(`release ${taskId}`);
  }

  list() {
    return [...this.#all].map(([taskId, { containerId, createdAt }]) => ({ taskId, containerId, createdAt }));
  }
}
