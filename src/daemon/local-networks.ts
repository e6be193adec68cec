// The networks of this host alone as the API lists them: Podman's, and skep's own gateway bridge.

import { createHash } from "node:crypto";
import type { LocalNetworks, NetworkCreateRequest, NetworkResource } from "../api/index.ts";
import { SkepError } from "../model/errors.ts";
import type { NodeNetwork } from "../network/index.ts";
import { containerOf } from "./network-status.ts";

export class HostNetworks implements LocalNetworks {
  readonly #podman: LocalNetworks;
  readonly #network: Pick<NodeNetwork, "gatewayBridge">;
  readonly #since: string;

  /** @param since RFC 3339: shown as the time at which the gateway bridge was made */
  constructor(needs: { podman: LocalNetworks; network: Pick<NodeNetwork, "gatewayBridge">; since: string }) {
    this.#podman = needs.podman;
    this.#network = needs.network;
    this.#since = needs.since;
  }

  async list(): Promise<readonly NetworkResource[]> {
    const gateway = this.#gateway();
    return gateway ? [...(await this.#podman.list()), gateway] : this.#podman.list();
  }

  async inspect(id: string): Promise<NetworkResource | undefined> {
    const gateway = this.#gateway();
    return gateway && (gateway.Id === id || gateway.Name === id) ? gateway : this.#podman.inspect(id);
  }

  async create(request: NetworkCreateRequest) {
    if (request.Name === this.#gateway()?.Name) {
      throw new SkepError("conflict", `network with name ${request.Name} already exists`);
    }
    return this.#podman.create(request);
  }

  async remove(id: string): Promise<void> {
    const gateway = this.#gateway();
    if (gateway?.Id === id) {
      throw new SkepError(
        "forbidden",
        `error while removing network: network ${gateway.Name} id ${id} is the way of this node's tasks to the world`,
      );
    }
    return this.#podman.remove(id);
  }

  #gateway(): NetworkResource | undefined {
    const bridge = this.#network.gatewayBridge();
    if (!bridge.built) return undefined;
    return {
      Name: bridge.name,
      Id: createHash("sha256").update(`gateway bridge ${bridge.name}`).digest("hex"),
      Created: this.#since,
      Scope: "local",
      Driver: "bridge",
      EnableIPv6: false,
      IPAM: { Driver: "default", Options: null, Config: [{ Subnet: bridge.subnet, Gateway: bridge.gateway }] },
      Internal: false,
      Attachable: false,
      Ingress: false,
      ConfigFrom: { Network: "" },
      ConfigOnly: false,
      Containers: Object.fromEntries(bridge.endpoints.map((e) => [e.key, containerOf(e)])),
      Options: {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.name": bridge.name,
      },
      Labels: {},
    };
  }
}
