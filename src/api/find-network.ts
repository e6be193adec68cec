// Which network a path or a user means, among the swarm's and this host's own: by id, then by name, then by the beginning of the id, with
// the texts of moby's network router.
import type { ApiContext, ConnectTarget, NetworkResource } from "./context.ts";
import { invalid, notFound } from "./errors.ts";
import { shown } from "./find.ts";

/** Networks that come with the engine or the swarm: never pruned, "builtin" to filters. */
const PREDEFINED = new Set(["bridge", "host", "none", "docker_gwbridge", "ingress"]);

export function isPredefined(network: Pick<NetworkResource, "Name" | "Ingress">): boolean {
  return PREDEFINED.has(network.Name) || network.Ingress;
}

/** @throws SkepError "not_found"; "invalid" when several begin so */
export async function findNetwork(
  context: ApiContext,
  text: string,
  scope?: "swarm" | "local",
): Promise<ConnectTarget> {
  const swarm = scope !== "local" && context.swarm.active()?.manager ? shown(context.store.view, "network") : [];
  // most requests are about swarm networks: those need no question to the engine
  const direct = swarm.find((n) => n.id === text) ?? swarm.find((n) => n.spec.Name === text);
  if (direct) return { swarm: direct };
  const local = scope === "swarm" ? [] : await context.localNetworks.list();
  const known = local.find((n) => n.Id === text) ?? local.find((n) => n.Name === text);
  if (known) return { local: known };
  const found: ConnectTarget[] = [
    ...swarm.filter((n) => n.id.startsWith(text)).map((n) => ({ swarm: n })),
    ...local.filter((n) => n.Id.startsWith(text)).map((n) => ({ local: n })),
  ];
  if (found.length > 1) {
    throw invalid(`network ${text} is ambiguous (${found.length} matches found based on ID prefix)`);
  }
  if (!found[0]) throw notFound("network", text);
  return found[0];
}
