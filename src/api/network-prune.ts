// `POST /networks/prune`: removes the networks that nobody uses, the swarm's and this host's own.
import { hasCode } from "../model/errors.ts";
import type { ApiContext, NetworkResource } from "./context.ts";
import { invalid } from "./errors.ts";
import { type Filters, filtersOf } from "./filters.ts";
import { shown } from "./find.ts";
import { isPredefined } from "./find-network.ts";
import { isNetworkUsed } from "./network-removal.ts";

/** The names of what was removed, as `NetworksDeleted`; null when nothing was, as dockerd. */
export async function pruneNetworks(
  context: ApiContext,
  query: URLSearchParams,
): Promise<{ readonly NetworksDeleted: readonly string[] | null }> {
  const filters = filtersOf(query, ["label", "label!", "until"]);
  const before = untilOf(filters, context.clock.now());
  const deleted: string[] = [];
  for (const network of await context.localNetworks.list()) {
    if (!isPrunable(network, filters, before)) continue;
    if (await removeUnused(context, network)) deleted.push(network.Name);
  }
  if (context.swarm.active()?.manager) deleted.push(...(await pruneSwarm(context, filters, before)));
  return { NetworksDeleted: deleted.length > 0 ? deleted : null };
}

async function pruneSwarm(context: ApiContext, filters: Filters, before: number): Promise<string[]> {
  const { store } = context;
  const wanted = shown(store.view, "network").filter(
    ({ spec, createdAt }) =>
      !spec.Ingress && isPrunable({ ...spec, Created: createdAt, Ingress: spec.Ingress }, filters, before),
  );
  return store.update((tx) => {
    const unused = wanted.filter((n) => tx.get("network", n.id) && !isNetworkUsed(tx, n.id));
    for (const network of unused) tx.remove("network", network.id);
    return unused.map((n) => n.spec.Name);
  });
}

async function removeUnused(context: ApiContext, network: NetworkResource): Promise<boolean> {
  try {
    await context.localNetworks.remove(network.Id);
    return true;
  } catch (e) {
    // in use, or gone meanwhile: not for pruning
    if (hasCode(e, "forbidden") || hasCode(e, "conflict") || hasCode(e, "not_found")) return false;
    throw e;
  }
}

function isPrunable(
  network: Pick<NetworkResource, "Name" | "Ingress" | "Labels" | "Created">,
  filters: Filters,
  before: number,
): boolean {
  const labels = network.Labels ?? {};
  const excluded = filters.has("label!") && filters.labels("label!", labels);
  return !isPredefined(network) && filters.labels("label", labels) && !excluded && Date.parse(network.Created) < before;
}

/** `until`: seconds since the epoch, a date, or a duration back from now ("24h", "1h30m"). */
function untilOf(filters: Filters, nowMs: number): number {
  const [text, ...more] = filters.get("until");
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (more.length > 0) throw invalid("more than one until filter specified");
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (/^(\d+(\.\d+)?(h|m|s|ms))+$/.test(text)) {
    const unitMs = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)];
    return nowMs - parts.reduce((sum, p) => sum + Number(p[1]) * unitMs[p[2] as keyof typeof unitMs], 0);
  }
  const date = Date.parse(text);
  if (Number.isNaN(date)) throw invalid(`invalid until filter: ${JSON.stringify(text)}`);
  return date;
}
