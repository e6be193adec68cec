// What this node's data plane knows of its networks, in the shape in which the API shows it.
import type { NetworkContainer, NetworkStatus, NetworkStatusSource } from "../api/index.ts";
import type { Network } from "../model/objects.ts";
import type { EndpointStatus, NodeNetwork } from "../network/index.ts";
import type { Swarm } from "./swarm.ts";

export class NodeNetworkStatus implements NetworkStatusSource {
  readonly #network: Pick<NodeNetwork, "inspectNetwork">;
  readonly #swarm: Pick<Swarm, "active">;

  constructor(needs: { network: Pick<NodeNetwork, "inspectNetwork">; swarm: Pick<Swarm, "active"> }) {
    this.#network = needs.network;
    this.#swarm = needs.swarm;
  }

  async status(network: Network, verbose: boolean): Promise<NetworkStatus | undefined> {
    const status = this.#network.inspectNetwork(network.id);
    const me = this.#swarm.active();
    if (!status?.built || !me) return undefined;
    return {
      containers: Object.fromEntries(status.endpoints.map((e) => [e.key, containerOf(e)])),
      peers: [{ Name: me.nodeId.slice(0, 12), IP: me.nodeAddr }],
      ...(verbose
        ? {
            services: Object.fromEntries(
              status.services.map((s) => [
                s.name,
                {
                  VIP: s.vip || "<nil>",
                  Ports: s.ports,
                  LocalLBIndex: s.mark,
                  Tasks: s.tasks.map((t) => ({
                    Name: t.name,
                    EndpointID: t.endpointId,
                    EndpointIP: t.endpointIp,
                    Info: { "Host IP": t.hostIp },
                  })),
                },
              ]),
            ),
          }
        : {}),
    };
  }
}

export function containerOf(e: EndpointStatus): NetworkContainer {
  return { Name: e.name, EndpointID: e.endpointId, MacAddress: e.mac, IPv4Address: e.ipv4, IPv6Address: e.ipv6 };
}
