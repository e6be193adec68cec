// Tasks: listed and shown. Nobody makes or removes one by hand.
import { type Task, taskName } from "../model/objects.ts";
import { isOutdated } from "../model/outdated.ts";
import { TASK_STATES } from "../model/task-state.ts";
import type { View } from "../store/index.ts";
import type { ActiveSwarm, ApiContext } from "./context.ts";
import { invalid } from "./errors.ts";
import { type Filters, filtersOf } from "./filters.ts";
import { find, shown } from "./find.ts";
import { requireManager } from "./guard.ts";
import { param } from "./http.ts";
import type { RegisterRoutes } from "./router.ts";
import { taskJson } from "./task-json.ts";

const FILTERS = ["name", "id", "label", "service", "node", "desired-state", "_up-to-date", "runtime"];

export function taskRoutes(context: ApiContext): RegisterRoutes {
  const { store } = context;
  return (router) => {
    router.add("GET", "/tasks", (req) => {
      const me = requireManager(context);
      const isWanted = filterOf(store.view, me, filtersOf(req.query, FILTERS));
      const tasks = shown(store.view, "task").filter(isWanted);
      return { json: tasks.map((t) => taskJson(t, store.view)) };
    });

    router.add("GET", "/tasks/{id}", (req) => {
      requireManager(context);
      return { json: taskJson(find(store.view, "task", param(req, "id")), store.view) };
    });
  };
}

function filterOf(view: View, me: ActiveSwarm, filters: Filters): (task: Task) => boolean {
  // services and nodes may be named by name or by the beginning of their id; unknown ones are an error
  const services = new Set<string>(filters.get("service").map((text) => find(view, "service", text).id));
  const nodes = new Set<string>(
    filters.get("node").map((text) => (text === "self" ? me.nodeId : find(view, "node", text).id)),
  );
  const states = filters.get("desired-state").map((s) => s.toLowerCase());
  const unknown = states.find((s) => !Object.hasOwn(TASK_STATES, s));
  if (unknown !== undefined) throw invalid(`Invalid desired-state filter: '${unknown}'`);
  return (task) =>
    filters.prefix("name", taskName(task)) &&
    filters.prefix("id", task.id) &&
    filters.labels("label", task.serviceLabels) &&
    filters.exact("runtime", "container") &&
    (services.size === 0 || services.has(task.serviceId ?? "")) &&
    (nodes.size === 0 || nodes.has(task.nodeId ?? "")) &&
    (states.length === 0 || states.includes(task.desiredState)) &&
    (!filters.has("_up-to-date") || isUpToDate(view, task));
}

/** Whether the task was made from what its service's spec says of tasks now. */
function isUpToDate(view: View, task: Task): boolean {
  const service = task.serviceId === undefined ? undefined : view.get("service", task.serviceId);
  return service !== undefined && !isOutdated(task, service);
}
