// The objects that the store holds: a spec (what the user wants), what the managers decided, and what the agents saw. One writer a field.
// Specs are in spec.ts, task states in task-state.ts.
import type { ClusterId, ConfigId, NetworkId, NodeId, SecretId, ServiceId, TaskId } from "./ids.ts";
import type {
  ClusterSpec,
  ConfigSpec,
  EndpointSpec,
  Labels,
  NetworkSpec,
  NodeSpec,
  PortConfig,
  SecretSpec,
  ServiceSpec,
  TaskSpec,
} from "./spec.ts";
import type { DesiredState, TaskState } from "./task-state.ts";

/** Fields of every stored object. The store itself sets version and both times. */
export interface Meta<Id extends string> {
  readonly id: Id;
  /** Version.Index of the Docker API: the store's revision at the object's last change. */
  readonly version: number;
  /** RFC 3339, UTC. */
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** An address in a network, with the network's prefix length: "10.0.1.5/24". */
export type Cidr = string;

export interface VirtualIp {
  readonly networkId: NetworkId;
  readonly addr: Cidr;
  /** The second family of a dual-stack network. */
  readonly addr6?: Cidr;
}

/** What the allocator gave a service. Absent fields have not been allocated (yet). */
export interface ServiceEndpoint {
  /** The EndpointSpec that this endpoint was allocated for. */
  readonly spec: EndpointSpec;
  readonly ports: readonly PortConfig[];
  readonly virtualIPs: readonly VirtualIp[];
}

export type UpdateState =
  | "updating"
  | "paused"
  | "completed"
  | "rollback_started"
  | "rollback_paused"
  | "rollback_completed";
export interface UpdateStatus {
  readonly state: UpdateState;
  readonly startedAt: string;
  readonly completedAt?: string;
  readonly message: string;
}

export interface Service extends Meta<ServiceId> {
  readonly kind: "service";
  readonly spec: ServiceSpec;
  readonly previousSpec?: ServiceSpec;
  /** The client's X-Registry-Auth, for the nodes that pull. Never shown by the API. */
  readonly registryAuth?: string;
  /** Counts changes of the parts of the spec that concern tasks: a task whose specVersion is older is out of date. */
  readonly specVersion: number;
  readonly endpoint?: ServiceEndpoint;
  readonly updateStatus?: UpdateStatus;
  /** The user removed it: no API shows it any more; it goes when its last task has gone (so that VIP and names live until then). */
  readonly pendingDelete?: boolean;
}

export interface TaskStatus {
  readonly timestamp: string;
  readonly state: TaskState;
  readonly message: string;
  readonly err?: string;
  readonly container?: { readonly id: string; readonly pid: number; readonly exitCode: number };
  readonly ports?: readonly PortConfig[];
}

export interface RestartHistory {
  readonly count: number;
  /** RFC 3339, oldest first: at most MaxAttempts of them, none older than the window. */
  readonly at: readonly string[];
}

/** One network of a task: what it is to be attached to, and the addresses that the allocator gave it there. */
export interface NetworkAttachment {
  readonly networkId: NetworkId;
  /** One address a family, first IPv4. Empty until allocated. */
  readonly addresses: readonly Cidr[];
  readonly aliases: readonly string[];
  readonly driverOpts?: Readonly<Record<string, string>>;
}

export interface Task extends Meta<TaskId> {
  readonly kind: "task";
  /** Absent for an attachment: a container of `docker run` on an attachable network. */
  readonly serviceId?: ServiceId;
  /** The service's name when the task was made (or the container's, for an attachment), and its labels. */
  readonly serviceName: string;
  readonly serviceLabels: Labels;
  /** From 1; absent for global services and attachments. */
  readonly slot?: number;
  readonly nodeId?: NodeId;
  readonly spec: TaskSpec;
  readonly specVersion: number;
  /** The service's, when the task was made. */
  readonly registryAuth?: string;
  /** The service's endpoint as it is for this task (ports to publish, mode). */
  readonly endpoint?: ServiceEndpoint;
  readonly networks: readonly NetworkAttachment[];
  readonly status: TaskStatus;
  readonly desiredState: DesiredState;
  /** RFC 3339: a replacement is not to be started before this (restart delay). The orchestrator's restart loop raises ready → running then. */
  readonly startAfter?: string;
  /** RFC 3339: when the task was first reported running. Written with the report; what ended before it ran has none. */
  readonly startedAt?: string;
  /** How often this slot was restarted with the same spec before, and when last (for RestartPolicy.MaxAttempts and Window). */
  readonly restarts?: RestartHistory;
}

export interface Network extends Meta<NetworkId> {
  readonly kind: "network";
  readonly spec: NetworkSpec;
  /** Set by the allocator; absent until then. */
  readonly driverState?: { readonly vni: number };
  readonly ipam?: {
    readonly configs: readonly { readonly subnet: Cidr; readonly gateway: string; readonly ipRange?: Cidr }[];
  };
  /** Why the allocator could not allocate it, in words for the user. */
  readonly allocationError?: string;
}

export interface NodeDescription {
  readonly hostname: string;
  readonly platform: { readonly architecture: string; readonly os: string };
  readonly resources: { readonly nanoCPUs: number; readonly memoryBytes: number };
  readonly engine: {
    readonly engineVersion: string;
    readonly labels: Labels;
    readonly plugins: readonly { readonly type: string; readonly name: string }[];
  };
  readonly tlsInfo?: TlsInfo;
}

/** PEM of the root certificates, and base64 of the issuer's subject and public key (both DER). */
export interface TlsInfo {
  readonly trustRoot: string;
  readonly certIssuerSubject: string;
  readonly certIssuerPublicKey: string;
}

export interface Node extends Meta<NodeId> {
  readonly kind: "node";
  readonly spec: NodeSpec;
  readonly description: NodeDescription;
  readonly status: {
    readonly state: "unknown" | "down" | "ready" | "disconnected";
    readonly message: string;
    readonly addr: string;
  };
  readonly managerStatus?: {
    readonly leader: boolean;
    readonly reachability: "unknown" | "unreachable" | "reachable";
    readonly addr: string;
  };
  /** The address of this node's load balancer endpoint on each network that the node takes part in. Set by the allocator. */
  readonly attachments: readonly NetworkAttachment[];
}

export interface Cluster extends Meta<ClusterId> {
  readonly kind: "cluster";
  readonly spec: ClusterSpec;
  readonly defaultAddrPool: readonly Cidr[];
  readonly subnetSize: number;
  readonly dataPathPort: number;
  readonly joinTokens: { readonly worker: string; readonly manager: string };
  readonly tlsInfo: TlsInfo;
  /** The CA's private key (PKCS#8 PEM). Never leaves the managers. */
  readonly caKey: string;
  /** The key of autolock, "SWMKEY-1-…"; empty when managers are not locked. */
  readonly unlockKey: string;
  readonly rootRotationInProgress: boolean;
}

export interface Secret extends Meta<SecretId> {
  readonly kind: "secret";
  readonly spec: SecretSpec;
}

export interface Config extends Meta<ConfigId> {
  readonly kind: "config";
  readonly spec: ConfigSpec;
}

export type StoredObject = Service | Task | Network | Node | Cluster | Secret | Config;
export type Kind = StoredObject["kind"];
export type ObjectOf<K extends Kind> = Extract<StoredObject, { readonly kind: K }>;

/** "web.1.<task id>" (or "web.<node id>.<task id>" for a global service): the name of the task's container. */
export function taskName(task: Pick<Task, "id" | "serviceName" | "slot" | "nodeId">): string {
  return `${task.serviceName}.${task.slot ?? task.nodeId ?? "0"}.${task.id}`;
}

/** The number of tasks a service wants, where that is a plain number (replicated services). */
export function wantedReplicas(service: Service): number | undefined {
  return service.spec.Mode.Replicated?.Replicas ?? (service.spec.Mode.Replicated ? 1 : undefined);
}
