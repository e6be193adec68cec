// The rules of networks' address ranges: what a user may ask for, and what becomes of it. Pure, shared by the front door (which refuses bad
// input) and the allocator (which hands out what is left). The state of what is handed out is in manager/allocator.
import { SkepError } from "./errors.ts";
import {
  addressOf,
  contains,
  type Family,
  formatIp,
  formatPrefix,
  type Ip,
  lastOf,
  overlaps,
  type Prefix,
  parseCidr,
  parseIp,
  prefixOf,
  sizeOf,
} from "./ip.ts";
import type { Network } from "./objects.ts";
import type { IpamConfig, NetworkSpec } from "./spec.ts";

/** Where swarm-scope networks get their subnets from when nobody says otherwise, and how long those are (swarmkit's defaults). */
export const DEFAULT_ADDR_POOL = ["10.0.0.0/8"];
export const DEFAULT_SUBNET_SIZE = 24;

/** The first VXLAN id goes to the ingress network, the next to users' networks (libnetwork, overlay's vxlanIDStart). */
export const INGRESS_VNI = 4096;
export const FIRST_VNI = 4097;
export const LAST_VNI = 2 ** 24 - 1;
export const VNI_OPTION = "com.docker.network.driver.overlay.vxlanid_list";
export const MTU_OPTION = "com.docker.network.driver.mtu";

/** A subnet as a network uses it. */
export interface SubnetPlan {
  readonly subnet: Prefix;
  readonly gateway: Ip;
  /** Where automatic addresses come from; the whole subnet when absent. */
  readonly ipRange?: Prefix;
  /** Addresses never handed out. */
  readonly reserved: readonly Ip[];
}

/** The VXLAN id that the user asked for, if any. @throws SkepError "invalid" */
export function requestedVni(spec: NetworkSpec): number | undefined {
  const text = spec.Options[VNI_OPTION];
  if (text === undefined || text === "") return undefined;
  const vni = Number(text.split(",")[0]);
  if (!Number.isInteger(vni) || vni < 1 || vni > LAST_VNI)
    throw new SkepError("invalid", `invalid vxlan id value "${text}" passed`);
  return vni;
}

/**
 * The subnet that one IPAM configuration of a user asks for, or nothing when it leaves the subnet open.
 * @throws SkepError "invalid" when its parts don't fit together
 */
export function planSubnet(config: IpamConfig): SubnetPlan | undefined {
  if (!config.Subnet) {
    if (config.IPRange || config.Gateway)
      throw new SkepError("invalid", "user specified IP range or gateway needs a subnet");
    return undefined;
  }
  const { ip, prefix } = parse(() => parseCidr(config.Subnet!), `invalid subnet ${config.Subnet}`);
  if (ip.value !== prefix.base)
    throw new SkepError("invalid", `invalid subnet ${config.Subnet}: it should be ${formatPrefix(prefix)}`);
  if (sizeOf(prefix) < 4n) throw new SkepError("invalid", `subnet ${config.Subnet} has no room for a task`);
  const within = (text: string, what: string): Ip => {
    const found = parse(() => parseIp(addressOf(text)), `invalid ${what} address ${text}`);
    if (!contains(prefix, found)) throw new SkepError("invalid", `no matching subnet for ${what} ${text}`);
    return found;
  };
  const gateway = config.Gateway
    ? within(config.Gateway, "gateway")
    : { family: prefix.family, value: prefix.base + 1n };
  const reserved = Object.values(config.AuxiliaryAddresses ?? {}).map((a) => within(a, "aux-address"));
  if (!config.IPRange) return { subnet: prefix, gateway, reserved };
  const range = parse(() => parseCidr(config.IPRange!), `invalid range ${config.IPRange}`);
  if (range.prefix.family !== prefix.family || range.prefix.length < prefix.length || !contains(prefix, range.ip)) {
    throw new SkepError("invalid", `no matching subnet for range ${config.IPRange}`);
  }
  return { subnet: prefix, gateway, ipRange: range.prefix, reserved };
}

/** The subnets that a network has been given. */
export function subnetsOf(network: Pick<Network, "ipam">): Prefix[] {
  return (network.ipam?.configs ?? []).map((c) => parseCidr(c.subnet).prefix);
}

/**
 * Whether a network may be made as asked, beside those that are. Called at the door; the allocator checks again when it allocates.
 * @param networks the other networks (their allocated subnets, or those they ask for)
 * @param hostRoutes destinations that this host reaches otherwise (a default route is no obstacle)
 * @throws SkepError "invalid", or "forbidden" for overlaps, in Docker's words where it has some
 */
export function checkNetworkSpec(spec: NetworkSpec, networks: readonly Network[], hostRoutes: readonly Prefix[]): void {
  const vni = requestedVni(spec);
  const owner = vni === undefined ? undefined : networks.find((n) => n.driverState?.vni === vni);
  if (owner) throw new SkepError("forbidden", `vxlan id ${vni} is already in use by network ${owner.spec.Name}`);
  const taken = networks.flatMap((n) => (n.ipam ? subnetsOf(n) : askedSubnets(n.spec)));
  for (const { subnet } of plannedSubnets(spec)) {
    if (taken.some((t) => overlaps(t, subnet))) {
      throw new SkepError("forbidden", "invalid pool request: Pool overlaps with other one on this address space");
    }
    const route = obstacle(subnet, hostRoutes);
    if (route) {
      const text = `subnet ${formatPrefix(subnet)} overlaps with the host's route to ${formatPrefix(route)}`;
      throw new SkepError("forbidden", `invalid pool request: ${text}`, { route: formatPrefix(route) });
    }
    taken.push(subnet);
  }
}

/** The subnets that a spec names, checked. @throws SkepError "invalid" */
export function plannedSubnets(spec: NetworkSpec): SubnetPlan[] {
  const plans = (spec.IPAM?.Config ?? []).map(planSubnet).filter((p) => p !== undefined);
  const has6 = plans.some((p) => p.subnet.family === 6);
  if (spec.EnableIPv6 && !has6) throw new SkepError("invalid", "IPv6 is enabled, but no IPv6 subnet was given");
  if (!spec.EnableIPv6 && has6) throw new SkepError("invalid", "an IPv6 subnet was given, but IPv6 is not enabled");
  return plans;
}

/** The route, other than a default one, that stands in a subnet's way. */
export function obstacle(subnet: Prefix, hostRoutes: readonly Prefix[]): Prefix | undefined {
  return hostRoutes.find((r) => r.length > 0 && overlaps(r, subnet));
}

/**
 * The first subnet of the pools that overlaps neither with `taken` nor with a route of the host.
 * @param size prefix length of the subnets
 */
export function nextSubnet(pools: readonly Prefix[], size: number, taken: readonly Prefix[]): Prefix | undefined {
  for (const pool of pools) {
    const length = Math.max(size, pool.length);
    for (let base = pool.base; base <= lastOf(pool); ) {
      const candidate = prefixOf({ family: pool.family, value: base }, length);
      // Step over the whole obstacle at once, so that a /8 in the way does not cost 65,536 steps.
      const inTheWay = taken.find((t) => t.length > 0 && overlaps(t, candidate));
      if (!inTheWay) return candidate;
      base = prefixOf({ family: pool.family, value: max(lastOf(inTheWay), lastOf(candidate)) + 1n }, length).base;
    }
  }
  return undefined;
}

/** Both families' pools of a cluster. */
export function familyOf(pools: readonly Prefix[], family: Family): Prefix[] {
  return pools.filter((p) => p.family === family);
}

/** "10.0.1.5/24": an address with the length of its subnet. */
export function cidrIn(subnet: Prefix, value: bigint): string {
  return `${formatIp({ family: subnet.family, value })}/${subnet.length}`;
}

function askedSubnets(spec: NetworkSpec): Prefix[] {
  return (spec.IPAM?.Config ?? []).flatMap((c) => (c.Subnet ? [parseCidr(c.Subnet).prefix] : []));
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function parse<T>(read: () => T, message: string): T {
  try {
    return read();
  } catch (e) {
    throw new SkepError("invalid", message, {}, e);
  }
}
