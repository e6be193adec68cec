// Tasks for tests of the API, as managers and agents would write them.
import { newId, type TaskId } from "../../model/ids.ts";
import type { Service, Task } from "../../model/objects.ts";
import type { DesiredState, TaskState } from "../../model/task-state.ts";
import type { World } from "./world.ts";

/** Plays the managers: a running task of the service, with these changes. */
export async function addTask(
  w: Pick<World, "store">,
  of: Service,
  slot: number,
  changes: Partial<Task> = {},
): Promise<Task> {
  return w.store.update((tx) =>
    tx.create<"task">({
      kind: "task",
      id: newId<TaskId>(),
      serviceId: of.id,
      serviceName: of.spec.Name,
      serviceLabels: of.spec.Labels,
      slot,
      spec: of.spec.TaskTemplate,
      specVersion: of.specVersion,
      networks: [],
      status: { timestamp: tx.now, state: "running", message: "started" },
      desiredState: "running",
      ...changes,
    }),
  );
}

/** The state that was seen of a task, and the wish. */
export const at = (state: TaskState, desiredState: DesiredState) => ({
  status: { timestamp: "2026-01-01T00:00:00Z", state, message: "" },
  desiredState,
});
