// One network's presence on this node: its overlay and its balancer, made at the first local task (the ingress network: at once) and removed together. The ingress
// network's balancer also stands on the gateway bridge.

import { setImmediate } from "node:timers/promises";
import { type NetnsRef, RtNetlink } from "../kernel/index.ts";
import type { NetworkAssignment } from "../model/assignment.ts";
import { addressOf, macOf } from "../model/ip.ts";
import type { Log } from "../model/log.ts";
import type { Chores } from "./chores.ts";
import type { GatewayBridge } from "./gateway-bridge.ts";
import { Balancer } from "./lb/balancer.ts";
import type { LbDriver, VirtualService } from "./lb/driver.ts";
import { endpointIdOf, lbNetns, overlayNetns } from "./names.ts";
import type { Namespaces } from "./namespaces.ts";
import { Overlay } from "./overlay.ts";
import type { EndpointStatus } from "./port.ts";

/** Owner of the cable to the ingress sandbox. */
const INGRESS = "ingress";

export interface SiteNeeds {
  readonly execRoot: string;
  readonly hostNetns: NetnsRef;
  /** UDP port of VXLAN packets between nodes. */
  readonly vxlanPort: () => number;
  readonly driver: LbDriver;
  readonly chores: Chores;
  readonly namespaces: Namespaces;
  readonly bridge: GatewayBridge;
  readonly log: Log;
}

export class Site {
  readonly network: NetworkAssignment;
  readonly overlay: Overlay;
  readonly balancer: Balancer;
  readonly #owner: string;
  readonly #bridge: GatewayBridge;
  #ready = false;

  constructor(needs: SiteNeeds, network: NetworkAssignment) {
    const { execRoot, hostNetns, vxlanPort, namespaces, driver, chores, log } = needs;
    this.network = network;
    this.#owner = execRoot;
    this.#bridge = needs.bridge;
    this.overlay = new Overlay({
      netns: overlayNetns(execRoot, network.id),
      network,
      hostNetns,
      port: vxlanPort(),
      namespaces,
      chores,
      log,
    });
    const netns = lbNetns(execRoot, network);
    const { overlay } = this;
    this.balancer = new Balancer({ netns, overlay, namespaces, driver, chores, addresses: network.lbAddresses });
  }

  /** Whether this daemon has made it, or taken it over. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Makes what is missing. Quick once that is done. */
  async ensure(services: () => readonly VirtualService[]): Promise<void> {
    if (this.#ready) return;
    await this.overlay.ensure();
    await setImmediate(); // each part takes some milliseconds
    await this.balancer.ensure(services());
    await setImmediate();
    if (this.network.ingress) await this.#plugIngress();
    this.#ready = true;
  }

  remove(): void {
    this.#ready = false;
    this.balancer.remove();
    this.overlay.remove();
  }

  /** Published ports come in by the gateway bridge. */
  async #plugIngress(): Promise<void> {
    const { netns } = this.balancer;
    await this.#bridge.ensure();
    await setImmediate();
    using rt = RtNetlink.open(netns);
    this.#bridge.plug(rt, { owner: INGRESS, netns, name: "eth1", address: this.#bridge.ingressAddress });
    await setImmediate();
  }

  /** What published ports come in by, as inspect of the gateway bridge shows it; none but the ingress network's has one. */
  gatewayEndpoint(): EndpointStatus | undefined {
    if (!this.network.ingress || !this.#ready) return undefined;
    const address = this.#bridge.ingressAddress;
    return {
      key: "ingress-sbox",
      name: "gateway_ingress-sbox",
      endpointId: endpointIdOf(this.#owner, "gateway"),
      mac: macOf(address),
      ipv4: address,
      ipv6: "",
    };
  }

  /** The balancer's endpoint, as network inspect shows it. */
  lbEndpoint(): EndpointStatus {
    const { name, id, ingress, lbAddresses } = this.network;
    const v4 = lbAddresses.find((a) => !a.includes(":")) ?? "";
    return {
      key: ingress ? "ingress-sbox" : `lb-${name}`,
      name: `${name}-endpoint`,
      endpointId: endpointIdOf(this.#owner, id),
      mac: v4 === "" ? "" : macOf(addressOf(v4)),
      ipv4: v4,
      ipv6: lbAddresses.find((a) => a.includes(":")) ?? "",
    };
  }
}
