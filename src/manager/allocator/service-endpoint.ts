// A service's endpoint: its VIPs and published ports. Addresses of tasks are in task-addresses.ts.
import { isDeepStrictEqual } from "node:util";
import { SkepError } from "../../model/errors.ts";
import type { NetworkId } from "../../model/ids.ts";
import type { Network, Service, ServiceEndpoint, VirtualIp } from "../../model/objects.ts";
import { networkConfigs } from "../../model/outdated.ts";
import { usesIngress } from "../../model/published-ports.ts";
import type { View } from "../../store/index.ts";
import type { Books } from "./books.ts";

/** The network that carries published ports to any node, once it is there. */
export function ingressOf(view: View): Network | undefined {
  return view.all("network").find((n) => n.spec.Ingress);
}

/** A network that addresses can be had from. @throws SkepError "unavailable" with the reason for the user */
export function allocatedNetwork(view: View, id: string): Network {
  const network = view.get("network", id);
  if (!network) throw new SkepError("unavailable", `network ${id} not found`);
  if (!network.ipam)
    throw new SkepError("unavailable", network.allocationError ?? `network ${network.spec.Name} is not allocated yet`);
  return network;
}

/** The networks on which the service has a VIP, the ingress network first. @throws SkepError "unavailable" when one is not there */
function vipNetworks(view: View, service: Service): Network[] {
  if (service.spec.EndpointSpec?.Mode === "dnsrr") return [];
  const ids = new Set<string>();
  if (usesIngress(service)) {
    const ingress = ingressOf(view);
    if (!ingress)
      throw new SkepError("unavailable", "service needs ingress network, but no ingress network is present");
    ids.add(ingress.id);
  }
  for (const config of networkConfigs(service)) ids.add(config.Target ?? "");
  return [...ids].map((id) => allocatedNetwork(view, id));
}

/** Whether the endpoint is the one that the spec asks for. */
export function isEndpointCurrent(view: View, service: Service): boolean {
  const endpoint = service.endpoint;
  if (!endpoint || !isDeepStrictEqual(endpoint.spec, service.spec.EndpointSpec ?? {})) return false;
  const has = endpoint.virtualIPs.map((v) => v.networkId);
  const ingress = usesIngress(service) ? [ingressOf(view)?.id] : [];
  const wants =
    service.spec.EndpointSpec?.Mode === "dnsrr" ? [] : [...ingress, ...networkConfigs(service).map((n) => n.Target)];
  return isDeepStrictEqual(has as string[], [...new Set(wants)]);
}

/**
 * The endpoint that the spec asks for; VIPs and ports that it had and still needs stay the same.
 * @throws SkepError when it cannot be had: nothing has changed in the books then
 */
export function allocateEndpoint(view: View, books: Books, service: Service): ServiceEndpoint {
  const networks = vipNetworks(view, service);
  const wanted = new Set(networks.map((n) => n.id));
  const had = new Map((service.endpoint?.virtualIPs ?? []).map((v) => [v.networkId, v]));
  const fresh = new Set<NetworkId>();
  try {
    const virtualIPs = networks.map((network): VirtualIp => {
      const old = had.get(network.id);
      if (old) return old;
      const [addr, addr6] = books.pools.take(network, service.id);
      fresh.add(network.id);
      return { networkId: network.id, addr: addr!, ...(addr6 ? { addr6 } : {}) };
    });
    const wantedPorts = service.spec.EndpointSpec?.Ports ?? [];
    const ports = books.ports.assign(wantedPorts, service.endpoint?.ports ?? [], service.id);
    books.pools.release(service.id, (id) => !wanted.has(id));
    return { spec: service.spec.EndpointSpec ?? {}, ports, virtualIPs };
  } catch (e) {
    books.pools.release(service.id, (id) => fresh.has(id));
    throw e;
  }
}
