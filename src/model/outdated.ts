// Whether a task was made to another spec than its service has now. Pure; for the orchestrator, and for the front door's `_up-to-date` filter.
import { isDeepStrictEqual } from "node:util";
import type { Service, Task } from "./objects.ts";
import type { NetworkAttachmentConfig } from "./spec.ts";

/** The networks that a service asks for, in its order, in the new place or the old one. */
export function networkConfigs(service: Pick<Service, "spec">): readonly NetworkAttachmentConfig[] {
  return service.spec.TaskTemplate.Networks ?? service.spec.Networks ?? [];
}

/** Whether a task was made to another spec than its service has now. Equal specs under another version are up to date. */
export function isOutdated(task: Task, service: Service): boolean {
  if (task.specVersion === service.specVersion) return false;
  return (
    !isDeepStrictEqual(task.spec, service.spec.TaskTemplate) ||
    !isDeepStrictEqual(task.endpoint?.spec ?? {}, service.spec.EndpointSpec ?? {}) ||
    (!service.spec.TaskTemplate.Networks && !hasNetworks(task, service))
  );
}

/** For networks in their old place, which is not part of the task's spec. */
function hasNetworks(task: Task, service: Service): boolean {
  const has = new Set<string>(task.networks.map((n) => n.networkId));
  return has.size === 0 || networkConfigs(service).every((n) => n.Target !== undefined && has.has(n.Target));
}
