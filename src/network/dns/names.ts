// Which addresses a name has, for whom: the table behind 127.0.0.11. Pure: no sockets, no clock. packet.ts knows the wire format,
// responder.ts joins the two. What Docker answers for each kind of name is in the reference of the real thing: service name → VIP,
// tasks.<service> → task addresses, container names, aliases, PTR of task addresses only.

import { contains, type Prefix, parseCidr } from "../../model/ip.ts";
import { addressOfReverse, packAddress, REVERSE_V4, REVERSE_V6, reverseName } from "./addresses.ts";

/** A service as one network sees it. `vip` is what its names resolve to; without it (dnsrr) they resolve to its endpoints. */
export type ServiceNames = {
  readonly serviceId: string;
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly mode: "vip" | "dnsrr";
  readonly vip?: readonly string[];
};

/** A task's (or attached container's) foothold in one network. */
export type EndpointNames = {
  readonly id: string;
  /** The service whose `tasks.<service>` (and, in mode dnsrr, own name) this endpoint is part of. */
  readonly serviceId?: string;
  /** Container name, short container id, task aliases. */
  readonly names: readonly string[];
  readonly addresses: readonly string[];
  /** What a PTR query for its addresses says, without the network: `web.2.<task id>`; the network's name is appended. */
  readonly ptrName: string;
};

/** Addresses of one family in the form a packet carries them: 4 or 16 bytes each. */
export type Lookup =
  | { readonly kind: "answers"; readonly addresses: readonly Uint8Array[] }
  | { readonly kind: "pointer"; readonly name: string }
  /** The name is ours but has no record of that type: empty NOERROR, never forwarded. */
  | { readonly kind: "nodata" }
  /** A service's name that has no task behind it right now: NXDOMAIN as in Docker, but without asking the world about our names. */
  | { readonly kind: "absent" }
  | { readonly kind: "unknown" };

/** Query types that the table tells apart (RFC 1035, 3596). */
/** What a network's names depend on besides its own name. */
export interface NetworkNames {
  readonly ingress?: boolean;
  /** "10.0.1.0/24" */
  readonly subnets?: readonly string[];
}

export const TYPE = { A: 1, PTR: 12, HINFO: 13, AAAA: 28, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;

const NODATA: Lookup = { kind: "nodata" };
const ABSENT: Lookup = { kind: "absent" };
const UNKNOWN: Lookup = { kind: "unknown" };

/** Every address that a name has, by who gave it: a service and several endpoints may share an alias, and all are answered. */
class NameRecord {
  readonly givers = new Map<string, readonly string[]>();
  #flat: { v4: Lookup; v6: Lookup } | undefined;

  give(giver: string, addresses: readonly string[]): void {
    this.givers.set(giver, addresses);
    this.#flat = undefined;
  }

  take(giver: string): void {
    this.givers.delete(giver);
    this.#flat = undefined;
  }

  answers(qtype: number): Lookup {
    this.#flat ??= flatten(this.givers.values());
    if (qtype === TYPE.A) return this.#flat.v4;
    if (qtype === TYPE.AAAA) return this.#flat.v6;
    return this.#flat.v4 === ABSENT ? ABSENT : NODATA;
  }
}

type Service = { names: ServiceNames | undefined; readonly endpoints: Map<string, EndpointNames> };

class Network {
  name = "";
  suffix = "";
  ingress = false;
  subnets: readonly Prefix[] = [];
  readonly records = new Map<string, NameRecord>();
  readonly services = new Map<string, Service>();
  readonly endpoints = new Map<string, EndpointNames>();
  readonly pointers = new Map<string, { readonly id: string; readonly name: string }>();

  give(name: string, giver: string, addresses: readonly string[]): void {
    const key = canonical(name);
    let record = this.records.get(key);
    if (record === undefined) {
      record = new NameRecord();
      this.records.set(key, record);
    }
    record.give(giver, addresses);
  }

  take(name: string, giver: string): void {
    const key = canonical(name);
    const record = this.records.get(key);
    if (record === undefined) return;
    record.take(giver);
    if (record.givers.size === 0) this.records.delete(key);
  }

  service(id: string): Service {
    let service = this.services.get(id);
    if (service === undefined) {
      service = { names: undefined, endpoints: new Map() };
      this.services.set(id, service);
    }
    return service;
  }
}

/**
 * The names of every network on this node. Each change touches only the names it is about, and a lookup is a map access for each
 * network of the asker, whatever the size of the table. Changes may come in any order (an endpoint before its service, either
 * before its network's name); each `set` replaces what was said before under the same id, each `delete` may be repeated.
 */
export class NameTable {
  readonly #networks = new Map<string, Network>();

  /**
   * Gives the network its name (`<name>.<network>` and PTR answers need it) and its subnets: what has no pointer there has none anywhere, and
   * the world is not asked. The ingress network answers no names at all. @throws SkepError "invalid" when a subnet is none
   */
  setNetwork(id: string, name: string, options: NetworkNames = {}): void {
    const subnets = (options.subnets ?? []).map((subnet) => parseCidr(subnet).prefix);
    const network = this.#network(id);
    network.name = name;
    network.suffix = `.${canonical(name)}`;
    network.ingress = options.ingress ?? false;
    network.subnets = subnets;
  }

  deleteNetwork(id: string): void {
    this.#networks.delete(id);
  }

  /** @throws SkepError "invalid" when a VIP is no address; nothing is changed then */
  setService(networkId: string, names: ServiceNames): void {
    names.vip?.forEach(packAddress);
    const network = this.#network(networkId);
    const service = network.service(names.serviceId);
    this.#withdrawService(network, service);
    service.names = names;
    // A service with no task still owns its names: an empty gift keeps them from being forwarded.
    const own = names.mode === "vip" && names.vip !== undefined ? names.vip : [];
    for (const name of [names.name, ...(names.aliases ?? [])]) {
      network.give(name, names.serviceId, own);
      network.give(`tasks.${name}`, names.serviceId, []);
    }
    for (const endpoint of service.endpoints.values()) this.#joinService(network, names, endpoint);
  }

  deleteService(networkId: string, serviceId: string): void {
    const network = this.#networks.get(networkId);
    const service = network?.services.get(serviceId);
    if (network === undefined || service === undefined) return;
    this.#withdrawService(network, service);
    service.names = undefined;
    if (service.endpoints.size === 0) network.services.delete(serviceId);
  }

  /** @throws SkepError "invalid" when an address is none; nothing is changed then */
  setEndpoint(networkId: string, endpoint: EndpointNames): void {
    endpoint.addresses.forEach(packAddress);
    this.deleteEndpoint(networkId, endpoint.id);
    const network = this.#network(networkId);
    network.endpoints.set(endpoint.id, endpoint);
    for (const name of endpoint.names) network.give(name, endpoint.id, endpoint.addresses);
    for (const address of endpoint.addresses) {
      network.pointers.set(reverseName(address), { id: endpoint.id, name: endpoint.ptrName });
    }
    if (endpoint.serviceId === undefined) return;
    const service = network.service(endpoint.serviceId);
    service.endpoints.set(endpoint.id, endpoint);
    if (service.names !== undefined) this.#joinService(network, service.names, endpoint);
  }

  deleteEndpoint(networkId: string, id: string): void {
    const network = this.#networks.get(networkId);
    const endpoint = network?.endpoints.get(id);
    if (network === undefined || endpoint === undefined) return;
    network.endpoints.delete(id);
    for (const name of endpoint.names) network.take(name, id);
    for (const address of endpoint.addresses) {
      const key = reverseName(address);
      // The address may already belong to a newer endpoint.
      if (network.pointers.get(key)?.id === id) network.pointers.delete(key);
    }
    if (endpoint.serviceId === undefined) return;
    const service = network.services.get(endpoint.serviceId);
    if (service === undefined) return;
    service.endpoints.delete(id);
    if (service.names !== undefined) this.#leaveService(network, service.names, id);
    else if (service.endpoints.size === 0) network.services.delete(endpoint.serviceId);
  }

  /**
   * Looks a name up for somebody on these networks, in their order: the first network that knows it answers, as in Docker. `qname` is
   * as the wire gave it or a user typed it: any case, with or without the final dot.
   */
  lookup(scope: readonly string[], qname: string, qtype: number): Lookup {
    return this.find(scope, canonical(qname), qtype);
  }

  /** `lookup` for a name that is canonical already (lower case, no final dot): the hot path. */
  find(scope: readonly string[], key: string, qtype: number): Lookup {
    const dotted = key.includes(".");
    for (const id of scope) {
      const network = this.#networks.get(id);
      if (network === undefined || network.ingress) continue;
      const record = network.records.get(key);
      if (record !== undefined) return record.answers(qtype);
    }
    return dotted ? this.#findDotted(scope, key, qtype) : UNKNOWN;
  }

  /** `web.my-swarm-net` and reverse names. After the plain names of every network, so that `tasks.web` never means network `web`. */
  #findDotted(scope: readonly string[], key: string, qtype: number): Lookup {
    const reverse = key.endsWith(REVERSE_V4) || key.endsWith(REVERSE_V6);
    for (const id of scope) {
      const network = this.#networks.get(id);
      if (network === undefined || network.ingress) continue;
      if (reverse) {
        const pointer = network.pointers.get(key);
        if (pointer === undefined) {
          if (network.subnets.length > 0 && ownsReverse(network.subnets, key)) return ABSENT;
          continue;
        }
        return qtype === TYPE.PTR ? { kind: "pointer", name: `${pointer.name}.${network.name}` } : NODATA;
      }
      if (network.suffix.length < 2 || !key.endsWith(network.suffix)) continue;
      const record = network.records.get(key.slice(0, -network.suffix.length));
      if (record !== undefined) return record.answers(qtype);
    }
    return UNKNOWN;
  }

  #network(id: string): Network {
    let network = this.#networks.get(id);
    if (network === undefined) {
      network = new Network();
      this.#networks.set(id, network);
    }
    return network;
  }

  #withdrawService(network: Network, service: Service): void {
    const names = service.names;
    if (names === undefined) return;
    for (const id of service.endpoints.keys()) this.#leaveService(network, names, id);
    for (const name of [names.name, ...(names.aliases ?? [])]) {
      network.take(name, names.serviceId);
      network.take(`tasks.${name}`, names.serviceId);
    }
  }

  #joinService(network: Network, names: ServiceNames, endpoint: EndpointNames): void {
    for (const [name, giver] of sharedNames(names, endpoint.id)) network.give(name, giver, endpoint.addresses);
  }

  #leaveService(network: Network, names: ServiceNames, endpointId: string): void {
    for (const [name, giver] of sharedNames(names, endpointId)) network.take(name, giver);
  }
}

/** Whether a reverse name is of an address in one of these subnets. */
function ownsReverse(subnets: readonly Prefix[], key: string): boolean {
  const address = addressOfReverse(key);
  return address !== undefined && subnets.some((subnet) => contains(subnet, address));
}

/** The names that an endpoint shares with the rest of its service. The giver differs from the endpoint's own, lest a task alias clash. */
function* sharedNames(names: ServiceNames, endpointId: string): Iterable<[name: string, giver: string]> {
  const giver = `${names.serviceId}/${endpointId}`;
  for (const name of [names.name, ...(names.aliases ?? [])]) {
    yield [`tasks.${name}`, giver];
    if (names.mode === "dnsrr" || names.vip === undefined || names.vip.length === 0) yield [name, giver];
  }
}

function canonical(name: string): string {
  return (name.endsWith(".") ? name.slice(0, -1) : name).toLowerCase();
}

function flatten(givers: Iterable<readonly string[]>): { v4: Lookup; v6: Lookup } {
  const all = new Set<string>();
  for (const addresses of givers) for (const address of addresses) all.add(address);
  const packed = [...all].map(packAddress);
  if (packed.length === 0) return { v4: ABSENT, v6: ABSENT };
  const family = (bytes: number): Lookup => {
    const addresses = packed.filter((address) => address.length === bytes);
    return addresses.length === 0 ? NODATA : { kind: "answers", addresses };
  };
  return { v4: family(4), v6: family(16) };
}
