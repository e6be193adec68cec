// Which swarm networks are allowed by themselves, in Docker's words (moby: api/types/network/ipam.go; swarmkit: controlapi/network.go).
// Whether one gets along with the other networks and with the host is address-pool.ts' checkNetworkSpec.
import { MTU_OPTION } from "./address-pool.ts";
import { SkepError } from "./errors.ts";
import { contains, formatPrefix, type Ip, overlaps, type Prefix, parseCidr, parseIp } from "./ip.ts";
import { checkName } from "./names.ts";
import type { IpamConfig, NetworkSpec } from "./spec.ts";

/** What IPv4 demands of every link (RFC 791). */
const MIN_MTU = 68;

/**
 * Every fault of the IPAM part at once, as dockerd lists them.
 * @throws SkepError "invalid": "invalid network config:\n…"
 */
export function checkIpam(configs: readonly IpamConfig[]): void {
  const faults = configs.flatMap(faultsOf);
  if (faults.length > 0) throw new SkepError("invalid", `invalid network config:\n${faults.join("\n")}`);
}

/** @throws SkepError "invalid" in swarmkit's words, without the "rpc error" prefix */
export function validateNetworkSpec(spec: NetworkSpec): void {
  checkName(spec.Name);
  if (spec.Driver !== "overlay") throw new SkepError("invalid", `error during lookup of plugin ${spec.Driver}`);
  const ipam = spec.IPAM?.Driver ?? "default";
  if (ipam !== "default") throw new SkepError("invalid", `error during lookup of plugin ${ipam}`);
  const mtu = spec.Options[MTU_OPTION];
  if (mtu !== undefined && (!/^\d{1,5}$/.test(mtu) || Number(mtu) < MIN_MTU || Number(mtu) > 65_535)) {
    throw new SkepError("invalid", `invalid value for ${MTU_OPTION}: ${mtu}`);
  }
}

function faultsOf(config: IpamConfig): string[] {
  const { Subnet = "", IPRange = "", Gateway = "", AuxiliaryAddresses = {} } = config;
  const subnet = cidrOrNothing(Subnet);
  if (!subnet) return [`invalid subnet ${Subnet}: invalid CIDR block notation`];
  const faults: string[] = [];
  if (subnet.ip.value !== subnet.prefix.base) {
    faults.push(`invalid subnet ${Subnet}: it should be ${formatPrefix(subnet.prefix)}`);
  }
  const range = rangeFault(IPRange, subnet.prefix);
  if (range) faults.push(`invalid ip-range ${IPRange}: ${range}`);
  const gateway = addressFault(Gateway, subnet.prefix);
  if (gateway) faults.push(`invalid gateway ${Gateway}: ${gateway}`);
  for (const [name, address] of Object.entries(AuxiliaryAddresses)) {
    const fault = addressFault(address, subnet.prefix);
    if (fault) faults.push(`invalid auxiliary address ${name}: ${fault}`);
  }
  return faults;
}

function rangeFault(text: string, subnet: Prefix): string | undefined {
  if (text === "") return undefined;
  const range = cidrOrNothing(text);
  if (!range) return "invalid CIDR block notation";
  if (range.prefix.family !== subnet.family) return `parent subnet is an IPv${subnet.family} block`;
  if (range.prefix.length < subnet.length) return `CIDR block is bigger than its parent subnet ${formatPrefix(subnet)}`;
  if (range.ip.value !== range.prefix.base) return `it should be ${formatPrefix(range.prefix)}`;
  if (!overlaps(subnet, range.prefix)) return `parent subnet ${formatPrefix(subnet)} doesn't contain ip-range`;
  return undefined;
}

function addressFault(text: string, subnet: Prefix): string | undefined {
  if (text === "") return undefined;
  const ip = ipOrNothing(text);
  if (!ip) return "invalid address";
  if (ip.family !== subnet.family) return `parent subnet is an IPv${subnet.family} block`;
  if (!contains(subnet, ip)) return `parent subnet ${formatPrefix(subnet)} doesn't contain this address`;
  return undefined;
}

function cidrOrNothing(text: string): ReturnType<typeof parseCidr> | undefined {
  try {
    return parseCidr(text);
  } catch {
    return undefined; // the caller words the fault
  }
}

function ipOrNothing(text: string): Ip | undefined {
  try {
    return parseIp(text);
  } catch {
    return undefined; // the caller words the fault
  }
}
