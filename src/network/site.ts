// One network's presence on this node: its overlay and its balancer, made at the first local task and removed together. The ingress
// network's balancer also stands on the gateway bridge.

import { setImmediate } from "node:timers/promises";
import { type NetnsRef, RtNetlink } from "../kernel/index.ts";
import type { NetworkAssignment } from "../model/assignment.ts";
import { addressOf, macOf } from "../model/ip.ts";
import type { Log } from "../model/log.ts";
import type { GatewayBridge } from "./gateway-bridge.ts";
import { Balancer } from "./lb/balancer.ts";
import type { LbDriver, VirtualService } from "./lb/driver.ts";
import type { Flows } from "./lb/flows.ts";
import { endpointIdOf, lbNetns, overlayNetns } from "./names.ts";
import { Overlay } from "./overlay.ts";
import type { EndpointStatus } from "./port.ts";

export interface SiteNeeds {
  readonly execRoot: string;
  readonly hostNetns: NetnsRef;
  /** UDP port of VXLAN packets between nodes. */
  readonly vxlanPort: number;
  readonly driver: LbDriver;
  readonly flows: Flows;
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
    const { execRoot, hostNetns, vxlanPort, driver, flows, log } = needs;
    this.network = network;
    this.#owner = execRoot;
    this.#bridge = needs.bridge;
    this.overlay = new Overlay({ netns: overlayNetns(execRoot, network.id), network, hostNetns, port: vxlanPort, log });
    const netns = lbNetns(execRoot, network);
    this.balancer = new Balancer({ netns, overlay: this.overlay, driver, flows, addresses: network.lbAddresses });
  }

  /** Whether this daemon has made it, or taken it over. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Makes what is missing. Quick once that is done. */
  async ensure(services: () => readonly VirtualService[]): Promise<void> {
    if (this.#ready) return;
    this.overlay.ensure();
    await setImmediate(); // each half takes some milliseconds
    await this.balancer.ensure(services());
    if (this.network.ingress) this.#plugIngress();
    await setImmediate();
    this.#ready = true;
  }

  async remove(): Promise<void> {
    this.#ready = false;
    await this.balancer.remove();
    this.overlay.remove();
  }

  /** Published ports come in by the gateway bridge. */
  #plugIngress(): void {
    const { netns } = this.balancer;
    using rt = RtNetlink.open(netns);
    this.#bridge.plug(rt, { owner: "ingress", netns, name: "eth1", address: this.#bridge.ingressAddress() });
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
