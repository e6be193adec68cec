// What dockerd's own conversions make of a service spec before it is stored (enumerations spelled out, Runtime, Isolation, Mode), and the
// defaults that it shows only when asked to. After daemon/cluster/convert/{service,container}.go and swarmkit's api/defaults/service.go.
// Whether the values are allowed is validate-service.ts'.
import { isDeepStrictEqual } from "node:util";
import { SkepError } from "./errors.ts";
import type {
  ContainerSpec,
  EndpointSpec,
  Mount,
  PortConfig,
  RestartPolicy,
  ServiceMode,
  ServiceSpec,
  TaskSpec,
  UpdateConfig,
} from "./spec.ts";

const SECOND_NS = 1_000_000_000;

/** Time between the stop signal and SIGKILL when the spec names none. */
export const DEFAULT_STOP_GRACE_NS = 10 * SECOND_NS;
/** The restart policy of a spec that has none. */
export const DEFAULT_RESTART: RestartPolicy = { Condition: "any", Delay: 5 * SECOND_NS, MaxAttempts: 0 };
/** How updates and rollbacks go when the spec does not say. */
export const DEFAULT_UPDATE: UpdateConfig = {
  Parallelism: 1,
  FailureAction: "pause",
  Monitor: 5 * SECOND_NS,
  MaxFailureRatio: 0,
  Order: "stop-first",
};

/**
 * The spec as it is stored and given back. Idempotent. Keeps the order of fields.
 * @throws SkepError "invalid" for values outside an enumeration, "unimplemented" for plugins, with dockerd's words
 */
export function normalServiceSpec(spec: ServiceSpec): ServiceSpec {
  const { Name, Labels, TaskTemplate, Mode, UpdateConfig, RollbackConfig, Networks, EndpointSpec } = spec;
  return {
    Name,
    Labels,
    TaskTemplate: normalTask(TaskTemplate),
    Mode: normalMode(Mode),
    ...(UpdateConfig && { UpdateConfig: normalUpdate(UpdateConfig) }),
    ...(RollbackConfig && { RollbackConfig: normalUpdate(RollbackConfig) }),
    ...(Networks && { Networks }),
    ...(EndpointSpec && { EndpointSpec: normalEndpoint(EndpointSpec) }),
  };
}

/** The spec with what swarmkit would assume for each absent part: `docker service inspect` shows that. */
export function withDefaults(spec: ServiceSpec): ServiceSpec {
  const { ContainerSpec, PluginSpec, NetworkAttachmentSpec, Resources, RestartPolicy, Placement, ...rest } =
    spec.TaskTemplate;
  const { Name, Labels, Mode, UpdateConfig, RollbackConfig, Networks, EndpointSpec } = spec;
  return {
    Name,
    Labels,
    TaskTemplate: {
      ...(ContainerSpec && { ContainerSpec: containerWithDefaults(ContainerSpec) }),
      ...(PluginSpec && { PluginSpec }),
      ...(NetworkAttachmentSpec && { NetworkAttachmentSpec }),
      Resources: Resources ?? {},
      RestartPolicy: RestartPolicy ? restartWithDelay(RestartPolicy) : DEFAULT_RESTART,
      Placement: Placement ?? {},
      ...rest,
    },
    Mode,
    UpdateConfig: UpdateConfig ? updateWithMonitor(UpdateConfig) : DEFAULT_UPDATE,
    RollbackConfig: RollbackConfig ? updateWithMonitor(RollbackConfig) : DEFAULT_UPDATE,
    ...(Networks && { Networks }),
    ...(EndpointSpec && { EndpointSpec }),
  };
}

/** Whether tasks made for one spec are out of date under the other: it decides if Service.specVersion rises. */
export function concernsTasks(before: ServiceSpec, after: ServiceSpec): boolean {
  const relevant = (s: ServiceSpec) => ({
    task: s.TaskTemplate,
    networks: s.Networks ?? [],
    mode: s.EndpointSpec?.Mode ?? "vip",
    ports: s.EndpointSpec?.Ports ?? [],
  });
  return !isDeepStrictEqual(relevant(before), relevant(after));
}

function normalTask(task: TaskSpec): TaskSpec {
  const { ContainerSpec, RestartPolicy, Placement, Runtime, PluginSpec, NetworkAttachmentSpec, ...rest } = task;
  if (Runtime === "plugin") {
    if (!PluginSpec) throw invalid("mismatched Runtime and *Spec fields");
    throw new SkepError("unimplemented", `runtime type "plugin" only supported in experimental`);
  }
  if (Runtime !== undefined && Runtime !== "container") throw invalid("unsupported runtime");
  if (!ContainerSpec) throw invalid("mismatched Runtime and *Spec fields");
  const { Resources, Networks, LogDriver, ForceUpdate = 0 } = rest;
  return {
    ContainerSpec: normalContainer(ContainerSpec),
    ...(Resources && { Resources }),
    ...(RestartPolicy && { RestartPolicy: normalRestart(RestartPolicy) }),
    ...(Placement && { Placement: normalPlacement(Placement) }),
    ...(Networks && { Networks }),
    ...(LogDriver && { LogDriver }),
    ForceUpdate,
    Runtime: "container",
  };
}

function normalContainer(spec: ContainerSpec): ContainerSpec {
  for (const config of spec.Configs ?? []) {
    if (!config.File && !config.Runtime) throw invalid("invalid Config: either File or Runtime should be set");
    if (config.File && config.Runtime) throw invalid("invalid Config: cannot specify both File and Runtime");
  }
  const Mounts = spec.Mounts?.map(normalMount);
  const Isolation = ["hyperv", "process"].includes(spec.Isolation?.toLowerCase() ?? "")
    ? (spec.Isolation as string).toLowerCase()
    : "default";
  const { Sysctls, CapabilityAdd, CapabilityDrop, Ulimits, OomScoreAdj, Isolation: _, ...head } = spec;
  return {
    ...head,
    ...(Mounts && { Mounts }),
    Isolation,
    ...(Sysctls && { Sysctls }),
    ...(CapabilityAdd && { CapabilityAdd }),
    ...(CapabilityDrop && { CapabilityDrop }),
    ...(Ulimits && { Ulimits }),
    ...(OomScoreAdj !== undefined && { OomScoreAdj }),
  };
}

const MOUNT_TYPES = ["bind", "volume", "tmpfs", "npipe", "cluster", "image"] as const;
const PROPAGATIONS = ["rprivate", "private", "rshared", "shared", "rslave", "slave"];

function normalMount(mount: Mount): Mount {
  const { Consistency: _, BindOptions, ...rest } = mount;
  const Type = oneOf(MOUNT_TYPES, mount.Type ?? "bind");
  if (!Type) throw invalid(`invalid MountType: ${JSON.stringify(mount.Type)}`);
  const bind = BindOptions && normalBindOptions(BindOptions);
  const { Type: __, Source, Target, ReadOnly, VolumeOptions, TmpfsOptions } = rest as Mount;
  return {
    Type,
    ...(Source !== undefined && { Source }),
    ...(Target !== undefined && { Target }),
    ...(ReadOnly !== undefined && { ReadOnly }),
    ...(bind && { BindOptions: bind }),
    ...(VolumeOptions && { VolumeOptions }),
    ...(TmpfsOptions && { TmpfsOptions }),
  };
}

/** Swarm keeps bind options only when one of them says something. */
function normalBindOptions(options: NonNullable<Mount["BindOptions"]>): Mount["BindOptions"] {
  const { Propagation, ...flags } = options;
  const propagation = oneOf(PROPAGATIONS, Propagation ?? "rprivate");
  if (!propagation) throw invalid(`invalid MountPropagation: ${JSON.stringify(Propagation)}`);
  if (Propagation === undefined && Object.keys(flags).length === 0) return undefined;
  return { Propagation: propagation, ...flags };
}

function normalRestart(policy: RestartPolicy): RestartPolicy {
  const { Condition = "any", Delay, MaxAttempts = 0, Window } = policy;
  if (!["none", "on-failure", "any"].includes(Condition)) {
    throw invalid(`invalid RestartCondition: ${JSON.stringify(Condition)}`);
  }
  return {
    Condition,
    ...(Delay !== undefined && { Delay }),
    MaxAttempts,
    ...(Window !== undefined && { Window }),
  };
}

function normalPlacement(placement: NonNullable<TaskSpec["Placement"]>): NonNullable<TaskSpec["Placement"]> {
  const { Constraints, Preferences, MaxReplicas, Platforms } = placement;
  const spread = Preferences?.filter((p) => p.Spread) ?? [];
  return {
    ...(Constraints && { Constraints }),
    ...(spread.length > 0 && { Preferences: spread }),
    ...(MaxReplicas !== undefined && { MaxReplicas }),
    ...(Platforms && { Platforms }),
  };
}

function normalMode(mode: ServiceMode): ServiceMode {
  if (Object.values(mode).filter((m) => m !== undefined).length > 1) {
    throw invalid("must specify only one service mode");
  }
  if (mode.Global) return { Global: {} };
  if (mode.GlobalJob) return { GlobalJob: {} };
  if (mode.ReplicatedJob) {
    const { MaxConcurrent = 1, TotalCompletions = MaxConcurrent } = mode.ReplicatedJob;
    return { ReplicatedJob: { MaxConcurrent, TotalCompletions } };
  }
  return { Replicated: { Replicas: mode.Replicated?.Replicas ?? 1 } };
}

function normalUpdate(config: UpdateConfig): UpdateConfig {
  const { Parallelism, Delay, FailureAction = "pause", Monitor, MaxFailureRatio = 0, Order = "stop-first" } = config;
  if (!["pause", "continue", "rollback"].includes(FailureAction)) {
    throw invalid(`unrecognized update failure action ${FailureAction}`);
  }
  if (!["stop-first", "start-first"].includes(Order)) throw invalid(`unrecognized update order ${Order}`);
  return {
    Parallelism,
    ...(Delay !== undefined && { Delay }),
    FailureAction,
    ...(Monitor !== undefined && { Monitor }),
    MaxFailureRatio,
    Order,
  };
}

function normalEndpoint(spec: EndpointSpec): EndpointSpec {
  const { Mode = "vip", Ports } = spec;
  if (Mode !== "vip" && Mode !== "dnsrr") throw invalid(`invalid resolution mode: ${JSON.stringify(Mode)}`);
  return { Mode, ...(Ports && { Ports: Ports.map(normalPort) }) };
}

/** dockerd takes an unknown protocol for tcp and an unknown mode for ingress without a word; here they are refused. */
function normalPort(port: PortConfig): PortConfig {
  const { Name, TargetPort, PublishedPort } = port;
  const Protocol = oneOf(["tcp", "udp", "sctp"] as const, port.Protocol ?? "tcp");
  if (!Protocol) throw invalid(`invalid port protocol: ${JSON.stringify(port.Protocol)}`);
  const PublishMode = oneOf(["ingress", "host"] as const, port.PublishMode ?? "ingress");
  if (!PublishMode) throw invalid(`invalid port publish mode: ${JSON.stringify(port.PublishMode)}`);
  return {
    ...(Name !== undefined && { Name }),
    Protocol,
    ...(TargetPort !== undefined && { TargetPort }),
    ...(PublishedPort !== undefined && { PublishedPort }),
    PublishMode,
  };
}

function containerWithDefaults(spec: ContainerSpec): ContainerSpec {
  // In the order of the API's struct: StopGracePeriod, Healthcheck, Hosts, DNSConfig, and then the references.
  const {
    StopGracePeriod,
    Healthcheck,
    Hosts,
    DNSConfig,
    Secrets,
    Configs,
    Isolation,
    Sysctls,
    CapabilityAdd,
    ...rest
  } = spec;
  const { CapabilityDrop, Ulimits, OomScoreAdj, ...head } = rest;
  return {
    ...head,
    StopGracePeriod: StopGracePeriod ?? DEFAULT_STOP_GRACE_NS,
    ...(Healthcheck && { Healthcheck }),
    ...(Hosts && { Hosts }),
    DNSConfig: DNSConfig ?? {},
    ...(Secrets && { Secrets }),
    ...(Configs && { Configs }),
    ...(Isolation !== undefined && { Isolation }),
    ...(Sysctls && { Sysctls }),
    ...(CapabilityAdd && { CapabilityAdd }),
    ...(CapabilityDrop && { CapabilityDrop }),
    ...(Ulimits && { Ulimits }),
    ...(OomScoreAdj !== undefined && { OomScoreAdj }),
  };
}

function restartWithDelay(policy: RestartPolicy): RestartPolicy {
  const { Condition = "any", Delay = 5 * SECOND_NS, MaxAttempts = 0, Window } = policy;
  return { Condition, Delay, MaxAttempts, ...(Window !== undefined && { Window }) };
}

function updateWithMonitor(config: UpdateConfig): UpdateConfig {
  const { Parallelism, Delay, FailureAction = "pause", Monitor = 5 * SECOND_NS, MaxFailureRatio = 0, Order } = config;
  return {
    Parallelism,
    ...(Delay !== undefined && { Delay }),
    FailureAction,
    Monitor,
    MaxFailureRatio,
    Order: Order ?? "stop-first",
  };
}

function oneOf<T extends string>(allowed: readonly T[], value: string): T | undefined {
  return allowed.find((a) => a === value.toLowerCase());
}

function invalid(message: string): SkepError {
  return new SkepError("invalid", message);
}
