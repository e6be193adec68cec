// Scale: which slots a service should have. For a replicated service as many as it wants, for a global one those of the nodes it may be on.
import { meets, parseConstraints } from "../../model/constraints.ts";
import type { Node } from "../../model/objects.ts";
import { wantedReplicas } from "../../model/objects.ts";
import type { SlotKey } from "../task-life.ts";
import { type Draft, isFilled } from "./draft.ts";

/** Adds the lowest free slot numbers, or removes the slots that are missed least. */
export function scaleReplicated(draft: Draft): void {
  const wanted = wantedReplicas(draft.service) ?? 0;
  const filled = draft.filled();
  if (filled.length > wanted) {
    for (const key of byWorth(draft, filled).slice(wanted)) removeSlot(draft, key);
  }
  const taken = new Set(filled);
  for (let slot = 1, missing = wanted - filled.length; missing > 0; slot++) {
    if (taken.has(slot)) continue;
    fill(draft, slot);
    missing--;
  }
  removeDeadSlots(draft);
}

/** One task a node that is active and meets the constraints. A paused node keeps what it has. */
export function scaleGlobal(draft: Draft): void {
  const constraints = parseConstraints(draft.service.spec.TaskTemplate.Placement?.Constraints ?? []);
  const filled = new Set(draft.filled());
  for (const node of draft.nodes.values()) {
    const fits = meets(node, constraints);
    if (isWelcoming(node) && fits && !filled.has(node.id)) fill(draft, node.id);
    if (!fits && filled.has(node.id)) removeSlot(draft, node.id);
  }
  removeDeadSlots(draft);
}

/** Whether a node takes new tasks. */
export function isWelcoming(node: Node | undefined): boolean {
  return node?.status.state === "ready" && node.spec.Availability === "active";
}

/** A new task for the slot. It waits if an earlier one is still on its way out: raise-step.ts. */
function fill(draft: Draft, key: SlotKey): void {
  draft.create(key, "ready");
}

/**
 * The most useful first: the first on each node before the second, so that what remains is spread, and what has no node last; of equals
 * those that run; then the lower slot. After swarmkit, replicated/services.go.
 */
function byWorth(draft: Draft, keys: readonly SlotKey[]): SlotKey[] {
  const onNode = new Map<string, number>();
  const ranked = keys.map((key) => {
    const tasks = draft.slots.get(key) ?? [];
    return {
      key,
      runs: tasks.some((t) => t.state === "running" && t.desired === "running"),
      node: tasks.at(-1)?.stored?.nodeId ?? "",
    };
  });
  ranked.sort((a, b) => Number(b.runs) - Number(a.runs));
  const withIndex = ranked.map((r) => {
    const index = r.node === "" ? Number.MAX_SAFE_INTEGER : (onNode.get(r.node) ?? 0) + 1;
    onNode.set(r.node, index);
    return { ...r, index };
  });
  withIndex.sort((a, b) => a.index - b.index || Number(b.runs) - Number(a.runs)); // stable: else by slot
  return withIndex.map((r) => r.key);
}

function removeSlot(draft: Draft, key: SlotKey): void {
  for (const task of draft.slots.get(key) ?? []) task.desired = "remove";
}

/** History of slots that no longer are is of no use to anybody. */
function removeDeadSlots(draft: Draft): void {
  for (const [key, tasks] of draft.slots) if (!isFilled(tasks)) removeSlot(draft, key);
}
