// Placement constraints ("node.labels.zone==a"): parsing with Swarm's error texts, and matching against a node. Pure.
import { SkepError } from "./errors.ts";
import { addressOf, contains, parseCidr, parseIp } from "./ip.ts";
import type { Node } from "./objects.ts";

/** The parts of a node that a constraint can speak of. */
export type ConstrainedNode = Pick<Node, "id" | "spec" | "description" | "status">;

export interface Constraint {
  readonly key: string;
  readonly equal: boolean;
  readonly value: string;
}

// Both patterns are swarmkit's (manager/constraint/constraint.go).
const KEY = /^[a-z_][a-z0-9\-_.]+$/i;
const VALUE = /^[a-z0-9:\-_\s.*()?+[\]\\^$|/]+$/i;

/** @throws SkepError "invalid" with Swarm's words */
export function parseConstraints(texts: readonly string[]): Constraint[] {
  return texts.map((text) => {
    const at = /==|!=/.exec(text);
    if (!at) throw new SkepError("invalid", "constraint expected one operator from ==, !=");
    const key = text.slice(0, at.index).trim();
    const value = text.slice(at.index + 2).trim();
    if (!KEY.test(key)) throw new SkepError("invalid", `key '${key}' is invalid`);
    if (!VALUE.test(value)) throw new SkepError("invalid", `value '${value}' is invalid`);
    return { key, equal: at[0] === "==", value };
  });
}

/** Whether a node meets all of them. A key that Swarm doesn't know is never met. */
export function meets(node: ConstrainedNode, constraints: readonly Constraint[]): boolean {
  return constraints.every((c) => {
    if (c.key.toLowerCase() === "node.ip") return matchesAddress(node, c);
    const actual = factOf(node, c.key);
    return actual !== undefined && (actual.toLowerCase() === c.value.toLowerCase()) === c.equal;
  });
}

function factOf(node: ConstrainedNode, key: string): string | undefined {
  const lower = key.toLowerCase();
  switch (lower) {
    case "node.id":
      return node.id;
    case "node.hostname":
      return node.description.hostname;
    case "node.role":
      return node.spec.Role;
    case "node.platform.os":
      return node.description.platform.os;
    case "node.platform.arch":
      return node.description.platform.architecture;
  }
  // A label that a node lacks counts as empty: "!=" is met, "==" is not.
  if (lower.startsWith("node.labels.")) return node.spec.Labels[key.slice("node.labels.".length)] ?? "";
  if (lower.startsWith("engine.labels."))
    return node.description.engine.labels[key.slice("engine.labels.".length)] ?? "";
  return undefined;
}

/** `node.ip` takes an address or a subnet. */
function matchesAddress(node: ConstrainedNode, c: Constraint): boolean {
  try {
    const ip = parseIp(addressOf(node.status.addr));
    const wanted = c.value.includes("/") ? parseCidr(c.value).prefix : undefined;
    const inside = wanted ? contains(wanted, ip) : parseIp(c.value).value === ip.value;
    return inside === c.equal;
  } catch {
    return false; // no address at all matches nothing, as in Swarm
  }
}
