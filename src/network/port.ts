// What the agent asks of a node's data plane, and what it gets told. node-network.ts does it; the load balancer's own port is lb/driver.ts.
import type { Assignments } from "../model/assignment.ts";
import type { NetworkId, ServiceId, TaskId } from "../model/ids.ts";
import type { Cidr } from "../model/objects.ts";

/** One overlay network of a task. */
export interface SandboxAttachment {
  readonly networkId: NetworkId;
  /** With the network's prefix length: "10.0.1.3/24". IPv4 first. */
  readonly addresses: readonly Cidr[];
  readonly aliases: readonly string[];
  readonly driverOpts?: Readonly<Record<string, string>> | undefined;
}

/** Everything that a task's network namespace is made from. */
export interface SandboxSpec {
  /** 64 hex digits, `sandboxIdOf(taskId)`; the namespace's file is its first 12. */
  readonly id: string;
  readonly taskId: TaskId;
  /** "web.1.<task id>": the container's name, and a DNS name. */
  readonly taskName: string;
  readonly serviceId?: ServiceId | undefined;
  readonly serviceName: string;
  /** Ingress first, then in the order of the spec: they become eth0, eth1, … */
  readonly attachments: readonly SandboxAttachment[];
  readonly dns: {
    readonly nameservers?: readonly string[] | undefined;
    readonly search?: readonly string[] | undefined;
    readonly options?: readonly string[] | undefined;
  };
  /** Swarm's ContainerSpec.Hosts: "address name [alias…]" */
  readonly hosts: readonly string[];
  /** Only the `net.` ones are set, in the sandbox's namespace. */
  readonly sysctls?: Readonly<Record<string, string>> | undefined;
}

export interface SandboxEndpoint {
  readonly networkId: NetworkId;
  /** 64 hex digits, the same for the same task and network always. */
  readonly endpointId: string;
  readonly interfaceName: string;
  readonly mac: string;
  readonly addresses: readonly Cidr[];
}

export interface Sandbox {
  readonly id: string;
  readonly netnsPath: string;
  readonly endpoints: readonly SandboxEndpoint[];
  /** Absent when all of the task's networks are internal. */
  readonly gatewayAddress?: Cidr | undefined;
  readonly gatewayEndpointId?: string | undefined;
  /** To be mounted over /etc/hosts and /etc/resolv.conf. */
  readonly files: { readonly hosts: string; readonly resolvConf: string };
}

/** An endpoint as `docker network inspect` lists it under Containers. */
export interface EndpointStatus {
  /** The key there: container id, "lb-<network>" or "ingress-sbox"; the sandbox id while there is no container. */
  readonly key: string;
  /** "web.1.<task id>", "<network>-endpoint", "gateway_<sandbox, 12>". */
  readonly name: string;
  readonly endpointId: string;
  readonly mac: string;
  readonly ipv4: Cidr;
  readonly ipv6: Cidr | "";
}

/** A service on one network: `network inspect --verbose`. */
export interface ServiceStatus {
  readonly id: ServiceId;
  readonly name: string;
  /** Without prefix length; "" for a dnsrr service. */
  readonly vip: string;
  /** "Target: 80, Publish: 8080" */
  readonly ports: readonly string[];
  /** LocalLBIndex; 0 when this node does not balance it. */
  readonly mark: number;
  readonly tasks: readonly {
    readonly name: string;
    readonly endpointId: string;
    readonly endpointIp: string;
    readonly hostIp: string;
    /** 0 while it drains. */
    readonly weight: number;
  }[];
}

export interface NetworkStatus {
  readonly id: NetworkId;
  /** Whether this node has built its namespaces. */
  readonly built: boolean;
  readonly overlayNetns: string;
  readonly lbNetns: string;
  readonly endpoints: readonly EndpointStatus[];
  readonly services: readonly ServiceStatus[];
}

export interface GatewayBridgeStatus {
  /** The bridge's interface name: docker_gwbridge, or skep_gwbridge… where another owns that. */
  readonly name: string;
  readonly subnet: Cidr;
  readonly gateway: string;
  /** Whether the bridge has been made (the first sandbox does it). */
  readonly built: boolean;
  readonly endpoints: readonly EndpointStatus[];
}

export interface LbInfo {
  /** "nft" (later "ipvs", "ebpf"). */
  readonly driver: string;
  /** Balancers on this node: one a network with a local task. */
  readonly networks: number;
  readonly services: number;
  readonly servers: number;
  /** Whether overlay networks can reach other nodes: the kernel has VXLAN. */
  readonly vxlan: boolean;
}

/**
 * A node's data plane. Every method may be repeated; what is gone already is no error when it is to be removed. Calls are carried out one
 * after another, those that take something out of use first; none holds the event loop for more than some milliseconds at a time.
 * The kernel goes on forwarding when the daemon stops or dies: a new NodeNetwork on the same exec root takes over what is there.
 */
export interface NodeNetwork {
  /** Takes over what an earlier daemon left and opens DNS for it. Disturbs nothing that runs. */
  start(): Promise<void>;
  /** Networks and services that this node should know. With `full`: what is not named is forgotten, and `sweep` takes it out of the kernel. */
  apply(a: Pick<Assignments, "full" | "networks" | "services" | "removed">): Promise<void>;
  /**
   * The task's namespace, wholly plumbed and with DNS listening, before any process starts in it. Builds the overlay's namespaces on first
   * need, and takes over what exists.
   * @throws SkepError "not_found" for a network that `apply` has not named; "unavailable" when the gateway subnet is used up; "invalid" for
   * a sysctl that the kernel refuses
   */
  ensureSandbox(spec: SandboxSpec): Promise<Sandbox>;
  /** The container that runs in it: its short id becomes a DNS name and, as its hostname, the last line of hosts. @throws SkepError "not_found" */
  setContainer(
    sandboxId: string,
    container: { readonly containerId: string; readonly hostname: string },
  ): Promise<void>;
  /**
   * The task is about to be reported running: its endpoints go into the balancer of each network (behind every VIP of its service) and into
   * DNS. Resolves when the kernel has them. @throws SkepError "not_found"
   */
  join(sandboxId: string): Promise<void>;
  /** No new connections (weight 0, out of `tasks.<service>`); established ones live on. */
  drain(sandboxId: string): Promise<void>;
  /** Out of balancer and DNS; UDP flows to it are steered anew. */
  leave(sandboxId: string): Promise<void>;
  /** `leave`, then namespace, DNS sockets and files. An overlay that has no local task left and is not assigned any more goes too. */
  removeSandbox(sandboxId: string): Promise<void>;
  /** After a full set at start: removes every sandbox, overlay, VIP that is ours and that neither `known` nor `apply` names. */
  sweep(known: { readonly sandboxIds: Iterable<string> }): Promise<void>;
  /** For the API: undefined when `apply` has not named it. */
  inspectNetwork(id: NetworkId): NetworkStatus | undefined;
  gatewayBridge(): GatewayBridgeStatus;
  lbInfo(): LbInfo;
  /** Closes our own sockets only. */
  stop(): Promise<void>;
  /** Leaves the host as it was found: no namespace, link, rule, mount or file of ours. net.ipv4.ip_forward stays on, as with Docker. */
  purge(): Promise<void>;
}
