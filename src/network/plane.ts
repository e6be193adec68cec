// What the parts of the data plane have in common: node-network.ts is it, upkeep.ts works on it.
import type { NetworkId } from "../model/ids.ts";
import type { Log } from "../model/log.ts";
import type { Desired, SandboxRecord } from "./desired.ts";
import type { DnsServer } from "./dns/index.ts";
import type { GatewayBridge } from "./gateway-bridge.ts";
import type { VirtualService } from "./lb/driver.ts";
import type { Flows } from "./lb/flows.ts";
import type { NftDriver } from "./lb/nft.ts";
import type { Marks } from "./marks.ts";
import type { Naming } from "./naming.ts";
import type { Sandboxes } from "./sandbox.ts";
import type { Site } from "./site.ts";

export interface Plane {
  readonly execRoot: string;
  readonly log: Log;
  readonly desired: Desired;
  readonly sites: Map<NetworkId, Site>;
  readonly marks: Marks;
  readonly bridge: GatewayBridge;
  readonly sandboxes: Sandboxes;
  readonly naming: Naming;
  readonly dns: DnsServer;
  readonly driver: NftDriver;
  readonly flows: Flows;
  /** The network's site, made if need be (not yet built). @throws SkepError "not_found" */
  siteOf(id: NetworkId): Site;
  /** What a network's balancer should do now. */
  servicesOn(id: NetworkId): VirtualService[];
  listen(record: SandboxRecord): Promise<void>;
  /** Takes a sandbox away altogether. */
  forget(id: string): Promise<void>;
}
