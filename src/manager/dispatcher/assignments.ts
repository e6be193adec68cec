// What a node is told: the networks it takes part in, the services on them, and its tasks. Pure. What of it is news is in assignment-diff.ts.
import { MTU_OPTION } from "../../model/address-pool.ts";
import type { NetworkAssignment, ServiceAssignment } from "../../model/assignment.ts";
import type { NetworkId, NodeId, ServiceId, TaskId } from "../../model/ids.ts";
import type { Network, NetworkAttachment, Service, Task } from "../../model/objects.ts";
import { networkConfigs } from "../../model/outdated.ts";
import { isWantedAlive, TASK_STATES } from "../../model/task-state.ts";
import type { View } from "../../store/index.ts";
import { isFinished, isGiven } from "../task-life.ts";

/** The usual underlay's 1500 bytes, less 50 of VXLAN header (libnetwork, overlay.vxlanEncap). */
const DEFAULT_MTU = 1450;

export interface NodeAssignments {
  readonly networks: ReadonlyMap<NetworkId, NetworkAssignment>;
  readonly services: ReadonlyMap<ServiceId, ServiceAssignment>;
  readonly tasks: ReadonlyMap<TaskId, Task>;
}

/**
 * Everything that concerns a node now. A network is there from the moment the node has its load balancer endpoint on it, and as long as a
 * task of the node that has not ended needs it; a task is there from when all its networks are until its record is deleted.
 */
export function assignmentsFor(view: View, nodeId: NodeId): NodeAssignments {
  const networks = new Map<NetworkId, NetworkAssignment>();
  for (const attachment of view.get("node", nodeId)?.attachments ?? []) {
    const network = view.get("network", attachment.networkId);
    const assignment = network && networkAssignment(network, attachment);
    if (assignment) networks.set(assignment.id, assignment);
  }
  const services = new Map<ServiceId, ServiceAssignment>();
  for (const id of networks.keys()) {
    for (const service of view.servicesOfNetwork(id)) {
      if (service.endpoint && !services.has(service.id)) services.set(service.id, serviceAssignment(service, networks));
    }
  }
  const tasks = new Map<TaskId, Task>();
  for (const task of view.tasksOfNode(nodeId)) {
    const known = taskAssignment(task, (n) => networks.has(n.networkId) && isGiven(n));
    if (known) tasks.set(task.id, known);
  }
  return { networks, services, tasks };
}

/** The task as its node may know it; nothing while it has to wait for its networks. */
function taskAssignment(task: Task, isReady: (n: NetworkAttachment) => boolean): Task | undefined {
  if (TASK_STATES[task.status.state] < TASK_STATES.assigned) return undefined;
  if (isFinished(task) || task.networks.every(isReady)) return task;
  // One that is called off meanwhile is told of at once: only its node can say that nothing of it is left.
  if (task.status.state === "assigned" && isWantedAlive(task.desiredState)) return undefined;
  // It runs, and a further network (`docker network connect`) is under way: it comes when it is there.
  return { ...task, networks: task.networks.filter(isReady) };
}

function networkAssignment(network: Network, attachment: NetworkAttachment): NetworkAssignment | undefined {
  if (!network.ipam || !network.driverState) return undefined;
  const mtu = Number(network.spec.Options[MTU_OPTION]);
  return {
    id: network.id,
    name: network.spec.Name,
    vni: network.driverState.vni,
    mtu: Number.isInteger(mtu) && mtu > 0 ? mtu : DEFAULT_MTU,
    subnets: network.ipam.configs.map(({ subnet, gateway }) => ({ subnet, gateway })),
    lbAddresses: attachment.addresses,
    internal: network.spec.Internal,
    ingress: network.spec.Ingress,
    options: network.spec.Options,
  };
}

function serviceAssignment(service: Service, networks: ReadonlyMap<NetworkId, unknown>): ServiceAssignment {
  const aliases: Record<NetworkId, readonly string[]> = {};
  for (const { Target, Aliases } of networkConfigs(service)) {
    if (Aliases?.length && networks.has(Target as NetworkId)) aliases[Target as NetworkId] = Aliases;
  }
  return {
    id: service.id,
    name: service.spec.Name,
    mode: service.endpoint?.spec.Mode ?? "vip",
    virtualIPs: (service.endpoint?.virtualIPs ?? []).filter((v) => networks.has(v.networkId)),
    ports: service.endpoint?.ports ?? [],
    aliases,
    labels: service.spec.Labels,
  };
}
