// How what we make on a host is named: ids, namespace files, interfaces. Deterministic, so that a daemon finds again what an earlier one made.
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { NetworkId, TaskId } from "../model/ids.ts";

/** Lengths as in libnetwork: sandbox keys are the first 12 of the id, overlay namespaces "1-" and 10, balancers "lb_" and 9. */
const SANDBOX_KEY = 12;
const OVERLAY_KEY = 10;
const LB_KEY = 9;

function hexId(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex");
}

/** The id of a task's sandbox: 64 hex digits, always the same. */
export function sandboxIdOf(taskId: TaskId): string {
  return hexId("sandbox", taskId);
}

/** The id of an endpoint: of a sandbox (or balancer) on a network, or on the gateway bridge. */
export function endpointIdOf(owner: string, network: string): string {
  return hexId("endpoint", owner, network);
}

/** The name under which libnetwork users know a sandbox: the first 12 digits of its id. */
export function sandboxKey(sandboxId: string): string {
  return sandboxId.slice(0, SANDBOX_KEY);
}

export function netnsDir(execRoot: string): string {
  return join(execRoot, "netns");
}

export function sandboxNetns(execRoot: string, sandboxId: string): string {
  return join(netnsDir(execRoot), sandboxKey(sandboxId));
}

/** "1-<network id, 10>": the namespace of the network's bridge. */
export function overlayNetns(execRoot: string, networkId: NetworkId): string {
  return join(netnsDir(execRoot), `1-${networkId.slice(0, OVERLAY_KEY)}`);
}

/** "lb_<network id, 9>", or "ingress_sbox": the namespace of the network's balancer. */
export function lbNetns(execRoot: string, network: { readonly id: NetworkId; readonly ingress: boolean }): string {
  return join(netnsDir(execRoot), network.ingress ? "ingress_sbox" : `lb_${network.id.slice(0, LB_KEY)}`);
}

/** The end on the gateway bridge of a sandbox's cable: "veth" and 7 hex digits, as Docker's look, but the same for the same sandbox. */
export function gatewayVeth(execRoot: string, owner: string): string {
  return `veth${hexId("gateway", execRoot, owner).slice(0, 7)}`;
}
