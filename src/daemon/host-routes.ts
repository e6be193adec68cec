// Which prefixes this host reaches by ways that are not skep's: networks must keep clear of them.
import { RtNetlink } from "../kernel/index.ts";
import { formatPrefix, type Prefix, parseCidr } from "../model/ip.ts";
import type { Cidr } from "../model/objects.ts";

/** Every destination of the main routing tables of this namespace but the default routes and those of the gateway bridge. */
export function hostRoutes(gatewayBridge: string): readonly Prefix[] {
  using rt = RtNetlink.open();
  const bridge = rt.link(gatewayBridge)?.ifindex;
  return rt
    .routes()
    .filter((r) => r.dst !== "default" && r.type === "unicast" && r.ifindex !== bridge)
    .map((r) => parseCidr(r.dst).prefix);
}

export function toCidrs(prefixes: readonly Prefix[]): readonly Cidr[] {
  return prefixes.map(formatPrefix);
}
