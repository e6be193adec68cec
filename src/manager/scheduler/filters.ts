// Which nodes a task may go to: a row of filters, each of which can say in Swarm's words why it let none through. Pure.
import { type Constraint, meets, parseConstraints } from "../../model/constraints.ts";
import type { Task } from "../../model/objects.ts";
import type { Placement } from "../../model/spec.ts";
import { hostPorts, type NodeLoad } from "./node-load.ts";

/** Made for one task (or many alike); asked for each node. */
export interface Filter {
  fits(load: NodeLoad): boolean;
  /** @param nodes how many nodes it turned away, at least one */
  explain(nodes: number): string;
}

/** The filters that have something to say about this task, in Swarm's order (manager/scheduler/pipeline.go). */
export function filtersFor(task: Task): Filter[] {
  const placement = task.spec.Placement;
  const filters: (Filter | undefined)[] = [
    ready(task),
    resources(task),
    constraints(placement),
    platform(placement),
    hostPort(task),
    maxReplicas(task),
  ];
  return filters.filter((f) => f !== undefined);
}

/** The result of a walk along the filters. */
export class Verdicts {
  readonly #filters: readonly Filter[];
  readonly #turnedAway: number[];

  constructor(filters: readonly Filter[]) {
    this.#filters = filters;
    this.#turnedAway = filters.map(() => 0);
  }

  /** Whether all filters let the node through; counts the first that does not. */
  admits(load: NodeLoad): boolean {
    const at = this.#filters.findIndex((f) => !f.fits(load));
    if (at < 0) return true;
    this.#turnedAway[at]!++;
    return false;
  }

  /** "no suitable node (…)", the most frequent reason first. */
  explain(): string {
    const reasons = this.#filters.map((f, i) => ({ f, n: this.#turnedAway[i]! })).filter(({ n }) => n > 0);
    if (reasons.length === 0) return "no suitable node";
    reasons.sort((a, b) => b.n - a.n);
    return `no suitable node (${reasons.map(({ f, n }) => f.explain(n)).join("; ")})`;
  }
}

function ready(task: Task): Filter {
  // A node that takes no new tasks still confirms what was made for it: a container of `docker run` is there already.
  const available = (l: NodeLoad) =>
    l.node.spec.Availability === "active" || (!task.serviceId && task.nodeId !== undefined);
  return {
    fits: (l) => l.node.status.state === "ready" && available(l),
    explain: (n) => `${count(n)} not available for new tasks`,
  };
}

function resources(task: Task): Filter | undefined {
  const reserved = task.spec.Resources?.Reservations;
  const cpus = reserved?.NanoCPUs ?? 0;
  const bytes = reserved?.MemoryBytes ?? 0;
  if (cpus === 0 && bytes === 0) return undefined;
  return {
    fits: (l) =>
      l.reservedNanoCPUs + cpus <= l.node.description.resources.nanoCPUs &&
      l.reservedBytes + bytes <= l.node.description.resources.memoryBytes,
    explain: (n) => `insufficient resources on ${count(n)}`,
  };
}

function constraints(placement: Placement | undefined): Filter | undefined {
  const texts = placement?.Constraints ?? [];
  if (texts.length === 0) return undefined;
  const parsed: Constraint[] = parseConstraints(texts);
  return { fits: (l) => meets(l.node, parsed), explain: (n) => `scheduling constraints not satisfied on ${count(n)}` };
}

/** Go's and the kernel's names for the same machines (swarmkit, scheduler/filter.go). */
const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

function platform(placement: Placement | undefined): Filter | undefined {
  const platforms = placement?.Platforms ?? [];
  if (platforms.length === 0) return undefined;
  const arch = (name: string) => ARCHITECTURES[name] ?? name;
  return {
    fits: ({ node: { description } }) =>
      platforms.some(
        (p) =>
          (!p.OS || p.OS === description.platform.os) &&
          (!p.Architecture || arch(p.Architecture) === arch(description.platform.architecture)),
      ),
    explain: (n) => `unsupported platform on ${count(n)}`,
  };
}

function hostPort(task: Task): Filter | undefined {
  const ports = hostPorts(task);
  if (ports.length === 0) return undefined;
  return {
    fits: (l) => !ports.some((p) => l.hostPorts.has(p)),
    explain: (n) => `host-mode port already in use on ${count(n)}`,
  };
}

function maxReplicas(task: Task): Filter | undefined {
  const limit = task.spec.Placement?.MaxReplicas ?? 0;
  if (limit === 0) return undefined;
  return {
    fits: (l) => (l.byService.get(task.serviceId ?? "") ?? 0) < limit,
    explain: () => "max replicas per node limit exceed", // sic
  };
}

function count(nodes: number): string {
  return nodes === 1 ? "1 node" : `${nodes} nodes`;
}
