// What a new network gets: its VXLAN id and its subnets. Pure; the rules it shares with the front door are in model/address-pool.ts.
import {
  FIRST_VNI,
  familyOf,
  INGRESS_VNI,
  LAST_VNI,
  nextSubnet,
  obstacle,
  plannedSubnets,
  requestedVni,
  type SubnetPlan,
  subnetsOf,
} from "../../model/address-pool.ts";
import { SkepError } from "../../model/errors.ts";
import { formatIp, formatPrefix, overlaps, type Prefix, parseCidr } from "../../model/ip.ts";
import type { Cluster, Network } from "../../model/objects.ts";

export interface NetworkPlan {
  readonly driverState: NonNullable<Network["driverState"]>;
  readonly ipam: NonNullable<Network["ipam"]>;
}

/**
 * @param others the networks that are already allocated
 * @param firstVni where to look for a free VXLAN id; goes round, so that an id rests after use
 * @throws SkepError when the network cannot be had: the message is for the user
 */
export function planNetwork(
  network: Network,
  others: readonly Network[],
  cluster: Pick<Cluster, "defaultAddrPool" | "subnetSize">,
  hostRoutes: readonly Prefix[],
  firstVni = FIRST_VNI,
): NetworkPlan {
  const taken = others.flatMap(subnetsOf);
  const plans = plannedSubnets(network.spec);
  for (const { subnet } of plans) {
    if (taken.some((t) => overlaps(t, subnet)))
      throw new SkepError("forbidden", `subnet ${formatPrefix(subnet)} overlaps with that of another network`);
    const route = obstacle(subnet, hostRoutes);
    if (route)
      throw new SkepError(
        "forbidden",
        `subnet ${formatPrefix(subnet)} overlaps with the host's route to ${formatPrefix(route)}`,
      );
  }
  if (!plans.some((p) => p.subnet.family === 4)) {
    const pools = familyOf(
      cluster.defaultAddrPool.map((p) => parseCidr(p).prefix),
      4,
    );
    const subnet = nextSubnet(pools, cluster.subnetSize, [...taken, ...hostRoutes]);
    if (!subnet)
      throw new SkepError(
        "unavailable",
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
      );
    plans.unshift({ subnet, gateway: { family: 4, value: subnet.base + 1n }, reserved: [] });
  }
  return { driverState: { vni: planVni(network, others, firstVni) }, ipam: { configs: plans.map(configOf) } };
}

function planVni(network: Network, others: readonly Network[], from: number): number {
  const taken = new Set(others.map((n) => n.driverState?.vni));
  const asked = requestedVni(network.spec);
  if (asked !== undefined) {
    if (taken.has(asked)) throw new SkepError("forbidden", `vxlan id ${asked} is already in use by another network`);
    return asked;
  }
  if (network.spec.Ingress && !taken.has(INGRESS_VNI)) return INGRESS_VNI;
  let vni = from;
  while (taken.has(vni)) vni = vni >= LAST_VNI ? FIRST_VNI : vni + 1;
  return vni;
}

function configOf(plan: SubnetPlan): NetworkPlan["ipam"]["configs"][number] {
  return {
    subnet: formatPrefix(plan.subnet),
    gateway: formatIp(plan.gateway),
    ...(plan.ipRange ? { ipRange: formatPrefix(plan.ipRange) } : {}),
  };
}
