// What should be done about one service: the steps in their order. Pure; service-loop.ts carries it out.
import type { Task } from "../../model/objects.ts";
import { Draft, type Plan, type Situation } from "./draft.ts";
import { raiseStep } from "./raise-step.ts";
import { restartStep } from "./restart-step.ts";
import { isWelcoming, scaleGlobal, scaleReplicated } from "./scale-step.ts";
import { updateStep } from "./update-step.ts";

/** Plans for a service whose mode is known. Job modes have no plan yet: the front door refuses them. */
export function planService(situation: Situation): Plan {
  if (situation.service.pendingDelete) return planRemoval(situation.tasks, true);
  const { Replicated, Global } = situation.service.spec.Mode;
  if (!Replicated && !Global) return { actions: [] };
  const draft = new Draft(situation);
  // A global service's slot is its node: no replacement where it is not welcome.
  restartStep(draft, (task) => Replicated !== undefined || isWelcoming(draft.nodes.get(task.key as never)));
  if (Replicated) scaleReplicated(draft);
  else scaleGlobal(draft);
  updateStep(draft);
  raiseStep(draft);
  return draft.plan();
}

/** For a service that is removed, or is not there at all: its tasks go, and when the last has gone, the service. */
export function planRemoval(tasks: readonly Task[], isStored: boolean): Plan {
  if (tasks.length === 0) return { actions: isStored ? [{ do: "delete" }] : [] };
  const left = tasks.filter((task) => task.desiredState !== "remove");
  return { actions: left.map((task) => ({ do: "wish", task, desired: "remove" })) };
}
