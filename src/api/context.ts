// What routes may ask of the rest of skep: the store, and narrow interfaces that the daemon implements. Values only, no I/O here.
// Events are in event-bus.ts.
import type { Clock } from "../model/clock.ts";
import type { ClusterId, NodeId } from "../model/ids.ts";
import type { Log } from "../model/log.ts";
import type { Cidr, Network } from "../model/objects.ts";
import type { ClusterSpec, NodeAvailability } from "../model/spec.ts";
import type { Store } from "../store/index.ts";
import type { EventBus } from "./event-bus.ts";

export interface ApiContext {
  readonly store: Store;
  readonly swarm: SwarmControl;
  readonly networkStatus: NetworkStatusSource;
  readonly localNetworks: LocalNetworks;
  readonly connections: NetworkConnections;
  readonly events: EventBus;
  readonly clock: Clock;
  readonly log: Log;
  readonly features: Features;
  /** The prefixes that this host already has routes to; a swarm network must not overlap them. */
  hostRoutes(): readonly Cidr[];
}

/** What the managers of this build can do, so that the door refuses the rest in clear words. */
export interface Features {
  readonly globalServices: boolean;
  /** Secrets and configs reach the tasks' containers. */
  readonly secretFiles: boolean;
  readonly publishedPorts: boolean;
  readonly healthChecks: boolean;
  /** {{.Task.Slot}} and the like. */
  readonly templates: boolean;
  /** Networks with the option "encrypted". */
  readonly encryption: boolean;
  readonly autolock: boolean;
}

export const ALL_FEATURES: Features = {
  globalServices: true,
  secretFiles: true,
  publishedPorts: true,
  healthChecks: true,
  templates: true,
  encryption: true,
  autolock: true,
};

/** Membership in the swarm. The daemon implements it over the store, the cluster room and the agent. */
export interface SwarmControl {
  /** Swarm.LocalNodeState of `docker info`. */
  state(): "inactive" | "pending" | "active" | "error" | "locked";
  /** Who this node is; absent unless it is part of a swarm. */
  active(): ActiveSwarm | undefined;
  /**
   * Makes this node the first manager of a new swarm: cluster, node and ingress network are stored when it resolves.
   * Only called when the node is in no swarm.
   * @throws SkepError "invalid" when an address is wrong or no interface of this host has it (Docker's words)
   */
  init(request: SwarmInit): Promise<NodeId>;
  /** @throws SkepError "unimplemented" or "unavailable" with the reason */
  join(request: SwarmJoin): Promise<void>;
  /** Stops this node's tasks and forgets the swarm. The door has already asked for `force` where a manager would be lost. */
  leave(): Promise<void>;
}

export interface ActiveSwarm {
  readonly nodeId: NodeId;
  readonly clusterId: ClusterId;
  /** The address that other nodes reach this one by, without a port. */
  readonly nodeAddr: string;
  /** Whether this node manages: only managers answer for swarm objects. */
  readonly manager: boolean;
}

/** `POST /swarm/init`, with defaults filled in. Addresses are as the user wrote them: "", "eth0", "192.0.2.1", with or without a port. */
export interface SwarmInit {
  readonly listenAddr: string;
  readonly advertiseAddr: string;
  readonly dataPathAddr: string;
  /** 4789 unless asked otherwise. */
  readonly dataPathPort: number;
  readonly defaultAddrPool: readonly Cidr[];
  readonly subnetSize: number;
  readonly forceNewCluster: boolean;
  readonly availability: NodeAvailability;
  readonly spec: ClusterSpec;
}

export interface SwarmJoin {
  readonly listenAddr: string;
  readonly advertiseAddr: string;
  readonly dataPathAddr: string;
  readonly remoteAddrs: readonly string[];
  readonly joinToken: string;
  readonly availability: NodeAvailability;
}

/** What this node's data plane knows of a swarm network. */
export interface NetworkStatusSource {
  /** `undefined` while this node takes no part in the network. With `verbose`, `services` are filled in. */
  status(network: Network, verbose: boolean): Promise<NetworkStatus | undefined>;
}

export interface NetworkStatus {
  /** By container id, or "lb-<network>" and "ingress-sbox" for the load balancer's own endpoint. In the API's shape. */
  readonly containers: Readonly<Record<string, NetworkContainer>>;
  readonly peers: readonly { readonly Name: string; readonly IP: string }[];
  readonly services?: Readonly<Record<string, NetworkService>>;
}

export interface NetworkContainer {
  readonly Name: string;
  readonly EndpointID: string;
  readonly MacAddress: string;
  /** With the prefix length. */
  readonly IPv4Address: string;
  readonly IPv6Address: string;
}

export interface NetworkService {
  readonly VIP: string;
  readonly Ports: readonly string[];
  /** The firewall mark. */
  readonly LocalLBIndex: number;
  readonly Tasks: readonly {
    readonly Name: string;
    readonly EndpointID: string;
    readonly EndpointIP: string;
    readonly Info: Readonly<Record<string, string>>;
  }[];
}

/** A network in the shape of `GET /networks/{id}`, fields in Docker's order. */
export interface NetworkResource {
  readonly Name: string;
  readonly Id: string;
  readonly Created: string;
  readonly Scope: "swarm" | "local";
  readonly Driver: string;
  readonly EnableIPv4?: boolean;
  readonly EnableIPv6: boolean;
  readonly IPAM: {
    readonly Driver: string;
    readonly Options: Readonly<Record<string, string>> | null;
    readonly Config:
      | readonly {
          readonly Subnet?: string;
          readonly IPRange?: string;
          readonly Gateway?: string;
          readonly AuxiliaryAddresses?: Readonly<Record<string, string>>;
        }[]
      | null;
  };
  readonly Internal: boolean;
  readonly Attachable: boolean;
  readonly Ingress: boolean;
  readonly ConfigFrom: { readonly Network: string };
  readonly ConfigOnly: boolean;
  readonly Containers: Readonly<Record<string, NetworkContainer>> | null;
  readonly Options: Readonly<Record<string, string>> | null;
  readonly Labels: Readonly<Record<string, string>> | null;
  readonly Peers?: readonly { readonly Name: string; readonly IP: string }[];
  readonly Services?: Readonly<Record<string, NetworkService>>;
}

/** `POST /networks/create` as it was decoded. */
export interface NetworkCreateRequest {
  readonly Name?: string;
  readonly CheckDuplicate?: boolean;
  readonly Driver?: string;
  readonly Scope?: string;
  readonly EnableIPv4?: boolean;
  readonly EnableIPv6?: boolean;
  readonly IPAM?: {
    readonly Driver?: string;
    readonly Options?: Readonly<Record<string, string>>;
    readonly Config?: readonly {
      readonly Subnet?: string;
      readonly IPRange?: string;
      readonly Gateway?: string;
      readonly AuxiliaryAddresses?: Readonly<Record<string, string>>;
    }[];
  };
  readonly Internal?: boolean;
  readonly Attachable?: boolean;
  readonly Ingress?: boolean;
  readonly ConfigOnly?: boolean;
  readonly ConfigFrom?: { readonly Network?: string };
  readonly Options?: Readonly<Record<string, string>>;
  readonly Labels?: Readonly<Record<string, string>>;
}

/** The networks of this host alone: bridge, host, none, docker_gwbridge, and bridges that users make. Podman's, in Docker's shape. */
export interface LocalNetworks {
  /** All of them, `Containers` empty or absent data allowed: lists do not show it. */
  list(): Promise<readonly NetworkResource[]>;
  /** One of them by its full id, with `Containers`. */
  inspect(id: string): Promise<NetworkResource | undefined>;
  /** @throws SkepError "conflict", "invalid" with Docker's words */
  create(request: NetworkCreateRequest): Promise<{ readonly Id: string; readonly Warning: string }>;
  /** @throws SkepError "not_found", "forbidden" (in use, or predefined) */
  remove(id: string): Promise<void>;
}

/** Where a container is to be joined: exactly one of the two is there. */
export type ConnectTarget = { readonly swarm: Network } | { readonly local: NetworkResource };

/** `POST /networks/{id}/connect` and `/disconnect`: the network has been found, the rest is the container engine's matter. */
export interface NetworkConnections {
  connect(target: ConnectTarget, request: ConnectRequest): Promise<void>;
  disconnect(target: ConnectTarget, request: { readonly Container: string; readonly Force: boolean }): Promise<void>;
}

export interface ConnectRequest {
  readonly Container: string;
  /** As the client sent it: IPAMConfig, Aliases, DriverOpts… */
  readonly EndpointConfig?: Readonly<Record<string, unknown>>;
}
