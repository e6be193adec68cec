// Removing a swarm network: refused while a service or a live task is on it. Tasks on their way out are waited for: dockerd lets the network
// go under them, here it stays until nobody needs its addresses.
import type { NetworkId } from "../model/ids.ts";
import type { Network, Task } from "../model/objects.ts";
import { usesIngress } from "../model/published-ports.ts";
import { isTerminal, isWantedAlive } from "../model/task-state.ts";
import type { View } from "../store/index.ts";
import type { ApiContext } from "./context.ts";
import { rpcError } from "./errors.ts";
import { isShown } from "./find.ts";

/** Longer than any usual stop grace period; a client that waits longer may ask again. */
const LEAVING_TIMEOUT_MS = 60_000;

/** Whether any service or task is on the network. */
export function isNetworkUsed(view: View, id: NetworkId): boolean {
  return view.servicesOfNetwork(id).length > 0 || view.tasksOfNetwork(id).some((t) => !isTerminal(t.status.state));
}

/**
 * Resolves when the network is gone from the store.
 * @throws SkepError "invalid" in swarmkit's words when it is in use, or still is after the tasks had time to leave
 */
export async function removeSwarmNetwork(context: ApiContext, network: Network, signal: AbortSignal): Promise<void> {
  const { store } = context;
  const { id } = network;
  refuseInUse(store.view, network);
  await untilLeft(context, id, signal);
  await store.update((tx) => {
    if (!tx.get("network", id)) throw rpcError("NotFound", `network ${id} not found`);
    refuseInUse(tx, network);
    const last = leaving(tx, id)[0];
    if (last) throw rpcError("FailedPrecondition", `network ${id} is in use by task ${last.id}`);
    tx.remove("network", id);
  });
}

function refuseInUse(view: View, { id, spec }: Network): void {
  const user = view.servicesOfNetwork(id).find(isShown);
  const meshUser = spec.Ingress ? view.all("service").find((s) => isShown(s) && usesIngress(s)) : undefined;
  if (meshUser) {
    const text = `ingress network cannot be removed because service ${meshUser.id} depends on it`;
    throw rpcError("FailedPrecondition", text);
  }
  if (user) throw rpcError("FailedPrecondition", `network ${id} is in use by service ${user.id}`);
  const task = view.tasksOfNetwork(id).find((t) => isWantedAlive(t.desiredState) && !isLeaving(view, t));
  if (task && !isTerminal(task.status.state)) {
    throw rpcError("FailedPrecondition", `network ${id} is in use by task ${task.id}`);
  }
}

/** Whether the task's end has been asked for, be it only by the removal of its service. */
function isLeaving(view: View, task: Task): boolean {
  if (!isWantedAlive(task.desiredState)) return true;
  const service = task.serviceId === undefined ? undefined : view.get("service", task.serviceId);
  return task.serviceId !== undefined && (service === undefined || service.pendingDelete === true);
}

function leaving(view: View, id: NetworkId): readonly Task[] {
  return view.tasksOfNetwork(id).filter((t) => !isTerminal(t.status.state) && isLeaving(view, t));
}

async function untilLeft(context: ApiContext, id: NetworkId, signal: AbortSignal): Promise<void> {
  const { store, clock } = context;
  const isFree = () => leaving(store.view, id).length === 0 && store.view.servicesOfNetwork(id).length === 0;
  if (isFree()) return;
  const stop = new AbortController();
  const timer = clock.after(LEAVING_TIMEOUT_MS, () => stop.abort());
  try {
    for await (const _ of store.watch(AbortSignal.any([signal, stop.signal])).commits) if (isFree()) return;
  } finally {
    timer.cancel();
    stop.abort();
  }
}
