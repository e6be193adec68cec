// The engine room's door: the container engine port, and its Podman adapter.
//
//   const engine = new PodmanEngine({ socketPath: "/run/skep/podman.sock", log, own: { stateDir: "/run/skep/podman", storage: {} } });
//   engine.onExit((exit) => log.info(exit, "a container ended"));
//   await engine.start();
export type {
  BindMount,
  ContainerCreate,
  ContainerMount,
  FileBind,
  Healthcheck,
  LogDriver,
  ResourceLimits,
  TmpfsMount,
  Ulimit,
  VolumeMount,
} from "./container-spec.ts";
export type { ImageName } from "./image-names.ts";
export {
  familiarImageName,
  familiarRepository,
  fullImageName,
  isImageId,
  parseImageName,
  printImageName,
} from "./image-names.ts";
export type { Ceilings } from "./limits.ts";
export { ceilingsOf, parseLimits, settableUlimits } from "./limits.ts";
export type { PodmanChoice, PodmanStorage } from "./podman-config.ts";
export { podmanOptions } from "./podman-config.ts";
export type { PodmanEngineOptions } from "./podman-engine.ts";
export { PodmanEngine } from "./podman-engine.ts";
export { messageIn, pullError } from "./podman-error.ts";
export { findService } from "./podman-host.ts";
export type {
  ContainerEngine,
  ContainerExit,
  ContainerState,
  ContainerStatus,
  ContainerSummary,
  EngineEvent,
  EngineInfo,
  ImageInfo,
  ImportOptions,
  PullOptions,
  RemoveOptions,
  StopOptions,
} from "./port.ts";
