// The service spec's types as moby declares them (api/types/swarm, mount, container): which fields there are, in which order they are
// written, and which are written when empty. The TypeScript types are src/model/spec.ts'; other requests' are in shapes-swarm.ts.
import type {
  ConfigReference,
  ContainerSpec,
  Driver,
  EndpointSpec,
  FileTarget,
  HealthConfig,
  Mount,
  NetworkAttachmentConfig,
  Placement,
  PortConfig,
  ResourceLimits,
  ResourceRequirements,
  RestartPolicy,
  SecretReference,
  ServiceMode,
  ServiceSpec,
  TaskSpec,
  UpdateConfig,
} from "../model/spec.ts";
import {
  always,
  anyObject,
  bool,
  type Decoder,
  duration,
  float,
  int,
  int64,
  kept,
  list,
  str,
  stringMap,
  strings,
  struct,
  uint32,
  uint64,
} from "./decode.ts";

const GO_INT = int("int", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

export const driver = struct<Driver>("swarm.Driver", { Name: str(), Options: stringMap });
const mountDriver = struct<Driver>("mount.Driver", { Name: str(), Options: stringMap });

const mount = struct<Mount>("mount.Mount", {
  Type: str("mount.Type"),
  Source: str(),
  Target: str(),
  ReadOnly: bool,
  Consistency: str("mount.Consistency"),
  BindOptions: struct<NonNullable<Mount["BindOptions"]>>("mount.BindOptions", {
    Propagation: str("mount.Propagation"),
    NonRecursive: bool,
    CreateMountpoint: bool,
    ReadOnlyNonRecursive: bool,
    ReadOnlyForceRecursive: bool,
  }),
  VolumeOptions: struct<NonNullable<Mount["VolumeOptions"]>>("mount.VolumeOptions", {
    NoCopy: bool,
    Labels: stringMap,
    Subpath: str(),
    DriverConfig: mountDriver,
  }),
  TmpfsOptions: struct<NonNullable<Mount["TmpfsOptions"]>>("mount.TmpfsOptions", {
    SizeBytes: int64,
    Mode: uint32,
    Options: list(strings, []),
  }),
});

const healthConfig = struct<HealthConfig>("container.HealthConfig", {
  Test: strings,
  Interval: duration,
  Timeout: duration,
  StartPeriod: duration,
  StartInterval: duration,
  Retries: GO_INT,
});

function fileTarget(type: string): Decoder<FileTarget> {
  return struct<FileTarget>(type, {
    Name: always(str(), ""),
    UID: always(str(), ""),
    GID: always(str(), ""),
    Mode: always(int("fs.FileMode", 0, 0xffffffff), 0),
  });
}

const secretReference = struct<SecretReference>("swarm.SecretReference", {
  File: fileTarget("swarm.SecretReferenceFileTarget"),
  SecretID: always(str(), ""),
  SecretName: always(str(), ""),
});

const configReference = struct<ConfigReference>("swarm.ConfigReference", {
  File: fileTarget("swarm.ConfigReferenceFileTarget"),
  Runtime: anyObject("swarm.ConfigReferenceRuntimeTarget"),
  ConfigID: always(str(), ""),
  ConfigName: always(str(), ""),
});

const containerSpec = struct<ContainerSpec>("swarm.ContainerSpec", {
  Image: str(),
  Labels: stringMap,
  Command: strings,
  Args: strings,
  Hostname: str(),
  Env: strings,
  Dir: str(),
  User: str(),
  Groups: strings,
  Privileges: anyObject("swarm.Privileges"),
  Init: kept(bool, false),
  StopSignal: str(),
  TTY: bool,
  OpenStdin: bool,
  ReadOnly: bool,
  Mounts: list(mount),
  StopGracePeriod: kept(duration, 0),
  Healthcheck: healthConfig,
  Hosts: strings,
  DNSConfig: struct<NonNullable<ContainerSpec["DNSConfig"]>>("swarm.DNSConfig", {
    Nameservers: strings,
    Search: strings,
    Options: strings,
  }),
  Secrets: list(secretReference),
  Configs: list(configReference),
  Isolation: str("container.Isolation"),
  Sysctls: stringMap,
  CapabilityAdd: strings,
  CapabilityDrop: strings,
  Ulimits: list(
    struct<NonNullable<ContainerSpec["Ulimits"]>[number]>("units.Ulimit", {
      Name: always(str(), ""),
      Hard: always(int64, 0),
      Soft: always(int64, 0),
    }),
  ),
  OomScoreAdj: int64,
});

const genericResources = list(anyObject("swarm.GenericResource"));

const resources = struct<ResourceRequirements>("swarm.ResourceRequirements", {
  Limits: struct<Omit<ResourceLimits, "GenericResources">>("swarm.Limit", {
    NanoCPUs: int64,
    MemoryBytes: int64,
    Pids: int64,
  }),
  Reservations: struct<Omit<ResourceLimits, "Pids">>("swarm.Resources", {
    NanoCPUs: int64,
    MemoryBytes: int64,
    GenericResources: genericResources,
  }),
});

const restartPolicy = struct<RestartPolicy>("swarm.RestartPolicy", {
  Condition: str("swarm.RestartPolicyCondition"),
  Delay: kept(duration, 0),
  MaxAttempts: always(uint64, 0),
  Window: kept(duration, 0),
});

type Preference = NonNullable<Placement["Preferences"]>[number];
const placement = struct<Placement>("swarm.Placement", {
  Constraints: strings,
  Preferences: list(
    struct<Preference>("swarm.PlacementPreference", {
      Spread: struct<NonNullable<Preference["Spread"]>>("swarm.SpreadOver", { SpreadDescriptor: always(str(), "") }),
    }),
  ),
  MaxReplicas: uint64,
  Platforms: list(
    struct<NonNullable<Placement["Platforms"]>[number]>("swarm.Platform", { Architecture: str(), OS: str() }),
  ),
});

const networkAttachments = list(
  struct<NetworkAttachmentConfig>("swarm.NetworkAttachmentConfig", {
    Target: str(),
    Aliases: strings,
    DriverOpts: stringMap,
  }),
);

const taskSpec = struct<TaskSpec>("swarm.TaskSpec", {
  ContainerSpec: containerSpec,
  PluginSpec: anyObject("runtime.PluginSpec"),
  NetworkAttachmentSpec: struct<NonNullable<TaskSpec["NetworkAttachmentSpec"]>>("swarm.NetworkAttachmentSpec", {
    ContainerID: always(str(), ""),
  }),
  Resources: resources,
  RestartPolicy: restartPolicy,
  Placement: placement,
  Networks: networkAttachments,
  LogDriver: driver,
  ForceUpdate: always(uint64, 0),
  Runtime: str("swarm.RuntimeType"),
});

const updateConfig = struct<UpdateConfig>("swarm.UpdateConfig", {
  Parallelism: always(uint64, 0),
  Delay: duration,
  FailureAction: str(),
  Monitor: duration,
  MaxFailureRatio: always(float, 0),
  Order: str(),
});

const portConfig = struct<PortConfig>("swarm.PortConfig", {
  Name: str(),
  Protocol: str("swarm.PortConfigProtocol"),
  TargetPort: uint32,
  PublishedPort: uint32,
  PublishMode: str("swarm.PortConfigPublishMode"),
});

/** What `POST /services/create` and `/update` send. Not yet normalised: see src/model/service-defaults.ts. */
export const serviceSpec: Decoder<ServiceSpec> = struct<ServiceSpec>("swarm.ServiceSpec", {
  Name: always(str(), ""),
  Labels: always(stringMap, {}),
  TaskTemplate: always(taskSpec, { ForceUpdate: 0 }),
  Mode: always(
    struct<ServiceMode>("swarm.ServiceMode", {
      Replicated: struct<NonNullable<ServiceMode["Replicated"]>>("swarm.ReplicatedService", {
        Replicas: kept(uint64, 0),
      }),
      Global: anyObject("swarm.GlobalService"),
      ReplicatedJob: struct<NonNullable<ServiceMode["ReplicatedJob"]>>("swarm.ReplicatedJob", {
        MaxConcurrent: kept(uint64, 0),
        TotalCompletions: kept(uint64, 0),
      }),
      GlobalJob: anyObject("swarm.GlobalJob"),
    }),
    {},
  ),
  UpdateConfig: updateConfig,
  RollbackConfig: updateConfig,
  Networks: networkAttachments,
  EndpointSpec: struct<EndpointSpec>("swarm.EndpointSpec", {
    Mode: str("swarm.ResolutionMode"),
    Ports: list(portConfig),
  }),
});
