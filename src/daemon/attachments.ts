// Attachments of containers that no service owns to swarm networks, and what the API shows of the networking of all containers that skep
// plumbs. An attachment is a task without a service: managers give it addresses, the agent its sandbox.
import type { AttachmentRequest, Attachments, ContainerNetworking, ContainerNetworks } from "../api/index.ts";
import type { Clock } from "../model/clock.ts";
import { SkepError } from "../model/errors.ts";
import { type NetworkId, newId, type TaskId } from "../model/ids.ts";
import { addressOf } from "../model/ip.ts";
import type { NetworkAttachment, Task } from "../model/objects.ts";
import { type NodeNetwork, type Sandbox, sandboxIdOf } from "../network/index.ts";
import type { Store } from "../store/index.ts";
import type { Swarm } from "./swarm.ts";

/** An attachment that is not plumbed after this has something wrong with it that the user must hear of. */
const PATIENCE_MS = 20_000;

export interface AttachmentNeeds {
  readonly store: Store;
  readonly swarm: Swarm;
  readonly network: NodeNetwork;
  readonly clock: Clock;
}

export class TaskAttachments implements Attachments, ContainerNetworks {
  readonly #needs: AttachmentNeeds;

  constructor(needs: AttachmentNeeds) {
    this.#needs = needs;
  }

  async create(request: Parameters<Attachments["create"]>[0]) {
    const { store, swarm } = this.#needs;
    const me = swarm.active();
    if (!me) throw new SkepError("unavailable", "This node is not a swarm manager.");
    for (const { network } of request.networks) {
      if (!network.spec.Attachable) {
        const name = network.spec.Name;
        throw new SkepError(
          "forbidden",
          `Could not attach to network ${name}: rpc error: code = PermissionDenied desc = network ${name} not manually attachable`,
        );
      }
    }
    const id = newId<TaskId>();
    await store.update((tx) => {
      tx.create<"task">({
        kind: "task",
        id,
        nodeId: me.nodeId,
        serviceName: request.name,
        serviceLabels: {},
        spec: {
          NetworkAttachmentSpec: { ContainerID: "" },
          ContainerSpec: {
            ...(request.hostname ? { Hostname: request.hostname } : {}),
            Hosts: request.hosts.map(swarmHost),
            DNSConfig: {
              Nameservers: request.dns.nameservers,
              Search: request.dns.search,
              Options: request.dns.options,
            },
          },
          Runtime: "attachment",
        },
        specVersion: 0,
        networks: request.networks.map(attachmentOf),
        status: { timestamp: tx.now, state: "new", message: "created" },
        desiredState: "running",
      });
    });
    try {
      const sandbox = await this.#plumbed(id);
      return {
        taskId: id,
        netnsPath: sandbox.netnsPath,
        binds: [
          { source: sandbox.files.resolvConf, target: "/etc/resolv.conf" },
          { source: sandbox.files.hosts, target: "/etc/hosts" },
        ],
      };
    } catch (e) {
      await this.release(id);
      throw e;
    }
  }

  async bind(taskId: TaskId, containerId: string): Promise<void> {
    await this.#change(taskId, (task) =>
      task.spec.NetworkAttachmentSpec?.ContainerID === containerId
        ? undefined
        : { ...task, spec: { ...task.spec, NetworkAttachmentSpec: { ContainerID: containerId } } },
    );
  }

  async ensure(taskId: TaskId): Promise<void> {
    await this.#plumbed(taskId);
    await this.#needs.network.join(sandboxIdOf(taskId));
  }

  async connect(taskId: TaskId, request: AttachmentRequest): Promise<void> {
    const name = request.network.spec.Name;
    if (!request.network.spec.Attachable) {
      throw new SkepError(
        "forbidden",
        `Could not attach to network ${name}: rpc error: code = PermissionDenied desc = network ${name} not manually attachable`,
      );
    }
    await this.#change(taskId, (t) => {
      if (t.networks.some((n) => n.networkId === request.network.id)) {
        throw new SkepError("forbidden", `endpoint with name ${t.serviceName} already exists in network ${name}`);
      }
      return { ...t, networks: [...t.networks, attachmentOf(request)] };
    });
    try {
      await this.#plumbed(taskId);
    } catch (e) {
      // Else it would be missing at the container's next start, which waits for all of its networks.
      await this.#change(taskId, (t) => ({
        ...t,
        networks: t.networks.filter((n) => n.networkId !== request.network.id),
      }));
      throw e;
    }
  }

  async disconnect(taskId: TaskId, networkId: NetworkId): Promise<void> {
    await this.#change(taskId, (task) => {
      if (!task.networks.some((n) => n.networkId === networkId)) {
        throw new SkepError("not_found", `container ${task.serviceName} is not connected to the network ${networkId}`);
      }
      return { ...task, networks: task.networks.filter((n) => n.networkId !== networkId) };
    });
    await this.#plumbed(taskId);
  }

  async release(taskId: TaskId): Promise<void> {
    await this.#needs.store.update((tx) => {
      const task = tx.get("task", taskId);
      if (task && task.desiredState !== "remove") tx.update({ ...task, desiredState: "remove" });
    });
  }

  list() {
    const me = this.#needs.swarm.active();
    if (!me) return [];
    return this.#needs.store.view
      .tasksOfNode(me.nodeId)
      .filter((t) => t.spec.NetworkAttachmentSpec && t.desiredState === "running")
      .map((t) => ({
        taskId: t.id,
        containerId: t.spec.NetworkAttachmentSpec!.ContainerID,
        createdAt: t.createdAt,
      }));
  }

  of(taskId: TaskId): ContainerNetworking | undefined {
    const { store, swarm } = this.#needs;
    const task = store.view.get("task", taskId);
    if (!task) return undefined;
    const sandbox = swarm.sandbox(taskId);
    return {
      sandboxId: sandbox?.id ?? "",
      sandboxKey: sandbox?.netnsPath ?? "",
      endpoints: task.networks.map((n) => ({
        networkName: store.view.get("network", n.networkId)?.spec.Name ?? n.networkId,
        networkId: n.networkId,
        endpointId: sandbox?.endpoints.find((e) => e.networkId === n.networkId)?.endpointId ?? "",
        addresses: n.addresses,
        aliases: n.aliases,
      })),
    };
  }

  #task(id: TaskId): Task {
    const task = this.#needs.store.view.get("task", id);
    if (!task?.spec.NetworkAttachmentSpec) throw new SkepError("not_found", `attachment ${id} not found`);
    return task;
  }

  #change(id: TaskId, body: (task: Task) => Task | undefined): Promise<Task> {
    return this.#needs.store.update((tx) => {
      const task = tx.get("task", id);
      if (!task?.spec.NetworkAttachmentSpec) throw new SkepError("not_found", `attachment ${id} not found`);
      const changed = body(task);
      return changed ? tx.update(changed) : task;
    });
  }

  /** Resolves with the sandbox once the agent has plumbed it for the networks that the attachment has by then. */
  async #plumbed(id: TaskId): Promise<Sandbox> {
    const { swarm, clock } = this.#needs;
    const abort = new AbortController();
    const timer = clock.after(PATIENCE_MS, () => abort.abort());
    try {
      const isReady = (sandbox: Sandbox) => {
        const wanted = new Set(this.#needs.store.view.get("task", id)?.networks.map((n) => n.networkId));
        return sandbox.endpoints.length === wanted.size && sandbox.endpoints.every((e) => wanted.has(e.networkId));
      };
      const sandbox = await swarm.attached(id, isReady, abort.signal);
      if (sandbox) return sandbox;
    } finally {
      timer.cancel();
    }
    const { status } = this.#task(id);
    const why = status.err ?? status.message;
    throw new SkepError("unavailable", `the attachment was not made in ${PATIENCE_MS / 1000} s: ${why}`);
  }
}

/** "name:address", as `docker run --add-host` has it, in the form of a service's hosts: "address name". */
function swarmHost(entry: string): string {
  const colon = entry.indexOf(":");
  return `${entry.slice(colon + 1)} ${entry.slice(0, colon)}`;
}

function attachmentOf(request: AttachmentRequest): NetworkAttachment {
  return {
    networkId: request.network.id,
    addresses: request.addresses.map(addressOf),
    aliases: request.aliases,
    driverOpts: request.driverOpts,
  };
}
