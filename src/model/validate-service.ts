// Which service specs are allowed: the rules of swarmkit's control API in its own words (manager/controlapi/service.go), and those of the
// dockerd executor that need no host (daemon/cluster/executor/container/validate.go). Works on normal specs: see service-defaults.ts.
// Rules that need other objects (names, ports, networks, secrets) are in src/api/service-rules.ts.
import { parseConstraints } from "./constraints.ts";
import { SkepError } from "./errors.ts";
import { isImageReference } from "./image-reference.ts";
import { checkName } from "./names.ts";
import type {
  ConfigReference,
  ContainerSpec,
  EndpointSpec,
  HealthConfig,
  Mount,
  ResourceLimits,
  SecretReference,
  ServiceMode,
  ServiceSpec,
  TaskSpec,
  UpdateConfig,
} from "./spec.ts";

/** swarmkit's floors: a thousandth of a CPU, and what any process needs. */
const MIN_NANO_CPUS = 1e6;
const MIN_MEMORY_BYTES = 4 * 1024 * 1024;
const MIN_HEALTH_INTERVAL_NS = 1e6;
/** More tasks than one service can ever get addresses for (a /8 in /24s); the managers must survive whatever is asked of them. */
const MAX_REPLICAS = 65_536;

/** @throws SkepError "invalid" in swarmkit's words, without the "rpc error" prefix; "unimplemented" for job modes */
export function validateServiceSpec(spec: ServiceSpec): void {
  checkName(spec.Name);
  checkTask(spec.TaskTemplate);
  checkUpdate(spec.UpdateConfig);
  checkUpdate(spec.RollbackConfig);
  checkEndpoint(spec.EndpointSpec);
  checkMode(spec.Mode);
}

function checkTask(task: TaskSpec): void {
  checkResources(task.Resources?.Limits);
  checkResources(task.Resources?.Reservations);
  if ((task.RestartPolicy?.Delay ?? 0) < 0) throw invalid("TaskSpec: restart-delay cannot be negative");
  if ((task.RestartPolicy?.Window ?? 0) < 0) throw invalid("TaskSpec: restart-window cannot be negative");
  parseConstraints(task.Placement?.Constraints ?? []);
  const container = task.ContainerSpec;
  if (!container) throw invalid("TaskSpec: missing runtime");
  checkReferences("secret", container.Secrets ?? [], (s) => [s.SecretID, s.SecretName]);
  checkReferences("config", container.Configs ?? [], (c) => [c.ConfigID, c.ConfigName]);
  checkContainer(container);
}

function checkResources(limits: ResourceLimits | undefined): void {
  const { NanoCPUs = 0, MemoryBytes = 0 } = limits ?? {};
  if (NanoCPUs !== 0 && NanoCPUs < MIN_NANO_CPUS) {
    throw invalid(`invalid cpu value ${NanoCPUs / 1e9}: Must be at least ${MIN_NANO_CPUS / 1e9}`);
  }
  if (MemoryBytes !== 0 && MemoryBytes < MIN_MEMORY_BYTES) {
    throw invalid(`invalid memory value ${MemoryBytes}: Must be at least 4MiB`);
  }
}

function checkReferences<R extends SecretReference | ConfigReference>(
  kind: "secret" | "config",
  references: readonly R[],
  idAndName: (r: R) => readonly [string, string],
): void {
  const targets = new Map<string, string>();
  for (const reference of references) {
    const [id, name] = idAndName(reference);
    if (id === "" || name === "") throw invalid(`malformed ${kind} reference`);
    if ("Runtime" in reference && reference.Runtime) continue;
    if (!reference.File) throw invalid(`malformed ${kind} reference, no target provided`);
    const file = reference.File.Name;
    if (file === "") throw invalid(`malformed file ${kind} reference, invalid target file name provided`);
    const other = targets.get(file);
    if (other !== undefined) {
      throw invalid(`${kind} references '${other}' and '${name}' have a conflicting target: '${file}'`);
    }
    targets.set(file, name);
  }
}

function checkContainer(spec: ContainerSpec): void {
  const { Image = "", Mounts = [], Healthcheck, StopGracePeriod = 0 } = spec;
  if (Image === "") throw invalid("ContainerSpec: image reference must be provided");
  if (!isImageReference(Image)) throw invalid(`ContainerSpec: ${JSON.stringify(Image)} is not a valid repository/tag`);
  if (StopGracePeriod < 0) throw invalid("ContainerSpec: stop-grace-period cannot be negative");
  const targets = new Set<string>();
  for (const mount of Mounts) {
    const target = mount.Target ?? "";
    if (targets.has(target)) throw invalid(`ContainerSpec: duplicate mount point: ${target}`);
    targets.add(target);
    checkMount(mount);
  }
  if (Healthcheck) checkHealth(Healthcheck);
}

/** Templates ("{{.Task.Slot}}") are only known on the node: what contains one is not looked at here. */
function checkMount(mount: Mount): void {
  const { Type, Source = "", Target = "" } = mount;
  const isTemplate = (path: string) => path.includes("{{");
  if (!Target.startsWith("/") && !isTemplate(Target)) {
    throw invalid(`invalid mount target, must be an absolute path: ${Target}`);
  }
  if (isTemplate(Source)) return;
  if (Type === "bind" && !Source.startsWith("/")) {
    throw invalid(`invalid bind mount source, must be an absolute path: ${Source}`);
  }
  if (Type === "volume" && Source.startsWith("/")) {
    throw invalid(`invalid volume mount source, must not be an absolute path: ${Source}`);
  }
  if (Type === "tmpfs" && Source !== "") throw invalid("invalid tmpfs source, source must be empty");
  if (Type === "npipe" || Type === "cluster" || Type === "image") {
    throw new SkepError("unimplemented", `mounts of type "${Type}" are not supported`);
  }
}

function checkHealth(check: HealthConfig): void {
  for (const field of ["Interval", "Timeout", "StartPeriod", "StartInterval"] as const) {
    const value = check[field] ?? 0;
    if (value !== 0 && value < MIN_HEALTH_INTERVAL_NS) {
      throw invalid(`ContainerSpec: ${field} in HealthConfig cannot be less than 1ms`);
    }
  }
  if ((check.Retries ?? 0) < 0) throw invalid("ContainerSpec: Retries in HealthConfig cannot be negative");
}

function checkUpdate(config: UpdateConfig | undefined): void {
  if (!config) return;
  if ((config.Delay ?? 0) < 0) throw invalid("TaskSpec: update-delay cannot be negative");
  if ((config.Monitor ?? 0) < 0) throw invalid("TaskSpec: update-monitor cannot be negative");
  const ratio = config.MaxFailureRatio ?? 0;
  if (ratio < 0 || ratio > 1) {
    throw invalid("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1");
  }
}

function checkEndpoint(spec: EndpointSpec | undefined): void {
  const published = new Set<string>();
  for (const { PublishedPort = 0, TargetPort = 0, Protocol, PublishMode } of spec?.Ports ?? []) {
    if (spec?.Mode === "dnsrr" && PublishMode === "ingress") {
      throw invalid("EndpointSpec: port published with ingress mode can't be used with dnsrr mode");
    }
    if (TargetPort < 1 || TargetPort > 65_535) throw invalid(`EndpointSpec: invalid target port ${TargetPort}`);
    if (PublishedPort > 65_535) throw invalid(`EndpointSpec: invalid published port ${PublishedPort}`);
    // without a published port there is nothing to conflict with
    if (PublishedPort === 0) continue;
    const key = `${PublishedPort}/${Protocol}`;
    if (published.has(key)) throw invalid("EndpointSpec: duplicate published ports provided");
    published.add(key);
  }
}

function checkMode(mode: ServiceMode): void {
  if (mode.ReplicatedJob || mode.GlobalJob) {
    throw new SkepError("unimplemented", "job services (replicated-job, global-job) are not supported");
  }
  const replicas = mode.Replicated?.Replicas ?? 0;
  if (replicas < 0) throw invalid("Number of replicas must be non-negative");
  if (replicas > MAX_REPLICAS) throw invalid(`Number of replicas must be at most ${MAX_REPLICAS}`);
}

function invalid(message: string): SkepError {
  return new SkepError("invalid", message);
}
