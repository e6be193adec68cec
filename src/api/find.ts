// Which object a path means: by full id, then by name, then by the beginning of the id, in Docker's order and with its texts
// (daemon/cluster/helpers.go).
import type { Kind, ObjectOf, Service, Task } from "../model/objects.ts";
import { taskName } from "../model/objects.ts";
import type { View } from "../store/index.ts";
import { invalid, notFound } from "./errors.ts";

/** The kinds that have a path of their own. */
export type PathKind = Exclude<Kind, "cluster">;

/** Whether the API shows the object: not services that the user has removed, not the tasks that are containers of `docker run`. */
export function isShown(object: ObjectOf<PathKind>): boolean {
  if (object.kind === "service") return !(object as Service).pendingDelete;
  if (object.kind === "task") return (object as Task).serviceId !== undefined;
  return true;
}

/** All objects of a kind that the API shows, the oldest first. */
export function shown<K extends PathKind>(view: View, kind: K): ObjectOf<K>[] {
  const objects = view.all(kind) as readonly ObjectOf<PathKind>[];
  return objects.filter(isShown).sort(byAge) as ObjectOf<K>[];
}

/** @throws SkepError "not_found" ("service web not found"), "invalid" when several begin so */
export function find<K extends PathKind>(view: View, kind: K, text: string): ObjectOf<K> {
  const byId = view.get(kind, text);
  if (byId && isShown(byId)) return byId;
  const byName = named(view, kind, text);
  const found = byName.length > 0 || text === "" ? byName : beginning(view, kind, text);
  if (found.length > 1) throw invalid(`${kind} ${text} is ambiguous (${found.length} matches found)`);
  if (!found[0]) throw notFound(kind, text);
  return found[0];
}

function named<K extends PathKind>(view: View, kind: K, name: string): ObjectOf<K>[] {
  if (kind === "task") {
    return shown(view, "task").filter((t) => taskName(t) === name) as unknown as ObjectOf<K>[];
  }
  return (view.byName(kind as Exclude<K, "task">, name) as readonly ObjectOf<K>[]).filter(isShown);
}

function beginning<K extends PathKind>(view: View, kind: K, text: string): ObjectOf<K>[] {
  const objects: readonly ObjectOf<PathKind>[] = shown(view, kind);
  return objects.filter((o) => o.id.startsWith(text)) as ObjectOf<K>[];
}

function byAge(a: ObjectOf<PathKind>, b: ObjectOf<PathKind>): number {
  if (a.createdAt !== b.createdAt) return a.createdAt < b.createdAt ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}
