// A task as the API shows it, in the order of moby's structs, with the networks it is on.
import type { Network, NetworkAttachment, Task, TaskStatus } from "../model/objects.ts";
import type { View } from "../store/index.ts";
import { swarmNetworkJson } from "./network-json.ts";

export function taskJson(task: Task, view: View): object {
  const { Runtime: _, ...spec } = task.spec; // dockerd gives a service's spec its runtime, a task's not
  const attachments = task.networks.flatMap((a) => attachmentJson(a, view.get("network", a.networkId)));
  return {
    ID: task.id,
    Version: { Index: task.version },
    CreatedAt: task.createdAt,
    UpdatedAt: task.updatedAt,
    Labels: {},
    Spec: spec,
    ...(task.serviceId !== undefined && { ServiceID: task.serviceId }),
    ...(task.slot !== undefined && { Slot: task.slot }),
    ...(task.nodeId !== undefined && { NodeID: task.nodeId }),
    Status: statusJson(task.status),
    DesiredState: task.desiredState,
    ...(attachments.length > 0 && { NetworksAttachments: attachments }),
  };
}

function attachmentJson(attachment: NetworkAttachment, network: Network | undefined): object[] {
  if (!network) return []; // removed since; dockerd would show an empty object
  return [{ Network: swarmNetworkJson(network), Addresses: attachment.addresses }];
}

function statusJson(status: TaskStatus): object {
  const { container, ports = [] } = status;
  return {
    Timestamp: status.timestamp,
    State: status.state,
    ...(status.message !== "" && { Message: status.message }),
    ...(status.err !== undefined && status.err !== "" && { Err: status.err }),
    ...(container && {
      ContainerStatus: { ContainerID: container.id, PID: container.pid, ExitCode: container.exitCode },
    }),
    PortStatus: ports.length > 0 ? { Ports: ports } : {},
  };
}
