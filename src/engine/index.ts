// The engine room's door: the container engine port. Example:
//   const state = await engine.inspectContainer(id);
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
