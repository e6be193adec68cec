// Events of swarm objects, made from the store's commits, as dockerd makes them of swarmkit's watch (moby: daemon/events.go).
import { hasCode } from "../model/errors.ts";
import type { Config, Network, Node, Secret, Service, StoredObject } from "../model/objects.ts";
import { wantedReplicas } from "../model/objects.ts";
import type { Change, Store } from "../store/index.ts";
import type { EventBus, NewEvent } from "./event-bus.ts";

/** Publishes the swarm's events until the signal aborts. Changes from before the call make none. */
export async function followSwarm(store: Store, bus: EventBus, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const commit of store.watch(signal).commits) {
        for (const change of commit.changes) {
          const event = swarmEvent(change);
          if (event) bus.publish(event);
        }
      }
      return;
    } catch (e) {
      // too slow a reader: events are no promise, the next ones count
      if (!hasCode(e, "stale")) throw e;
    }
  }
}

/** What `docker events` shows of a change; nothing for tasks and the cluster, and for changes that only managers care about. */
export function swarmEvent({ action, object, old }: Change): NewEvent | undefined {
  switch (object.kind) {
    case "service":
      return serviceEvent(action, object, old as Service | undefined);
    case "node":
      return nodeEvent(action, object, old as Node | undefined);
    case "network":
      return action === "update" ? undefined : plain(action, object);
    case "secret":
    case "config":
      return plain(action, object);
    default:
      return undefined;
  }
}

function plain(action: Change["action"], object: Network | Secret | Config): NewEvent {
  return event(action, object, { name: object.spec.Name });
}

function serviceEvent(action: Change["action"], now: Service, old: Service | undefined): NewEvent | undefined {
  const attributes = { name: now.spec.Name };
  if (now.pendingDelete) {
    // the user's removal is the event; the object goes later
    return action === "update" && !old?.pendingDelete ? event("remove", now, attributes) : undefined;
  }
  if (action !== "update" || !old) return event(action, now, attributes);
  const changed = {
    ...difference("replicas", String(wantedReplicas(old) ?? ""), String(wantedReplicas(now) ?? "")),
    ...difference("image", imageOf(old), imageOf(now)),
    ...difference("updatestate", old.updateStatus?.state ?? "", now.updateStatus?.state ?? ""),
  };
  if (old.spec === now.spec && Object.keys(changed).length === 0) return undefined;
  return event(action, now, { ...attributes, ...changed });
}

function imageOf(service: Service): string {
  return service.spec.TaskTemplate.ContainerSpec?.Image ?? "";
}

function nodeEvent(action: Change["action"], now: Node, old: Node | undefined): NewEvent | undefined {
  const attributes = { name: now.description.hostname };
  if (action !== "update" || !old) return event(action, now, attributes);
  const changed = {
    ...difference("availability", old.spec.Availability, now.spec.Availability),
    ...difference("role", old.spec.Role, now.spec.Role),
    ...difference("state", old.status.state, now.status.state),
    ...difference("reachability", old.managerStatus?.reachability ?? "", now.managerStatus?.reachability ?? ""),
    ...difference("leader", String(old.managerStatus?.leader ?? ""), String(now.managerStatus?.leader ?? "")),
  };
  if (old.spec === now.spec && Object.keys(changed).length === 0) return undefined;
  return event(action, now, { ...attributes, ...changed });
}

function difference(what: string, before: string, after: string): Record<string, string> {
  if (before === after) return {};
  return {
    ...(before !== "" && { [`${what}.old`]: before }),
    ...(after !== "" && { [`${what}.new`]: after }),
  };
}

function event(action: Change["action"], object: StoredObject, attributes: Record<string, string>): NewEvent {
  return { Type: object.kind, Action: action, Actor: { ID: object.id, Attributes: attributes }, scope: "swarm" };
}
