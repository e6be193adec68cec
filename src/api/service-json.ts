// A service as the API shows it, in the order of moby's structs.
import type { Service, Task } from "../model/objects.ts";
import { wantedReplicas } from "../model/objects.ts";
import { withDefaults } from "../model/service-defaults.ts";
import { isWantedAlive } from "../model/task-state.ts";

export function serviceJson(service: Service, insertDefaults = false): object {
  const { previousSpec, endpoint, updateStatus: status } = service;
  return {
    ID: service.id,
    Version: { Index: service.version },
    CreatedAt: service.createdAt,
    UpdatedAt: service.updatedAt,
    Spec: insertDefaults ? withDefaults(service.spec) : service.spec,
    ...(previousSpec && { PreviousSpec: previousSpec }),
    Endpoint: endpointJson(endpoint),
    ...(status && {
      UpdateStatus: {
        State: status.state,
        StartedAt: status.startedAt,
        ...(status.completedAt !== undefined && { CompletedAt: status.completedAt }),
        Message: status.message,
      },
    }),
  };
}

/** With the counts of `?status=true`. */
export function serviceJsonWithStatus(service: Service, tasks: readonly Task[]): object {
  return {
    ...serviceJson(service),
    ServiceStatus: {
      RunningTasks: tasks.filter((t) => t.status.state === "running").length,
      DesiredTasks: wantedReplicas(service) ?? tasks.filter((t) => isWantedAlive(t.desiredState)).length,
      CompletedTasks: 0,
    },
  };
}

function endpointJson(endpoint: Service["endpoint"]): object {
  if (!endpoint) return { Spec: {} };
  const { spec, ports, virtualIPs } = endpoint;
  return {
    Spec: spec,
    ...(ports.length > 0 && { Ports: ports }),
    ...(virtualIPs.length > 0 && {
      VirtualIPs: virtualIPs.map((v) => ({ NetworkID: v.networkId, Addr: v.addr })),
    }),
  };
}
