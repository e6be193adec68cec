// The reaper: deletes the records of tasks that are over and done with. What that is, is decided in reap-plan.ts. A node's agent removes a
// task's container when the record goes.
import type { NodeId, ServiceId } from "../../model/ids.ts";
import type { Node } from "../../model/objects.ts";
import { isWantedAlive } from "../../model/task-state.ts";
import type { Change, Store, Tx, View } from "../../store/index.ts";
import type { Due, Loop } from "../loop.ts";
import { isFinished } from "../task-life.ts";
import { DEFAULT_HISTORY_LIMIT, planReaping } from "./reap-plan.ts";

/** A service's id, or "" for the tasks without a service. */
type ReaperKey = ServiceId | "";

export class ReaperLoop implements Loop<ReaperKey> {
  readonly name = "reaper";
  readonly #store: Pick<Store, "update">;

  constructor({ store }: { store: Pick<Store, "update"> }) {
    this.#store = store;
  }

  *seed(view: View): Iterable<ReaperKey> {
    yield "";
    for (const task of view.all("task")) yield task.serviceId ?? "";
  }

  *note({ object, action }: Change, view: View): Iterable<ReaperKey> {
    if (object.kind === "task") {
      // Birth counts too: one more in a slot makes an older one superfluous.
      if (action === "create" || !isWantedAlive(object.desiredState) || isFinished(object))
        yield object.serviceId ?? "";
    } else if (object.kind === "cluster" || (object.kind === "node" && action === "remove")) yield* this.seed(view);
  }

  async settle(keys: readonly ReaperKey[]): Promise<readonly Due<ReaperKey>[]> {
    await this.#store.update((tx) => {
      const limit = tx.all("cluster")[0]?.spec.Orchestration.TaskHistoryRetentionLimit ?? DEFAULT_HISTORY_LIMIT;
      const nodes = new Map<NodeId, Node>(tx.all("node").map((n) => [n.id, n]));
      for (const key of keys) {
        for (const task of planReaping(tasksOf(tx, key), nodes, limit)) tx.remove("task", task.id);
      }
    });
    return [];
  }
}

function tasksOf(tx: Tx, key: ReaperKey) {
  return key === "" ? tx.all("task").filter((t) => !t.serviceId) : tx.tasksOfService(key);
}
