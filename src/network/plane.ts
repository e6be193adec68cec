// What the parts of the data plane have in common: node-network.ts is it, upkeep.ts works on it.
import type { Log } from "../model/log.ts";
import type { Chores } from "./chores.ts";
import type { Desired } from "./desired.ts";
import type { DnsServer } from "./dns/index.ts";
import type { DockerNetnsView } from "./docker-netns.ts";
import type { GatewayBridge } from "./gateway-bridge.ts";
import type { NftDriver } from "./lb/nft.ts";
import type { Marks } from "./marks.ts";
import type { Namespaces } from "./namespaces.ts";
import type { Naming } from "./naming.ts";
import type { Sandboxes } from "./sandbox.ts";
import type { SandboxLife } from "./sandbox-life.ts";
import type { Sites } from "./sites.ts";

export interface Plane {
  readonly execRoot: string;
  readonly log: Log;
  readonly desired: Desired;
  readonly namespaces: Namespaces;
  /** Only the host's one daemon, with the default exec root, has it. */
  readonly view: DockerNetnsView | undefined;
  readonly sites: Sites;
  readonly marks: Marks;
  readonly bridge: GatewayBridge;
  readonly sandboxes: Sandboxes;
  readonly life: SandboxLife;
  readonly naming: Naming;
  readonly dns: DnsServer;
  readonly driver: NftDriver;
  readonly chores: Chores;
}
