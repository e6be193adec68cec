// This node's membership in a swarm: making one, leaving it, and running its manager and agent while it lasts.
import { Agent } from "../agent/index.ts";
import type { SwarmControl, SwarmInit } from "../api/index.ts";
import { createCertificateAuthority, newJoinToken, newUnlockKey, tlsInfoOf } from "../cluster/index.ts";
import type { ContainerEngine } from "../engine/index.ts";
import { Manager } from "../manager/index.ts";
import type { Clock } from "../model/clock.ts";
import { INGRESS_NETWORK } from "../model/cluster-defaults.ts";
import { SkepError } from "../model/errors.ts";
import { type ClusterId, type NetworkId, type NodeId, newId, type TaskId } from "../model/ids.ts";
import type { Prefix } from "../model/ip.ts";
import type { Log } from "../model/log.ts";
import type { NodeDescription } from "../model/objects.ts";
import type { NodeNetwork, Sandbox } from "../network/index.ts";
import type { Store } from "../store/index.ts";
import { hostAddresses, resolveAdvertised } from "./addresses.ts";
import type { IdentityFile } from "./identity-file.ts";

export interface SwarmNeeds {
  readonly store: Store;
  readonly engine: ContainerEngine;
  readonly network: NodeNetwork;
  readonly identity: IdentityFile;
  readonly describeNode: () => Promise<NodeDescription>;
  readonly hostRoutes: () => readonly Prefix[];
  /** A control loop died of a fault of ours: the daemon should end, and be started again, rather than go on without it. */
  readonly onDeath: (error: unknown) => void;
  readonly clock: Clock;
  readonly log: Log;
}

export class Swarm implements SwarmControl {
  readonly #needs: SwarmNeeds;
  #running: { manager: Manager; agent: Agent } | undefined;
  /** init and leave, one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(needs: SwarmNeeds) {
    this.#needs = needs;
  }

  /** Takes up the swarm that this node was in, if any. */
  async start(): Promise<void> {
    const me = this.active();
    if (!me) return;
    const description = await this.#needs.describeNode();
    const { store, clock, log, hostRoutes } = this.#needs;
    const manager = new Manager({
      store,
      clock,
      log: log.child({ room: "manager" }),
      hostRoutes,
      onDeath: this.#needs.onDeath,
    });
    await manager.start();
    const agent = new Agent({
      nodeId: me.nodeId,
      description: { ...description, tlsInfo: store.view.get("cluster", me.clusterId)!.tlsInfo },
      dispatcher: manager.dispatcher,
      engine: this.#needs.engine,
      network: this.#needs.network,
      clock,
      log: log.child({ room: "agent" }),
    });
    agent.start();
    this.#running = { manager, agent };
  }

  /** Stops managing and watching; tasks run on. */
  async stop(): Promise<void> {
    await this.#running?.agent.stop();
    await this.#running?.manager.stop();
    this.#running = undefined;
  }

  state(): "inactive" | "active" {
    return this.active() ? "active" : "inactive";
  }

  active() {
    const identity = this.#needs.identity.read();
    const { view } = this.#needs.store;
    const cluster = view.all("cluster")[0];
    if (!identity || !cluster || !view.get("node", identity.nodeId)) return undefined;
    return { nodeId: identity.nodeId, clusterId: cluster.id, nodeAddr: identity.advertiseAddr, manager: true };
  }

  /** The sandbox of a task on this node, while it is plumbed. */
  sandbox(taskId: TaskId): Sandbox | undefined {
    return this.#running?.agent.sandbox(taskId);
  }

  /** See Agent.attached. */
  async attached(
    taskId: TaskId,
    isReady: (sandbox: Sandbox) => boolean,
    signal: AbortSignal,
  ): Promise<Sandbox | undefined> {
    return this.#running?.agent.attached(taskId, isReady, signal);
  }

  init(request: SwarmInit): Promise<NodeId> {
    return this.#change(async () => {
      if (this.active()) throw new SkepError("unavailable", ALREADY_MEMBER);
      const { store, identity, clock, describeNode } = this.#needs;
      const advertised = resolveAdvertised(request.advertiseAddr, request.listenAddr, hostAddresses());
      const ca = await createCertificateAuthority(clock.now());
      const description = await describeNode();
      const tlsInfo = tlsInfoOf(ca.certificate);
      const nodeId = newId<NodeId>();
      // Before the store: an identity without its node is no membership, a node that nobody is would be one for ever.
      identity.write({ nodeId, advertiseAddr: advertised.address });
      await store.wipe(); // of a swarm that this node left, should the daemon have died over it
      await store.update((tx) => {
        tx.create<"cluster">({
          kind: "cluster",
          id: newId<ClusterId>(),
          spec: request.spec,
          defaultAddrPool: request.defaultAddrPool,
          subnetSize: request.subnetSize,
          dataPathPort: request.dataPathPort,
          joinTokens: { worker: newJoinToken(ca.certificate), manager: newJoinToken(ca.certificate) },
          tlsInfo,
          caKey: ca.key,
          unlockKey: request.spec.EncryptionConfig.AutoLockManagers ? newUnlockKey() : "",
          rootRotationInProgress: false,
        });
        tx.create<"node">({
          kind: "node",
          id: nodeId,
          spec: { Labels: {}, Role: "manager", Availability: request.availability },
          description: { ...description, tlsInfo },
          status: { state: "ready", message: "", addr: advertised.address },
          managerStatus: {
            leader: true,
            reachability: "reachable",
            addr: `${advertised.address.includes(":") ? `[${advertised.address}]` : advertised.address}:${advertised.port}`,
          },
          attachments: [],
        });
        tx.create<"network">({
          kind: "network",
          id: newId<NetworkId>(),
          spec: INGRESS_NETWORK,
        });
      });
      try {
        await this.start();
      } catch (e) {
        await this.stop();
        await store.wipe();
        throw e;
      }
      return nodeId;
    });
  }

  async join(): Promise<void> {
    throw new SkepError("unimplemented", "joining a swarm of several nodes is not supported by this version of skep");
  }

  leave(): Promise<void> {
    return this.#change(async () => {
      const me = this.active();
      if (!me) throw new SkepError("unavailable", "This node is not part of a swarm");
      const { identity } = this.#needs;
      await this.stop();
      try {
        await this.#forget(me.nodeId);
      } catch (e) {
        await this.start(); // still a member: then with manager and agent, so that leaving can be tried again
        throw e;
      }
      identity.remove();
    });
  }

  /** Takes the tasks and networks of this node away, and then the swarm's objects: without them the identity is no membership. */
  async #forget(nodeId: NodeId): Promise<void> {
    const { engine, network, store } = this.#needs;
    const containers = await engine.listContainers({ label: `com.docker.swarm.node.id=${nodeId}` });
    await Promise.all(containers.map((c) => engine.removeContainer(c.id, { force: true, volumes: true })));
    await network.apply({ full: true, networks: [], services: [], removed: NOTHING });
    await network.sweep({ sandboxIds: [] });
    await network.purge();
    await network.start();
    await store.wipe();
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#changing.then(work);
    this.#changing = run.catch(() => undefined); // the caller has the error
    return run;
  }
}

const NOTHING = { networks: [], services: [], tasks: [] } as const;

const ALREADY_MEMBER =
  'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.';
