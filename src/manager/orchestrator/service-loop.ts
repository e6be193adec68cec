// The orchestrator: each service has the tasks it wants. What to do is decided in service-plan.ts; here it is written.
import { type Clock, timestamp } from "../../model/clock.ts";
import { type NodeId, newId, type ServiceId, type TaskId } from "../../model/ids.ts";
import type { Node, Service } from "../../model/objects.ts";
import type { Change, Store, Tx, View } from "../../store/index.ts";
import type { Due, Loop } from "../loop.ts";
import type { Action, DraftTask } from "./draft.ts";
import { planRemoval, planService } from "./service-plan.ts";

export interface ServiceLoopNeeds {
  readonly store: Pick<Store, "update">;
  readonly clock: Clock;
}

export class ServiceLoop implements Loop<ServiceId> {
  readonly name = "orchestrator";
  readonly #store: ServiceLoopNeeds["store"];
  readonly #clock: Clock;

  constructor({ store, clock }: ServiceLoopNeeds) {
    this.#store = store;
    this.#clock = clock;
  }

  *seed(view: View): Iterable<ServiceId> {
    for (const service of view.all("service")) yield service.id;
    for (const task of view.all("task")) if (task.serviceId) yield task.serviceId; // perhaps of a service that is no more
  }

  *note({ object, old, action }: Change, view: View): Iterable<ServiceId> {
    if (object.kind === "service") yield object.id;
    else if (object.kind === "task" && object.serviceId) yield object.serviceId;
    else if (object.kind === "node" && (action !== "update" || isNodeNews(object, old as Node))) {
      for (const task of view.tasksOfNode(object.id)) if (task.serviceId) yield task.serviceId;
      for (const service of view.all("service")) if (service.spec.Mode.Global) yield service.id;
    }
  }

  settle(keys: readonly ServiceId[]): Promise<readonly Due<ServiceId>[]> {
    return this.#store.update((tx) => {
      const nodes = new Map<NodeId, Node>(tx.all("node").map((n) => [n.id, n]));
      return keys.flatMap((id) => this.#one(tx, id, nodes));
    });
  }

  #one(tx: Tx, id: ServiceId, nodes: ReadonlyMap<NodeId, Node>): Due<ServiceId>[] {
    const service = tx.get("service", id);
    const tasks = tx.tasksOfService(id);
    const nowMs = this.#clock.now();
    const plan = service ? planService({ service, tasks, nodes, nowMs, now: tx.now }) : planRemoval(tasks, false);
    for (const action of plan.actions) apply(tx, id, action);
    return plan.dueMs === undefined ? [] : [{ key: id, at: plan.dueMs }];
  }
}

function isNodeNews(node: Node, old: Node): boolean {
  return (
    node.status.state !== old.status.state ||
    node.spec !== old.spec ||
    node.description.engine !== old.description.engine
  );
}

function apply(tx: Tx, id: ServiceId, action: Action): void {
  const service = tx.get("service", id);
  switch (action.do) {
    case "wish":
      tx.update<"task">({ ...action.task, desiredState: action.desired });
      break;
    case "create":
      if (service) createTask(tx, service, action.task);
      break;
    case "status":
      if (service) tx.update<"service">({ ...service, updateStatus: action.updateStatus });
      break;
    case "rollback":
      if (service) rollBack(tx, service, action);
      break;
    case "delete":
      tx.remove("service", id);
      break;
  }
}

function rollBack(tx: Tx, service: Service, action: Extract<Action, { do: "rollback" }>): void {
  const { previousSpec: _, ...rest } = service;
  tx.update<"service">({
    ...rest,
    spec: action.spec,
    specVersion: service.specVersion + 1,
    updateStatus: action.updateStatus,
  });
}

/** A task as it is born: without addresses, and without a node unless its slot is one. */
function createTask(tx: Tx, service: Service, draft: DraftTask): void {
  tx.create<"task">({
    kind: "task",
    id: newId<TaskId>(),
    serviceId: service.id,
    serviceName: service.spec.Name,
    serviceLabels: service.spec.Labels,
    ...(typeof draft.key === "number" ? { slot: draft.key } : { nodeId: draft.key as NodeId }),
    spec: service.spec.TaskTemplate,
    specVersion: service.specVersion,
    ...(service.registryAuth ? { registryAuth: service.registryAuth } : {}),
    endpoint: { spec: service.spec.EndpointSpec ?? {}, ports: [], virtualIPs: [] },
    networks: [],
    status: { timestamp: tx.now, state: "new", message: "created" },
    desiredState: draft.desired,
    ...(draft.startAfterMs === undefined ? {} : { startAfter: timestamp(draft.startAfterMs) }),
    ...(draft.restarts ? { restarts: draft.restarts } : {}),
  });
}
