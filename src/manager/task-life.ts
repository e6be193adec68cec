// What the loops ask of a task: has it ended, where does it stand. Whether it is up to date is in model/outdated.ts, states and their order in
// model/task-state.ts.
import type { NetworkAttachment, Node, Task } from "../model/objects.ts";
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

/** Where a service's tasks stand: a slot's number, or for global services the node's id. */
export type SlotKey = number | string;
export function slotKeyOf(task: Pick<Task, "slot" | "nodeId">): SlotKey {
  return task.slot ?? task.nodeId ?? "";
}
