// Podman's networks as Docker shows a host's own: "podman" is Docker's "bridge", and "host" and "none", which Podman does not list, are
// always there. Swarm networks are the store's; joining containers to either is connections.ts.
import { createHash } from "node:crypto";
import { SkepError } from "../../model/errors.ts";
import type { LocalNetworks, NetworkContainer, NetworkCreateRequest, NetworkResource } from "../context.ts";
import { type Json, list, object, strings, text, without } from "./json.ts";
import { COMPAT, LIBPOD, type Upstream } from "./upstream.ts";

/** The name of Podman's default network, and Docker's for the same thing. */
const PODMAN_DEFAULT = "podman";
const DOCKER_DEFAULT = "bridge";
const PREDEFINED = new Set([DOCKER_DEFAULT, "host", "none"]);

export class PodmanNetworks implements LocalNetworks {
  readonly #upstream: Upstream;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  async list(): Promise<readonly NetworkResource[]> {
    const networks = await this.#upstream.json("GET", `${LIBPOD}/networks/json`);
    return [...list(networks).map((n) => resource(object(n))), predefined("host"), predefined("none")];
  }

  async inspect(id: string): Promise<NetworkResource | undefined> {
    const found = (await this.list()).find((n) => n.Id === id || n.Name === id);
    if (!found || found.Driver === "host" || found.Driver === "null") return found;
    const { status, text: body } = await this.#upstream.ask("GET", `${COMPAT}/networks/${podmanName(found.Name)}`);
    if (status === 404) return undefined;
    return { ...found, Containers: status === 200 ? containers(object(JSON.parse(body))) : {} };
  }

  async create(request: NetworkCreateRequest): Promise<{ readonly Id: string; readonly Warning: string }> {
    const name = request.Name ?? "";
    if (PREDEFINED.has(name)) {
      throw new SkepError("forbidden", `operation is not permitted on predefined ${name} network `);
    }
    if ((await this.list()).some((n) => n.Name === name)) {
      throw new SkepError("conflict", `network with name ${name} already exists`);
    }
    const driver = request.Driver === undefined || request.Driver === "" ? "bridge" : request.Driver;
    const created = object(
      await this.#upstream.json("POST", `${COMPAT}/networks/create`, {
        json: { ...without(request as Json, "EnableIPv4", "Scope"), Driver: driver, CheckDuplicate: true },
      }),
    );
    return { Id: text(created.Id), Warning: text(created.Warning) };
  }

  async remove(id: string): Promise<void> {
    const found = (await this.list()).find((n) => n.Id === id || n.Name === id);
    if (!found) throw new SkepError("not_found", `network ${id} not found`);
    if (PREDEFINED.has(found.Name)) {
      throw new SkepError("forbidden", `${found.Name} is a pre-defined network and cannot be removed`);
    }
    const { status, text: body } = await this.#upstream.ask("DELETE", `${COMPAT}/networks/${podmanName(found.Name)}`);
    if (status < 300 || status === 404) return;
    if (/being used|in use|has associated containers/i.test(body)) {
      const text = `error while removing network: network ${found.Name} id ${found.Id} has active endpoints`;
      throw new SkepError("forbidden", text, {}, new Error(body));
    }
    throw new SkepError("internal", `remove network ${found.Name}: ${body}`);
  }
}

/** Docker's name of a network → Podman's. */
export function podmanName(name: string): string {
  return name === DOCKER_DEFAULT ? PODMAN_DEFAULT : name;
}

/** Rewrites NetworkSettings.Networks of Podman to Docker's names and ids, with one look at the networks there are. */
export async function bridgeAlias(upstream: Upstream): Promise<(networks: Json) => Json> {
  const ids = new Map(
    list(await upstream.json("GET", `${LIBPOD}/networks/json`)).map((n) => [text(object(n).name), text(object(n).id)]),
  );
  return (networks) =>
    Object.fromEntries(
      Object.entries(networks).map(([name, settings]) => [
        name === PODMAN_DEFAULT ? DOCKER_DEFAULT : name,
        { ...object(settings), NetworkID: ids.get(name) ?? text(object(settings).NetworkID) },
      ]),
    );
}

/** The endpoint of a container on "host" or "none". */
export const EMPTY_ENDPOINT: Json = {
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  MacAddress: "",
  DriverOpts: null,
  NetworkID: "",
  EndpointID: "",
  Gateway: "",
  IPAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  DNSNames: null,
};

function resource(n: Json): NetworkResource {
  const name = text(n.name);
  const options = strings(n.options);
  return {
    Name: name === PODMAN_DEFAULT ? DOCKER_DEFAULT : name,
    Id: text(n.id),
    Created: text(n.created),
    Scope: "local",
    Driver: text(n.driver),
    EnableIPv4: true,
    EnableIPv6: n.ipv6_enabled === true,
    IPAM: {
      Driver: "default",
      Options: null,
      Config: list(n.subnets).map((s) => {
        const { subnet, gateway } = object(s);
        return { Subnet: text(subnet), ...(text(gateway) === "" ? {} : { Gateway: text(gateway) }) };
      }),
    },
    Internal: n.internal === true,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: {},
    Options: options,
    Labels: strings(n.labels),
  };
}

/** "host" and "none": their ids only have to be the same each time. */
function predefined(name: "host" | "none"): NetworkResource {
  return {
    Name: name,
    Id: createHash("sha256").update(`skep ${name}`).digest("hex"),
    Created: "0001-01-01T00:00:00Z",
    Scope: "local",
    Driver: name === "none" ? "null" : "host",
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null, Config: null },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: {},
    Options: {},
    Labels: {},
  };
}

function containers(inspected: Json): Record<string, NetworkContainer> {
  const out: Record<string, NetworkContainer> = {};
  for (const [id, value] of Object.entries(object(inspected.Containers))) {
    const c = object(value);
    out[id] = {
      Name: text(c.Name),
      EndpointID: text(c.EndpointID),
      MacAddress: text(c.MacAddress),
      IPv4Address: text(c.IPv4Address),
      IPv6Address: text(c.IPv6Address),
    };
  }
  return out;
}
