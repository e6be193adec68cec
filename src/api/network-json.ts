// A swarm network as the API shows it: on its own (`GET /networks/{id}`), and inside a task's NetworksAttachments.
import { VNI_OPTION } from "../model/address-pool.ts";
import type { Network } from "../model/objects.ts";
import type { Labels } from "../model/spec.ts";
import type { NetworkResource, NetworkStatus } from "./context.ts";

/** The first API version that tells EnableIPv4. */
const ENABLE_IPV4_MINOR = 48;

/** `status` is what this node knows of the network while it takes part in it; the manager's view without it has fewer fields. */
export function networkJson(network: Network, status: NetworkStatus | undefined, minor: number): NetworkResource {
  const { spec } = network;
  return {
    Name: spec.Name,
    Id: network.id,
    Created: network.createdAt,
    Scope: "swarm",
    Driver: spec.Driver,
    ...(minor >= ENABLE_IPV4_MINOR && { EnableIPv4: true }),
    EnableIPv6: spec.EnableIPv6,
    IPAM: {
      Driver: spec.IPAM?.Driver ?? "default",
      Options: orNull(spec.IPAM?.Options),
      Config: subnetsOf(network).map((c) => ({
        ...(c.subnet !== undefined && { Subnet: c.subnet }),
        ...(c.ipRange !== undefined && { IPRange: c.ipRange }),
        ...(c.gateway !== undefined && { Gateway: c.gateway }),
      })),
    },
    Internal: spec.Internal,
    Attachable: spec.Attachable,
    Ingress: spec.Ingress,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: status ? status.containers : null,
    Options: optionsOf(network),
    Labels: status ? spec.Labels : orNull(spec.Labels),
    ...(status && status.peers.length > 0 && { Peers: status.peers }),
    ...(status?.services && { Services: status.services }),
  };
}

/** swarm.Network: what a task's attachment shows of its network. */
export function swarmNetworkJson(network: Network): object {
  const { spec, driverState } = network;
  // The routing mesh's network that init made names no drivers, and dockerd shows it so.
  const byInit = spec.Ingress && spec.IPAM?.Driver === undefined;
  return {
    ID: network.id,
    Version: { Index: network.version },
    CreatedAt: network.createdAt,
    UpdatedAt: network.updatedAt,
    Spec: {
      Name: spec.Name,
      Labels: spec.Labels,
      DriverConfiguration: byInit ? {} : { Name: spec.Driver, ...nonEmpty("Options", spec.Options) },
      ...(spec.EnableIPv6 && { IPv6Enabled: true }),
      ...(spec.Internal && { Internal: true }),
      ...(spec.Attachable && { Attachable: true }),
      ...(spec.Ingress && { Ingress: true }),
      ...(byInit ? { IPAMOptions: { Driver: {} } } : spec.IPAM && { IPAMOptions: wantedIpam(spec.IPAM) }),
      Scope: "swarm",
    },
    DriverState: driverState ? { Name: spec.Driver, Options: optionsOf(network) } : {},
    ...(network.ipam && {
      IPAMOptions: {
        Driver: { Name: spec.IPAM?.Driver ?? "default" },
        Configs: network.ipam.configs.map((c) => ({
          Subnet: c.subnet,
          ...(c.ipRange !== undefined && { Range: c.ipRange }),
          Gateway: c.gateway,
        })),
      },
    }),
  };
}

function wantedIpam(ipam: NonNullable<Network["spec"]["IPAM"]>): object {
  return {
    Driver: { Name: ipam.Driver, ...nonEmpty("Options", ipam.Options ?? {}) },
    ...((ipam.Config?.length ?? 0) > 0 && {
      Configs: ipam.Config?.map((c) => ({
        ...(c.Subnet !== undefined && { Subnet: c.Subnet }),
        ...(c.IPRange !== undefined && { Range: c.IPRange }),
        ...(c.Gateway !== undefined && { Gateway: c.Gateway }),
      })),
    }),
  };
}

/** What the allocator gave it, or what the user asked for until then. */
function subnetsOf(network: Network): readonly { subnet?: string; gateway?: string; ipRange?: string }[] {
  if (network.ipam) return network.ipam.configs;
  return (network.spec.IPAM?.Config ?? []).map((c) => ({
    ...(c.Subnet !== undefined && { subnet: c.Subnet }),
    ...(c.Gateway !== undefined && { gateway: c.Gateway }),
    ...(c.IPRange !== undefined && { ipRange: c.IPRange }),
  }));
}

function optionsOf({ spec, driverState }: Network): Readonly<Record<string, string>> | null {
  const options = { ...spec.Options, ...(driverState && { [VNI_OPTION]: String(driverState.vni) }) };
  return orNull(options);
}

function orNull(map: Labels | undefined): Labels | null {
  return map && Object.keys(map).length > 0 ? map : null;
}

function nonEmpty(name: string, map: Labels): object {
  return Object.keys(map).length > 0 ? { [name]: map } : {};
}
