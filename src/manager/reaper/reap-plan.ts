// Which of a service's tasks are to be forgotten: those that were removed and have stopped, and history beyond the limit. Pure.
import type { NodeId } from "../../model/ids.ts";
import type { Node, Task } from "../../model/objects.ts";
import { isWantedAlive } from "../../model/task-state.ts";
import { isFinished, type SlotKey, slotKeyOf } from "../task-life.ts";

/** swarmkit's default for TaskHistoryRetentionLimit (docker swarm init --task-history-limit). */
export const DEFAULT_HISTORY_LIMIT = 5;

/**
 * @param tasks all of one service, or those without a service
 * @param limit how many tasks a slot keeps at most, the one that runs included; negative: all
 */
export function planReaping(tasks: readonly Task[], nodes: ReadonlyMap<NodeId, Node>, limit: number): Task[] {
  const goners = tasks.filter((t) => isRemovable(t, nodes));
  if (limit < 0) return goners;
  const slots = new Map<SlotKey, Task[]>();
  for (const task of tasks) {
    if (task.desiredState === "remove") continue;
    const key = slotKeyOf(task);
    const slot = slots.get(key);
    if (slot) slot.push(task);
    else slots.set(key, [task]);
  }
  for (const slot of slots.values()) goners.push(...beyond(slot, limit));
  return goners;
}

/** The oldest that have ended, as many as are too many. The newest always stays: it tells whether the slot is filled. */
function beyond(slot: readonly Task[], limit: number): Task[] {
  if (slot.length <= Math.max(1, limit)) return [];
  const byAge = [...slot].sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  const dead = byAge.slice(0, -1).filter((t) => isFinished(t) && !isWantedAlive(t.desiredState));
  return dead.slice(0, slot.length - Math.max(1, limit));
}

/** Wished away, and nothing runs for it any more, or nobody is there who could say so. */
function isRemovable(task: Task, nodes: ReadonlyMap<NodeId, Node>): boolean {
  const isAttachment = task.serviceId === undefined; // a container of `docker run`: it leaves no history
  if (task.desiredState !== "remove" && !(isAttachment && isFinished(task))) return false;
  return isFinished(task) || (task.nodeId !== undefined && !nodes.has(task.nodeId));
}
