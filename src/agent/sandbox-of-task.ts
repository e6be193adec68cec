// From a task to the sandbox that the data plane is asked for. Pure.
import { type Task, taskName } from "../model/objects.ts";
import { type SandboxSpec, sandboxIdOf } from "../network/index.ts";

export function sandboxOf(task: Task): SandboxSpec {
  const dns = task.spec.ContainerSpec?.DNSConfig;
  return {
    id: sandboxIdOf(task.id),
    taskId: task.id,
    // An attachment's container has the name that its user gave it.
    taskName: task.spec.NetworkAttachmentSpec ? task.serviceName : taskName(task),
    serviceId: task.serviceId,
    serviceName: task.serviceName,
    attachments: task.networks,
    dns: { nameservers: dns?.Nameservers, search: dns?.Search, options: dns?.Options },
    hosts: task.spec.ContainerSpec?.Hosts ?? [],
  };
}
