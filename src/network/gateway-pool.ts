// Which name, subnet and addresses the gateway bridge uses: pure choices. The bridge itself is in gateway-bridge.ts.
import { SkepError } from "../model/errors.ts";
import { formatIp, formatPrefix, lastOf, overlaps, type Prefix, parseCidr } from "../model/ip.ts";

/** Swarm's own name first; ours where somebody else has that. */
const NAMES = ["docker_gwbridge", "skep_gwbridge", ...Array.from({ length: 9 }, (_, i) => `skep_gwbridge${i + 1}`)];

/** Docker's default pools for bridges, without 172.17 (docker0's). */
const SUBNETS = [
  ...Array.from({ length: 14 }, (_, i) => `172.${18 + i}.0.0/16`),
  ...Array.from({ length: 16 }, (_, i) => `192.168.${16 * i}.0/20`),
];

/** The first bridge name that no interface has. @throws SkepError "unavailable" */
export function chooseName(taken: ReadonlySet<string>): string {
  const name = NAMES.find((n) => !taken.has(n));
  if (name === undefined) throw new SkepError("unavailable", "cannot make a gateway bridge: every name is taken");
  return name;
}

/**
 * The first subnet that shares no address with what the host routes. @param preferred tried first
 * @throws SkepError "unavailable"; "invalid" when `preferred` is no IPv4 subnet
 */
export function chooseSubnet(routed: readonly string[], preferred?: string): string {
  const used = routed.map((r) => parseCidr(r).prefix).filter((p) => p.family === 4 && p.length > 0);
  const candidates = [...(preferred === undefined ? [] : [preferred]), ...SUBNETS].map((s) => parseCidr(s).prefix);
  if (candidates[0]!.family !== 4 || candidates[0]!.length > 29) {
    throw new SkepError("invalid", `invalid gateway subnet ${preferred}: not an IPv4 subnet with room for tasks`);
  }
  const free = candidates.find((c) => !used.some((u) => overlaps(u, c)));
  if (free === undefined)
    throw new SkepError("unavailable", "cannot make a gateway bridge: every subnet is routed already");
  return formatPrefix(free);
}

/** Addresses at the start of the subnet that are not for tasks: its own, the gateway's, the ingress sandbox's. */
const RESERVED = 3n;

/**
 * The addresses of one subnet. The first is the gateway's and the second the ingress sandbox's (as it comes about in Swarm); the others are
 * given in turn, so that a freed one is used again last.
 */
export class AddressPool {
  readonly gateway: string;
  readonly ingress: string;
  readonly #prefix: Prefix;
  readonly #used = new Set<bigint>();
  #next: bigint;

  constructor(subnet: string) {
    this.#prefix = parseCidr(subnet).prefix;
    this.gateway = this.#cidr(this.#prefix.base + 1n);
    this.ingress = this.#cidr(this.#prefix.base + 2n);
    this.#next = this.#prefix.base + RESERVED;
  }

  /** Marks an address as in use ("172.18.0.3/16"). */
  claim(cidr: string): void {
    const { value } = parseCidr(cidr).ip;
    this.#used.add(value);
    if (value >= this.#next) this.#next = value + 1n;
  }

  /** @throws SkepError "unavailable" when all are in use */
  take(): string {
    const first = this.#prefix.base + RESERVED;
    const end = lastOf(this.#prefix); // the broadcast address
    for (let tries = end - first; tries > 0n; tries--) {
      if (this.#next >= end || this.#next < first) this.#next = first;
      const value = this.#next++;
      if (this.#used.has(value)) continue;
      this.#used.add(value);
      return this.#cidr(value);
    }
    throw new SkepError("unavailable", `no free address in ${formatPrefix(this.#prefix)}`);
  }

  release(cidr: string): void {
    this.#used.delete(parseCidr(cidr).ip.value);
  }

  #cidr(value: bigint): string {
    return `${formatIp({ family: 4, value })}/${this.#prefix.length}`;
  }
}
