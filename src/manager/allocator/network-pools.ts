// The addresses of all networks: one book of who holds what, rebuilt from the store at the start. One subnet's order is in address-space.ts.
import { cidrIn } from "../../model/address-pool.ts";
import { SkepError } from "../../model/errors.ts";
import type { NetworkId } from "../../model/ids.ts";
import { addressOf, type Family, parseCidr, parseIp } from "../../model/ip.ts";
import type { Cidr, Network } from "../../model/objects.ts";
import { AddressSpace } from "./address-space.ts";

interface Held {
  readonly networkId: NetworkId;
  readonly addr: Cidr;
}

/** Owners are object ids: a task's, a service's (its VIPs), a node's (its load balancer endpoints), or the network's own. */
export class NetworkPools {
  readonly #spaces = new Map<NetworkId, AddressSpace[]>();
  readonly #held = new Map<string, Held[]>();

  /** Opens an allocated network's book: its gateways and the addresses its user reserved are taken from the start. */
  open(network: Network): void {
    if (this.#spaces.has(network.id) || !network.ipam) return;
    const aux = (network.spec.IPAM?.Config ?? []).flatMap((c) => Object.values(c.AuxiliaryAddresses ?? {}));
    const spaces = network.ipam.configs.map((config) => {
      const subnet = parseCidr(config.subnet).prefix;
      const space = new AddressSpace(subnet, config.ipRange ? parseCidr(config.ipRange).prefix : subnet);
      for (const own of [config.gateway, ...aux]) space.reserve(parseIp(addressOf(own)), network.id);
      return space;
    });
    this.#spaces.set(network.id, spaces);
  }

  /** The network is gone, and all its addresses with it. */
  close(id: NetworkId): void {
    this.#spaces.delete(id);
  }

  isOpen(id: NetworkId): boolean {
    return this.#spaces.has(id);
  }

  /**
   * One address of each of the network's families.
   * @param leave so many must be left over
   * @throws SkepError "unavailable" in Docker's words when there is none left; nothing is taken then
   */
  take(network: Network, owner: string, leave = 0): Cidr[] {
    const spaces = this.#spaces.get(network.id) ?? [];
    const taken: Cidr[] = [];
    for (const family of new Set(spaces.map((s) => s.subnet.family))) {
      const cidr = freeOf(spaces, family) > leave ? takeFrom(spaces, family, owner) : undefined;
      if (cidr === undefined) {
        for (const given of taken) this.#giveBack(network.id, given, owner);
        throw new SkepError(
          "unavailable",
          `no available IPv${family} addresses on this network's address pools: ${network.spec.Name} (${network.id})`,
        );
      }
      taken.push(cidr);
    }
    for (const addr of taken) this.#remember(owner, { networkId: network.id, addr });
    return taken;
  }

  /** Books an address that an object in the store already has. @returns false when another owner has it */
  reclaim(id: NetworkId, addr: Cidr, owner: string): boolean {
    const space = this.#book(id, addr, owner);
    space?.continueAfter(parseIp(addressOf(addr)).value);
    return space !== undefined;
  }

  /** Gives this very address to the owner. @returns it with its subnet's length; nothing when another has it, or it is not the network's */
  claim(id: NetworkId, address: string, owner: string): Cidr | undefined {
    const space = this.#book(id, address, owner);
    return space && cidrIn(space.subnet, parseIp(addressOf(address)).value);
  }

  /** Gives back what the owner holds, all or on some networks. @returns whether that was anything */
  release(owner: string, which: (id: NetworkId) => boolean = () => true): boolean {
    const held = this.#held.get(owner) ?? [];
    const going = held.filter((h) => which(h.networkId));
    for (const { networkId, addr } of going) this.#giveBack(networkId, addr, owner);
    const kept = held.filter((h) => !which(h.networkId));
    if (kept.length > 0) this.#held.set(owner, kept);
    else this.#held.delete(owner);
    return going.length > 0;
  }

  #book(id: NetworkId, address: string, owner: string): AddressSpace | undefined {
    const ip = parseIp(addressOf(address));
    const space = this.#spaces.get(id)?.find((s) => s.reserve(ip, owner));
    if (space) this.#remember(owner, { networkId: id, addr: cidrIn(space.subnet, ip.value) });
    return space;
  }

  #giveBack(id: NetworkId, addr: Cidr, owner: string): void {
    const { value } = parseIp(addressOf(addr));
    for (const space of this.#spaces.get(id) ?? []) space.release(value, owner);
  }

  #remember(owner: string, held: Held): void {
    const list = this.#held.get(owner);
    if (!list) this.#held.set(owner, [held]);
    else if (!list.some((h) => h.networkId === held.networkId && h.addr === held.addr)) list.push(held);
  }
}

function freeOf(spaces: readonly AddressSpace[], family: Family): number {
  return spaces.reduce((sum, s) => (s.subnet.family === family ? sum + s.free : sum), 0);
}

function takeFrom(spaces: readonly AddressSpace[], family: Family, owner: string): Cidr | undefined {
  for (const space of spaces) {
    if (space.subnet.family !== family) continue;
    const value = space.take(owner);
    if (value !== undefined) return cidrIn(space.subnet, value);
  }
  return undefined;
}
