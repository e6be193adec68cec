// What a node has to bear, and the scheduler's mirror of all nodes: computed from the store, node by node, only where something changed.
import type { NodeId } from "../../model/ids.ts";
import type { Node, Task } from "../../model/objects.ts";
import { portKey } from "../../model/published-ports.ts";
import { isWantedAlive } from "../../model/task-state.ts";
import type { View } from "../../store/index.ts";
import { isFinished } from "../task-life.ts";

export interface NodeLoad {
  readonly node: Node;
  /** Tasks that are wanted alive: all, and by service. */
  active: number;
  readonly byService: Map<string, number>;
  reservedNanoCPUs: number;
  reservedBytes: number;
  /** Host-mode ports in use. */
  readonly hostPorts: Set<string>;
}

export function emptyLoad(node: Node): NodeLoad {
  return { node, active: 0, byService: new Map(), reservedNanoCPUs: 0, reservedBytes: 0, hostPorts: new Set() };
}

/** Counts a placed task in. Until it has stopped it needs its resources and ports; only while wanted alive does it count for spreading. */
export function addTask(load: NodeLoad, task: Task): void {
  const isPlaced = task.status.state !== "new" && task.status.state !== "pending"; // a task made for its node has that from birth
  if (!isPlaced || isFinished(task)) return;
  const reserved = task.spec.Resources?.Reservations;
  load.reservedNanoCPUs += reserved?.NanoCPUs ?? 0;
  load.reservedBytes += reserved?.MemoryBytes ?? 0;
  for (const port of hostPorts(task)) load.hostPorts.add(port);
  if (!isWantedAlive(task.desiredState)) return;
  load.active++;
  const service = task.serviceId ?? "";
  load.byService.set(service, (load.byService.get(service) ?? 0) + 1);
}

/** The ports that the task takes on the node it runs on. */
export function hostPorts(task: Task): string[] {
  const ports = task.endpoint?.ports ?? [];
  return ports.filter((p) => p.PublishMode === "host" && p.PublishedPort).map(portKey);
}

export class NodeMirror {
  readonly #loads = new Map<NodeId, NodeLoad>();
  readonly #dirty = new Set<NodeId>();

  clear(): void {
    this.#loads.clear();
    this.#dirty.clear();
  }

  /** This node, or a task of it, changed. */
  touch(id: NodeId): void {
    this.#dirty.add(id);
  }

  /** Every node as it is in `view`. */
  loads(view: View): readonly NodeLoad[] {
    for (const id of this.#dirty) {
      const node = view.get("node", id);
      if (!node) {
        this.#loads.delete(id);
        continue;
      }
      const load = emptyLoad(node);
      for (const task of view.tasksOfNode(id)) addTask(load, task);
      this.#loads.set(id, load);
    }
    this.#dirty.clear();
    return [...this.#loads.values()];
  }

  of(id: NodeId): NodeLoad | undefined {
    return this.#loads.get(id);
  }
}
