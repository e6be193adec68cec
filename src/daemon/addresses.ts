// Which of this host's addresses other nodes are told: what --advertise-addr and friends mean. dockerd's rules and words
// (daemon/cluster/listen_addr.go).
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { SkepError } from "../model/errors.ts";

const DEFAULT_PORT = 2377;

/** The addresses of this host by interface, without loopback. */
export type HostAddresses = Readonly<Record<string, readonly { readonly address: string; readonly family: 4 | 6 }[]>>;

export interface Advertised {
  /** Without a port. */
  readonly address: string;
  readonly port: number;
}

/** Bridges of containers are no way to reach this host. */
const INTERNAL = /^(docker|br-|cni|podman|veth|virbr|skep)/;

export function hostAddresses(): HostAddresses {
  const found: Record<string, { address: string; family: 4 | 6 }[]> = {};
  for (const [name, list] of Object.entries(networkInterfaces())) {
    const usable = (list ?? []).filter((a) => !a.internal && !a.address.startsWith("fe80:"));
    if (usable.length > 0) {
      found[name] = usable.map((a) => ({ address: a.address, family: a.family === "IPv6" ? 6 : 4 }));
    }
  }
  return found;
}

/**
 * @param advertise what the user gave: "", an address or an interface, with or without ":port"
 * @param listen the listen address, used when `advertise` is empty and this one is not 0.0.0.0
 * @throws SkepError "invalid" in dockerd's words when none, or more than one, could be meant
 */
export function resolveAdvertised(advertise: string, listen: string, host: HostAddresses): Advertised {
  const [listenHost, listenPort] = splitPort(listen);
  const port = listenPort ?? DEFAULT_PORT;
  if (advertise !== "") {
    const [name, givenPort] = splitPort(advertise);
    return { address: resolveName(name, host), port: givenPort ?? port };
  }
  if (listenHost !== "" && listenHost !== "0.0.0.0" && listenHost !== "::") {
    return { address: resolveName(listenHost, host), port };
  }
  return { address: onlyAddress(host), port };
}

function resolveName(name: string, host: HostAddresses): string {
  if (isIP(name)) {
    if (name === "0.0.0.0" || name === "::") {
      throw new SkepError(
        "invalid",
        "advertise address must be a non-zero IP address or network interface (with optional port number)",
      );
    }
    return name;
  }
  const addresses = host[name];
  if (!addresses) {
    throw new SkepError(
      "invalid",
      "advertise address must be a non-zero IP address or network interface (with optional port number)",
    );
  }
  const v4 = addresses.filter((a) => a.family === 4);
  const candidates = v4.length > 0 ? v4 : addresses;
  if (candidates.length > 1) {
    throw new SkepError(
      "invalid",
      `interface ${name} has more than one IPv${candidates[0]!.family} address (${candidates[0]!.address} and ${candidates[1]!.address})`,
    );
  }
  return candidates[0]!.address;
}

function onlyAddress(host: HostAddresses): string {
  const all = Object.entries(host).flatMap(([name, list]) =>
    INTERNAL.test(name) ? [] : list.map((a) => ({ name, ...a })),
  );
  const v4 = all.filter((a) => a.family === 4);
  const [first, second] = v4.length > 0 ? v4 : all;
  if (!first)
    throw new SkepError("invalid", "could not find the system's IP address - specify one with --advertise-addr");
  if (!second) return first.address;
  const where =
    first.name === second.name
      ? `on interface ${first.name} (${first.address} and ${second.address})`
      : `on different interfaces (${first.address} on ${first.name} and ${second.address} on ${second.name})`;
  throw new SkepError(
    "invalid",
    `could not choose an IP address to advertise since this system has multiple addresses ${where} - specify one with --advertise-addr`,
  );
}

/** "1.2.3.4:5" → ["1.2.3.4", 5]; "eth0" → ["eth0", undefined]; "[::1]:5" and "::1" too. */
function splitPort(text: string): [string, number | undefined] {
  if (isIP(text)) return [text, undefined];
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port ?? 1) > 65_535) {
    throw new SkepError(
      "invalid",
      `invalid address ${JSON.stringify(text)}: it must look like ADDRESS, INTERFACE or either with :PORT`,
    );
  }
  return [host, port === undefined ? undefined : Number(port)];
}
