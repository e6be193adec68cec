// What the loops ask of a task: has it ended, is it up to date, which networks should it have. States and their order are in model/task-state.ts.
import { isDeepStrictEqual } from "node:util";
import type { NetworkAttachment, Node, Service, Task } from "../model/objects.ts";
import type { NetworkAttachmentConfig } from "../model/spec.ts";
import { isTerminal, isWantedAlive, TASK_STATES } from "../model/task-state.ts";

/** Whether nothing runs for the task and nothing ever will: it ended, or it was called off before a node had it. */
export function isFinished(task: Pick<Task, "status" | "desiredState">): boolean {
  if (isTerminal(task.status.state)) return true;
  return TASK_STATES[task.status.state] < TASK_STATES.assigned && !isWantedAlive(task.desiredState);
}

/** Whether the attachment has its addresses. What a user asks for by name (`docker run --ip`) has no prefix length yet. */
export function isGiven(attachment: NetworkAttachment): boolean {
  return attachment.addresses.length > 0 && attachment.addresses.every((a) => a.includes("/"));
}

/** Whether the node takes no part any more: tasks on it are lost, or are to be moved away. */
export function isLost(node: Node | undefined): boolean {
  return !node || node.status.state === "down";
}

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

/** Where a service's tasks stand: a slot's number, or for global services the node's id. */
export type SlotKey = number | string;
export function slotKeyOf(task: Pick<Task, "slot" | "nodeId">): SlotKey {
  return task.slot ?? task.nodeId ?? "";
}
