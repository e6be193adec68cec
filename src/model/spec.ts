// Specs: what a user asks for, in the very shape of the Docker Engine API (so that a spec comes back exactly as it was sent).
// Stored objects that hold them are in objects.ts; their validation is in the validate-*.ts files; defaults in defaults.ts.

/** Durations are nanoseconds, as everywhere in the Docker API. */
export type Nanoseconds = number;
export type Labels = Readonly<Record<string, string>>;

export interface Driver {
  readonly Name?: string;
  readonly Options?: Readonly<Record<string, string>> | null;
}

export interface Mount {
  readonly Type?: "bind" | "volume" | "tmpfs" | "npipe" | "cluster" | "image";
  readonly Source?: string;
  readonly Target?: string;
  readonly ReadOnly?: boolean;
  readonly Consistency?: string;
  readonly BindOptions?: {
    readonly Propagation?: string;
    readonly NonRecursive?: boolean;
    readonly CreateMountpoint?: boolean;
    readonly ReadOnlyNonRecursive?: boolean;
    readonly ReadOnlyForceRecursive?: boolean;
  };
  readonly VolumeOptions?: {
    readonly NoCopy?: boolean;
    readonly Labels?: Labels;
    readonly DriverConfig?: Driver;
    readonly Subpath?: string;
  };
  readonly TmpfsOptions?: { readonly SizeBytes?: number; readonly Mode?: number; readonly Options?: string[][] };
}

export interface HealthConfig {
  readonly Test?: readonly string[];
  readonly Interval?: Nanoseconds;
  readonly Timeout?: Nanoseconds;
  readonly Retries?: number;
  readonly StartPeriod?: Nanoseconds;
  readonly StartInterval?: Nanoseconds;
}

export interface FileTarget {
  readonly Name: string;
  readonly UID: string;
  readonly GID: string;
  readonly Mode: number;
}

export interface SecretReference {
  readonly File?: FileTarget;
  readonly SecretID: string;
  readonly SecretName: string;
}

export interface ConfigReference {
  readonly File?: FileTarget;
  readonly Runtime?: object;
  readonly ConfigID: string;
  readonly ConfigName: string;
}

export interface ContainerSpec {
  readonly Image?: string;
  readonly Labels?: Labels;
  readonly Command?: readonly string[];
  readonly Args?: readonly string[];
  readonly Hostname?: string;
  readonly Env?: readonly string[];
  readonly Dir?: string;
  readonly User?: string;
  readonly Groups?: readonly string[];
  readonly Privileges?: object;
  readonly Init?: boolean;
  readonly StopSignal?: string;
  readonly TTY?: boolean;
  readonly OpenStdin?: boolean;
  readonly ReadOnly?: boolean;
  readonly Mounts?: readonly Mount[];
  readonly StopGracePeriod?: Nanoseconds;
  readonly Healthcheck?: HealthConfig;
  readonly Hosts?: readonly string[];
  readonly DNSConfig?: {
    readonly Nameservers?: readonly string[];
    readonly Search?: readonly string[];
    readonly Options?: readonly string[];
  };
  readonly Secrets?: readonly SecretReference[];
  readonly Configs?: readonly ConfigReference[];
  readonly Isolation?: string;
  readonly Sysctls?: Readonly<Record<string, string>>;
  readonly CapabilityAdd?: readonly string[];
  readonly CapabilityDrop?: readonly string[];
  readonly Ulimits?: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
  readonly OomScoreAdj?: number;
}

export interface ResourceLimits {
  readonly NanoCPUs?: number;
  readonly MemoryBytes?: number;
  readonly Pids?: number;
  readonly GenericResources?: readonly object[];
}

export interface ResourceRequirements {
  readonly Limits?: ResourceLimits;
  readonly Reservations?: ResourceLimits;
}

export type RestartCondition = "none" | "on-failure" | "any";
export interface RestartPolicy {
  readonly Condition?: RestartCondition;
  readonly Delay?: Nanoseconds;
  readonly MaxAttempts?: number;
  readonly Window?: Nanoseconds;
}

export interface Placement {
  readonly Constraints?: readonly string[];
  readonly Preferences?: readonly { readonly Spread?: { readonly SpreadDescriptor: string } }[];
  readonly MaxReplicas?: number;
  readonly Platforms?: readonly { readonly Architecture?: string; readonly OS?: string }[];
}

export interface NetworkAttachmentConfig {
  readonly Target?: string;
  readonly Aliases?: readonly string[];
  readonly DriverOpts?: Readonly<Record<string, string>>;
}

export interface TaskSpec {
  readonly ContainerSpec?: ContainerSpec;
  readonly PluginSpec?: object;
  readonly NetworkAttachmentSpec?: { readonly ContainerID: string };
  readonly Resources?: ResourceRequirements;
  readonly RestartPolicy?: RestartPolicy;
  readonly Placement?: Placement;
  readonly Networks?: readonly NetworkAttachmentConfig[];
  readonly LogDriver?: Driver;
  readonly ForceUpdate?: number;
  readonly Runtime?: string;
}

export interface ServiceMode {
  readonly Replicated?: { readonly Replicas?: number };
  readonly Global?: object;
  readonly ReplicatedJob?: { readonly MaxConcurrent?: number; readonly TotalCompletions?: number };
  readonly GlobalJob?: object;
}

export interface UpdateConfig {
  readonly Parallelism: number;
  readonly Delay?: Nanoseconds;
  readonly FailureAction?: "pause" | "continue" | "rollback";
  readonly Monitor?: Nanoseconds;
  readonly MaxFailureRatio?: number;
  readonly Order?: "stop-first" | "start-first";
}

export interface PortConfig {
  readonly Name?: string;
  readonly Protocol?: "tcp" | "udp" | "sctp";
  readonly TargetPort?: number;
  readonly PublishedPort?: number;
  readonly PublishMode?: "ingress" | "host";
}

export type EndpointMode = "vip" | "dnsrr";
export interface EndpointSpec {
  readonly Mode?: EndpointMode;
  readonly Ports?: readonly PortConfig[];
}

export interface ServiceSpec {
  readonly Name: string;
  readonly Labels: Labels;
  readonly TaskTemplate: TaskSpec;
  readonly Mode: ServiceMode;
  readonly UpdateConfig?: UpdateConfig;
  readonly RollbackConfig?: UpdateConfig;
  /** The old, service-wide place of TaskTemplate.Networks (API before 1.25). */
  readonly Networks?: readonly NetworkAttachmentConfig[];
  readonly EndpointSpec?: EndpointSpec;
}

export interface IpamConfig {
  readonly Subnet?: string;
  readonly IPRange?: string;
  readonly Gateway?: string;
  readonly AuxiliaryAddresses?: Readonly<Record<string, string>>;
}

/** What `POST /networks/create` asks for, less what concerns only one host. */
export interface NetworkSpec {
  readonly Name: string;
  readonly Labels: Labels;
  readonly Driver: string;
  readonly Options: Readonly<Record<string, string>>;
  readonly IPAM?: {
    readonly Driver?: string;
    readonly Options?: Readonly<Record<string, string>>;
    readonly Config?: readonly IpamConfig[];
  };
  readonly EnableIPv6: boolean;
  readonly Internal: boolean;
  readonly Attachable: boolean;
  readonly Ingress: boolean;
}

export type NodeAvailability = "active" | "pause" | "drain";
export type NodeRole = "worker" | "manager";
export interface NodeSpec {
  readonly Name?: string;
  readonly Labels: Labels;
  readonly Role: NodeRole;
  readonly Availability: NodeAvailability;
}

/** Swarm.Spec of the Docker API. */
export interface ClusterSpec {
  readonly Name: string;
  readonly Labels: Labels;
  readonly Orchestration: { readonly TaskHistoryRetentionLimit?: number };
  readonly Raft: {
    readonly SnapshotInterval?: number;
    readonly KeepOldSnapshots?: number;
    readonly LogEntriesForSlowFollowers?: number;
    readonly ElectionTick?: number;
    readonly HeartbeatTick?: number;
  };
  readonly Dispatcher: { readonly HeartbeatPeriod?: Nanoseconds };
  readonly CAConfig: {
    readonly NodeCertExpiry?: Nanoseconds;
    readonly ForceRotate?: number;
    readonly ExternalCAs?: readonly object[];
  };
  readonly TaskDefaults: { readonly LogDriver?: Driver };
  readonly EncryptionConfig: { readonly AutoLockManagers?: boolean };
}

export interface SecretSpec {
  readonly Name: string;
  readonly Labels: Labels;
  /** Base64. Never given back by the API for secrets. */
  readonly Data?: string;
  readonly Driver?: Driver;
  readonly Templating?: Driver;
}
export type ConfigSpec = Omit<SecretSpec, "Driver">;
