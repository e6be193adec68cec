// What a request may ask for and this build does not carry out: refused where it would run wrongly without, told as a warning where it runs
// with less. Which parts these are is the daemon's to say (Features). Pure.
import type { ClusterSpec, NetworkSpec, ServiceSpec } from "../model/spec.ts";
import type { Features } from "./context.ts";
import { rpcError } from "./errors.ts";

/** @throws SkepError "unimplemented" when tasks would lack what they were promised */
export function refuseService(spec: ServiceSpec, features: Features): void {
  const { Secrets = [], Configs = [] } = spec.TaskTemplate.ContainerSpec ?? {};
  if (!features.secretFiles && Secrets.length + Configs.length > 0) {
    const what = Secrets.length > 0 ? "secrets" : "configs";
    throw rpcError("Unimplemented", `${what} are stored, but this version of skep does not give them to tasks yet`);
  }
}

/** @throws SkepError "unimplemented" for a network that would not be encrypted */
export function refuseNetwork(spec: NetworkSpec, features: Features): void {
  if (!features.encryption && "encrypted" in spec.Options) {
    throw rpcError("Unimplemented", "encrypted networks are not supported by this version of skep yet");
  }
}

/** @throws SkepError "unimplemented" for managers that would not be locked */
export function refuseCluster(spec: ClusterSpec, features: Features): void {
  if (!features.autolock && spec.EncryptionConfig.AutoLockManagers) {
    throw rpcError("Unimplemented", "autolock is not supported by this version of skep yet");
  }
}

/** A sentence for each thing that is kept in the spec and has no effect yet; the docker command prints them. */
export function warningsOf(spec: ServiceSpec, features: Features): string[] {
  const warnings: string[] = [];
  const container = spec.TaskTemplate.ContainerSpec ?? {};
  if (!features.publishedPorts && (spec.EndpointSpec?.Ports ?? []).length > 0) {
    warnings.push("published ports are kept, but nothing listens on them yet with this version of skep");
  }
  const test = container.Healthcheck?.Test ?? [];
  if (!features.healthChecks && test.length > 0 && test[0] !== "NONE") {
    warnings.push("the health check is kept, but not run yet by this version of skep");
  }
  const templated = [
    container.Hostname ?? "",
    ...(container.Env ?? []),
    ...(container.Mounts ?? []).map((m) => m.Source ?? ""),
  ];
  if (!features.templates && templated.some((text) => text.includes("{{"))) {
    warnings.push("templates ({{…}}) are passed on as they are: this version of skep does not fill them in yet");
  }
  return warnings;
}
