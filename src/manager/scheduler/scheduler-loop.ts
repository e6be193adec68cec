// The scheduler: gives each task that has its addresses a node. Which nodes may be is in filters.ts; among those, the one with the fewest
// tasks of the service, then with the fewest at all. Tasks of a service are placed together, and all of a batch in one transaction.
import type { NodeId, ServiceId, TaskId } from "../../model/ids.ts";
import type { Task } from "../../model/objects.ts";
import { isWantedAlive } from "../../model/task-state.ts";
import type { Change, Store, Tx, View } from "../../store/index.ts";
import type { Due, Loop } from "../loop.ts";
import { isFinished } from "../task-life.ts";
import { filtersFor, Verdicts } from "./filters.ts";
import { addTask, type NodeLoad, NodeMirror } from "./node-load.ts";

/** A task to place, or "room": something changed that may make room for those that wait. */
export type SchedulerKey = TaskId | "room";

export class SchedulerLoop implements Loop<SchedulerKey> {
  readonly name = "scheduler";
  readonly #store: Pick<Store, "update">;
  readonly #mirror = new NodeMirror();
  /** Tasks for which there was no node. */
  readonly #waiting = new Set<TaskId>();

  constructor({ store }: { store: Pick<Store, "update"> }) {
    this.#store = store;
  }

  *seed(view: View): Iterable<SchedulerKey> {
    this.#mirror.clear();
    this.#waiting.clear();
    for (const node of view.all("node")) this.#mirror.touch(node.id);
    for (const task of view.all("task")) if (isToPlace(task)) yield task.id;
  }

  *note({ object, old, action }: Change): Iterable<SchedulerKey> {
    if (object.kind === "node") {
      this.#mirror.touch(object.id);
      yield "room";
    } else if (object.kind === "task") {
      const ended = action === "remove" || isFinished(object);
      const wasOn = old?.kind === "task" ? old.nodeId : undefined;
      const unchanged = old?.kind === "task" && wasOn === object.nodeId && old.desiredState === object.desiredState;
      if (object.nodeId && (!unchanged || ended)) this.#mirror.touch(object.nodeId);
      if (ended || (object.nodeId && !unchanged && !isWantedAlive(object.desiredState))) yield "room";
      if (action !== "remove" && isToPlace(object)) yield object.id;
    }
  }

  async settle(keys: readonly SchedulerKey[]): Promise<readonly Due<SchedulerKey>[]> {
    const ids = new Set<TaskId>(keys.includes("room") ? this.#waiting : []);
    for (const key of keys) if (key !== "room") ids.add(key);
    if (ids.size === 0) return [];
    const touched = new Set<NodeLoad>();
    try {
      await this.#store.update((tx) => this.#place(tx, ids, touched));
    } catch (e) {
      for (const id of ids) this.#waiting.add(id);
      for (const load of touched) this.#mirror.touch(load.node.id); // they count what was never stored
      throw e;
    }
    return [];
  }

  #place(tx: Tx, ids: ReadonlySet<TaskId>, touched: Set<NodeLoad>): void {
    const loads = this.#mirror.loads(tx);
    const groups = new Map<string, Task[]>();
    for (const id of ids) {
      this.#waiting.delete(id);
      const task = tx.get("task", id);
      if (!task || !isToPlace(task)) continue;
      const key = groupKey(task);
      const group = groups.get(key);
      if (group) group.push(task);
      else groups.set(key, [task]);
    }
    for (const group of groups.values()) {
      group.sort((a, b) => (a.slot ?? 0) - (b.slot ?? 0));
      this.#placeGroup(tx, group, loads, touched);
    }
  }

  #placeGroup(tx: Tx, group: readonly Task[], loads: readonly NodeLoad[], touched: Set<NodeLoad>): void {
    const filters = filtersFor(group[0]!);
    let reason: string | undefined; // where there is no node for one, there is none for those like it
    for (const task of group) {
      const verdicts = new Verdicts(filters);
      const candidates = task.nodeId ? this.#madeFor(task.nodeId) : loads;
      const load = reason === undefined ? best(candidates, task.serviceId, verdicts) : undefined;
      if (!load) {
        reason ??= verdicts.explain();
        this.#waiting.add(task.id);
        explain(tx, task, reason);
        continue;
      }
      const message = task.nodeId
        ? "scheduler confirmed task can run on preassigned node"
        : "scheduler assigned task to node";
      const status = { timestamp: tx.now, state: "assigned", message } as const;
      addTask(load, tx.update<"task">({ ...task, nodeId: load.node.id, status }));
      touched.add(load);
    }
  }

  #madeFor(id: NodeId): readonly NodeLoad[] {
    const load = this.#mirror.of(id);
    return load ? [load] : [];
  }
}

/** Has its addresses, is wanted, and has not been given to a node yet. */
function isToPlace(task: Task): boolean {
  return task.status.state === "pending" && isWantedAlive(task.desiredState);
}

/** Tasks of one key can stand for each other where filters are concerned. */
function groupKey(task: Task): string {
  return task.serviceId && !task.nodeId ? `${task.serviceId}/${task.specVersion}` : task.id;
}

function best(loads: readonly NodeLoad[], service: ServiceId | undefined, verdicts: Verdicts): NodeLoad | undefined {
  let found: NodeLoad | undefined;
  for (const load of loads) {
    if (verdicts.admits(load) && (!found || isLighter(load, found, service ?? ""))) found = load;
  }
  return found;
}

function isLighter(a: NodeLoad, b: NodeLoad, service: string): boolean {
  const own = (a.byService.get(service) ?? 0) - (b.byService.get(service) ?? 0);
  return own !== 0 ? own < 0 : a.active < b.active;
}

/** Tells the user why a task does not get on; in the store only when it is news. */
function explain(tx: Tx, task: Task, reason: string): void {
  if (task.status.err === reason) return;
  tx.update<"task">({ ...task, status: { ...task.status, timestamp: tx.now, err: reason } });
}
