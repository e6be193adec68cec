// What managers tell a node, and what a node tells managers: the contract between manager/dispatcher and agent, in process or over the wire.
import type { NetworkId, NodeId, ServiceId, TaskId } from "./ids.ts";
import type { Cidr, NodeDescription, Task, TaskStatus, VirtualIp } from "./objects.ts";
import type { EndpointMode, PortConfig } from "./spec.ts";

/** A network that this node takes part in, complete enough to be built. */
export interface NetworkAssignment {
  readonly id: NetworkId;
  readonly name: string;
  /** VXLAN network identifier; also names the bridge namespace. */
  readonly vni: number;
  /** Of the network's interfaces: the underlay's less 50 bytes of VXLAN header, or the driver option com.docker.network.driver.mtu. */
  readonly mtu: number;
  readonly subnets: readonly { readonly subnet: Cidr; readonly gateway: string }[];
  /** This node's load balancer endpoint on the network, one address a family. */
  readonly lbAddresses: readonly Cidr[];
  readonly internal: boolean;
  readonly ingress: boolean;
  readonly options: Readonly<Record<string, string>>;
}

/** A service as the data plane sees it: its names and VIPs on the networks of this node. */
export interface ServiceAssignment {
  readonly id: ServiceId;
  readonly name: string;
  readonly mode: EndpointMode;
  readonly virtualIPs: readonly VirtualIp[];
  readonly ports: readonly PortConfig[];
  /** Aliases of the service a network (TaskTemplate.Networks[].Aliases). */
  readonly aliases: Readonly<Record<NetworkId, readonly string[]>>;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * One message from dispatcher to agent. The first of a session is full: what it does not name, the node must not have. The others are
 * differences. Networks come before the tasks that need them, and go after.
 */
export interface Assignments {
  /** Store revision that this message brings the node to. */
  readonly revision: number;
  readonly full: boolean;
  readonly networks: readonly NetworkAssignment[];
  readonly services: readonly ServiceAssignment[];
  readonly tasks: readonly Task[];
  readonly removed: {
    readonly networks: readonly NetworkId[];
    readonly services: readonly ServiceId[];
    readonly tasks: readonly TaskId[];
  };
}

export interface StatusReport {
  readonly taskId: TaskId;
  readonly status: TaskStatus;
}

/** A node's line to its manager. */
export interface DispatcherSession {
  /** Ends when the session is lost or `signal` aborts; the agent then opens a new one. */
  assignments(signal: AbortSignal): AsyncIterable<Assignments>;
  /** Resolves when the reports are stored. Reports about tasks that are gone, and moves backwards, are ignored. */
  report(reports: readonly StatusReport[]): Promise<void>;
}

/** Where an agent opens sessions. */
export interface Dispatcher {
  connect(nodeId: NodeId, description: NodeDescription): Promise<DispatcherSession>;
}
