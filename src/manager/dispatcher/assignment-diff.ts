// The difference between what a node was told and what it should know. Pure.
import { isDeepStrictEqual } from "node:util";
import type { Assignments } from "../../model/assignment.ts";
import type { Task } from "../../model/objects.ts";
import type { NodeAssignments } from "./assignments.ts";

/** Everything, for a node that has just connected. */
export function fullSet(now: NodeAssignments, revision: number): Assignments {
  return {
    revision,
    full: true,
    networks: [...now.networks.values()],
    services: [...now.services.values()],
    tasks: [...now.tasks.values()],
    removed: { networks: [], services: [], tasks: [] },
  };
}

/** What changed; nothing when nothing did. */
export function difference(before: NodeAssignments, now: NodeAssignments, revision: number): Assignments | undefined {
  const networks = news(before.networks, now.networks, isDeepStrictEqual);
  const services = news(before.services, now.services, isDeepStrictEqual);
  const tasks = news(before.tasks, now.tasks, isSameWish);
  const removed = {
    networks: gone(before.networks, now.networks),
    services: gone(before.services, now.services),
    tasks: gone(before.tasks, now.tasks),
  };
  const parts = [networks, services, tasks, removed.networks, removed.services, removed.tasks];
  if (parts.every((p) => p.length === 0)) return undefined;
  return { revision, full: false, networks, services, tasks, removed };
}

/** Whether the managers want the same of both. What the node itself reported is no news to it. */
function isSameWish(a: Task, b: Task): boolean {
  if (a === b) return true;
  const strip = ({ status: _s, version: _v, updatedAt: _u, startedAt: _a, ...wish }: Task) => wish;
  return a.desiredState === b.desiredState && isDeepStrictEqual(strip(a), strip(b));
}

function news<K, V>(before: ReadonlyMap<K, V>, now: ReadonlyMap<K, V>, same: (a: V, b: V) => boolean): V[] {
  const fresh: V[] = [];
  for (const [key, value] of now) {
    const old = before.get(key);
    if (old === undefined || !same(old, value)) fresh.push(value);
  }
  return fresh;
}

function gone<K>(before: ReadonlyMap<K, unknown>, now: ReadonlyMap<K, unknown>): K[] {
  return [...before.keys()].filter((key) => !now.has(key));
}
