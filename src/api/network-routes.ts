// Networks: the swarm's, which live in the store, and this host's own, which are the container engine's. Finding and removing them are in
// find-network.ts and network-removal.ts; their JSON is in network-json.ts.
import { checkNetworkSpec } from "../model/address-pool.ts";
import { SkepError } from "../model/errors.ts";
import { type NetworkId, newId } from "../model/ids.ts";
import { parseCidr } from "../model/ip.ts";
import type { NetworkSpec } from "../model/spec.ts";
import { checkIpam, validateNetworkSpec } from "../model/validate-network.ts";
import type { ApiContext, ConnectTarget, NetworkCreateRequest, NetworkResource } from "./context.ts";
import { decode } from "./decode.ts";
import { invalid, rpcError } from "./errors.ts";
import { type Filters, filtersOf } from "./filters.ts";
import { shown } from "./find.ts";
import { findNetwork, isPredefined } from "./find-network.ts";
import { asRpc, requireManager } from "./guard.ts";
import { type ApiRequest, boolParam, jsonBody, param } from "./http.ts";
import { networkJson } from "./network-json.ts";
import { pruneNetworks } from "./network-prune.ts";
import { isNetworkUsed, removeSwarmNetwork } from "./network-removal.ts";
import type { RegisterRoutes } from "./router.ts";
import { networkConnect, networkCreate, networkDisconnect } from "./shapes-swarm.ts";
import { refuseNetwork } from "./unsupported.ts";

const FILTERS = ["dangling", "driver", "id", "label", "name", "scope", "type"];

export function networkRoutes(context: ApiContext): RegisterRoutes {
  const { store, localNetworks, connections } = context;
  return (router) => {
    router.add("GET", "/networks", async (req) => {
      const filters = filtersOf(req.query, FILTERS);
      const isWanted = filterOf(context, filters);
      const swarm = context.swarm.active()?.manager ? shown(store.view, "network") : [];
      const all = [...swarm.map((n) => networkJson(n, undefined, req.minor)), ...(await localNetworks.list())];
      return { json: all.filter(isWanted) };
    });

    router.add("POST", "/networks/create", async (req) => {
      const request = decode(networkCreate, await jsonBody(req));
      const swarm = request.Driver === "overlay" || request.Scope === "swarm" || request.Ingress;
      const made = swarm ? await createSwarmNetwork(context, request) : await createLocal(context, request);
      return { status: 201, json: made };
    });

    router.add("POST", "/networks/prune", async (req) => ({ json: await pruneNetworks(context, req.query) }));

    router.add("GET", "/networks/{id}", async (req) => {
      const verbose = boolParam(req.query, "verbose");
      const target = await findNetwork(context, param(req, "id"), scopeOf(req));
      if ("local" in target) return { json: (await localNetworks.inspect(target.local.Id)) ?? target.local };
      const status = await context.networkStatus.status(target.swarm, verbose);
      return { json: networkJson(target.swarm, status, req.minor) };
    });

    router.add("DELETE", "/networks/{id}", async (req) => {
      const target = await findNetwork(context, param(req, "id"));
      if ("local" in target) await localNetworks.remove(target.local.Id);
      else await removeSwarmNetwork(context, target.swarm, req.signal);
      return { status: 204 };
    });

    router.add("POST", "/networks/{id}/connect", async (req) => {
      const request = decode(networkConnect, await jsonBody(req));
      await connections.connect(await targetOf(context, req, request.Container), request);
      return {};
    });

    router.add("POST", "/networks/{id}/disconnect", async (req) => {
      const request = decode(networkDisconnect, await jsonBody(req));
      await connections.disconnect(await targetOf(context, req, request.Container), request);
      return {};
    });
  };
}

function targetOf(context: ApiContext, req: ApiRequest, container: string): Promise<ConnectTarget> {
  if (container === "") throw invalid("invalid container name or ID: value is empty");
  return findNetwork(context, param(req, "id"));
}

function scopeOf(req: ApiRequest): "swarm" | "local" | undefined {
  const scope = req.query.get("scope") ?? "";
  if (scope === "swarm" || scope === "local") return scope;
  if (scope === "" || scope === "global") return undefined;
  throw invalid(`Invalid filter 'scope=${scope}'`);
}

function filterOf(context: ApiContext, filters: Filters): (network: NetworkResource) => boolean {
  const dangling = danglingOf(filters);
  for (const type of filters.get("type")) {
    if (type !== "custom" && type !== "builtin") throw invalid(`Invalid filter 'type=${type}'`);
  }
  for (const scope of filters.get("scope")) {
    if (!["swarm", "local", "global"].includes(scope)) throw invalid(`Invalid filter 'scope=${scope}'`);
  }
  return (n) =>
    filters.exact("driver", n.Driver) &&
    filters.match("id", n.Id) &&
    filters.match("name", n.Name) &&
    filters.labels("label", n.Labels ?? {}) &&
    filters.exact("scope", n.Scope) &&
    filters.exact("type", isPredefined(n) ? "builtin" : "custom") &&
    (dangling === undefined || dangling === isDangling(context, n));
}

function danglingOf(filters: Filters): boolean | undefined {
  if (!filters.has("dangling")) return undefined;
  const [value, ...more] = filters.get("dangling");
  if (more.length === 0 && (value === "true" || value === "1")) return true;
  if (more.length === 0 && (value === "false" || value === "0")) return false;
  throw invalid(`Invalid filter 'dangling=${filters.get("dangling").join(",")}'`);
}

function isDangling(context: ApiContext, network: NetworkResource): boolean {
  if (isPredefined(network)) return false;
  if (network.Scope === "swarm") return !isNetworkUsed(context.store.view, network.Id as NetworkId);
  return Object.keys(network.Containers ?? {}).length === 0;
}

async function createLocal(context: ApiContext, request: NetworkCreateRequest) {
  if (request.ConfigOnly || request.ConfigFrom?.Network) {
    throw new SkepError("unimplemented", "config-only networks are not supported");
  }
  checkIpam(request.IPAM?.Config ?? []);
  refuseTaken(context, request.Name ?? "");
  return context.localNetworks.create(request);
}

async function createSwarmNetwork(context: ApiContext, request: NetworkCreateRequest) {
  const { store, localNetworks } = context;
  requireManager(context);
  const driver = request.Driver ?? "overlay";
  if (driver !== "overlay") {
    throw new SkepError("unimplemented", `network driver ${JSON.stringify(driver)} is not supported in swarm scope`);
  }
  const name = request.Name ?? "";
  refuseTaken(context, name);
  if ((await localNetworks.list()).some((n) => n.Name === name)) throw taken(name);
  checkIpam(request.IPAM?.Config ?? []);
  const spec = specOf(request);
  asRpc(() => validateNetworkSpec(spec));
  refuseNetwork(spec, context.features);
  const id = newId<NetworkId>();
  const routes = context.hostRoutes().map((r) => parseCidr(r).prefix);
  await store.update((tx) => {
    const networks = tx.all("network");
    if (networks.some((n) => n.spec.Name.toLowerCase() === name.toLowerCase())) throw taken(name);
    const mesh = networks.find((n) => n.spec.Ingress);
    if (spec.Ingress && mesh) throw rpcError("AlreadyExists", `ingress network (${mesh.id}) is already present`);
    checkNetworkSpec(spec, networks, routes);
    tx.create<"network">({ kind: "network", id, spec });
  });
  return { Id: id, Warning: "" };
}

function refuseTaken(context: ApiContext, name: string): void {
  if (context.store.view.byName("network", name).length > 0) throw taken(name);
}

function taken(name: string): SkepError {
  return new SkepError("conflict", `network with name ${name} already exists`);
}

function specOf(request: NetworkCreateRequest): NetworkSpec {
  const { IPAM } = request;
  return {
    Name: request.Name ?? "",
    Labels: request.Labels ?? {},
    Driver: "overlay",
    Options: request.Options ?? {},
    ...(IPAM && {
      IPAM: {
        Driver: IPAM.Driver ?? "default",
        ...(IPAM.Options && { Options: IPAM.Options }),
        ...(IPAM.Config && { Config: IPAM.Config }),
      },
    }),
    EnableIPv6: request.EnableIPv6 ?? false,
    Internal: request.Internal ?? false,
    Attachable: request.Attachable ?? false,
    Ingress: request.Ingress ?? false,
  };
}
