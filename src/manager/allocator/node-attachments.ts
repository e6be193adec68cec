// The load balancer endpoints of a node: one on each network that has a task on that node, and on the ingress network at once.
import type { NetworkId } from "../../model/ids.ts";
import type { NetworkAttachment, Node } from "../../model/objects.ts";
import { isWantedAlive } from "../../model/task-state.ts";
import type { View } from "../../store/index.ts";
import { isFinished } from "../task-life.ts";
import type { Books } from "./books.ts";
import { ingressOf } from "./service-endpoint.ts";

export interface NodePlan {
  readonly attachments: readonly NetworkAttachment[];
  readonly changed: boolean;
  /** Some attachment stays only because a task without a node may yet come to this one. */
  readonly lingers: boolean;
  /** What could not be had, and why. */
  readonly failures: ReadonlyMap<NetworkId, Error>;
}

/**
 * Which attachments the node should have; takes and gives back the addresses. An attachment does not go while a replacement is under way
 * that may land here: a crash of a service's only task must not tear down the network.
 */
export function planNode(view: View, books: Books, node: Node): NodePlan {
  const needed = new Set<NetworkId>();
  const ingress = ingressOf(view);
  if (ingress) needed.add(ingress.id);
  for (const task of view.tasksOfNode(node.id)) {
    if (isFinished(task) && !isWantedAlive(task.desiredState)) continue;
    for (const n of task.networks) needed.add(n.networkId);
  }
  const kept: NetworkAttachment[] = [];
  let lingers = false;
  for (const attachment of node.attachments) {
    const id = attachment.networkId;
    if (!needed.has(id)) {
      const mayCome = view.tasksOfNetwork(id).some((t) => !t.nodeId && isWantedAlive(t.desiredState));
      if (!mayCome) continue;
      lingers = true;
    }
    kept.push(attachment);
    needed.delete(id);
  }
  const failures = new Map<NetworkId, Error>();
  const added: NetworkAttachment[] = [];
  for (const id of needed) {
    const network = view.get("network", id);
    if (!network?.ipam) continue; // comes again when it is allocated
    try {
      added.push({ networkId: id, addresses: books.pools.take(network, node.id), aliases: [] });
    } catch (e) {
      failures.set(id, e as Error);
    }
  }
  const attachments = [...kept, ...added];
  const has = new Set(attachments.map((a) => a.networkId));
  books.pools.release(node.id, (id) => !has.has(id));
  return { attachments, changed: added.length > 0 || kept.length < node.attachments.length, lingers, failures };
}
