// From a task to the container that the engine is asked for. Pure; the engine's side is in src/engine.
import type { ContainerCreate, ContainerMount } from "../engine/index.ts";
import { type Task, taskName } from "../model/objects.ts";
import type { ContainerSpec, Mount } from "../model/spec.ts";

/** Docker's default for ContainerSpec.StopGracePeriod. */
const DEFAULT_STOP_GRACE_MS = 10_000;
const NS_PER_MS = 1e6;

/** Label by which a container is known as a task's, over restarts of the daemon. */
export const TASK_LABEL = "com.docker.swarm.task.id";

/** The labels that Docker gives a task's container, after the user's own. */
export function labelsOf(task: Task): Record<string, string> {
  return {
    ...task.spec.ContainerSpec?.Labels,
    "com.docker.swarm.node.id": task.nodeId ?? "",
    "com.docker.swarm.service.id": task.serviceId ?? "",
    "com.docker.swarm.service.name": task.serviceName,
    "com.docker.swarm.task": "",
    [TASK_LABEL]: task.id,
    "com.docker.swarm.task.name": taskName(task),
  };
}

/** Milliseconds between the stop signal and SIGKILL. */
export function stopGraceMs(task: Task): number {
  const ns = task.spec.ContainerSpec?.StopGracePeriod;
  return ns === undefined ? DEFAULT_STOP_GRACE_MS : Math.ceil(ns / NS_PER_MS);
}

/** What to create for a task. `files` are the sandbox's own, to be mounted over the image's. */
export function containerOf(
  task: Task,
  netnsPath: string,
  files: { readonly hosts: string; readonly resolvConf: string },
): ContainerCreate {
  const spec: ContainerSpec = task.spec.ContainerSpec ?? {};
  const limits = task.spec.Resources?.Limits;
  const health = spec.Healthcheck;
  return {
    name: taskName(task),
    image: spec.Image ?? "",
    command: nonEmpty(spec.Command),
    args: nonEmpty(spec.Args),
    env: spec.Env,
    dir: spec.Dir || undefined,
    user: spec.User || undefined,
    groups: spec.Groups,
    hostname: spec.Hostname || undefined,
    labels: labelsOf(task),
    mounts: (spec.Mounts ?? []).map(mountOf),
    files: [
      { source: files.resolvConf, target: "/etc/resolv.conf" },
      { source: files.hosts, target: "/etc/hosts" },
    ],
    stopSignal: spec.StopSignal || undefined,
    stopGraceMs: stopGraceMs(task),
    tty: spec.TTY,
    openStdin: spec.OpenStdin,
    readOnly: spec.ReadOnly,
    init: spec.Init,
    capabilityAdd: spec.CapabilityAdd,
    capabilityDrop: spec.CapabilityDrop,
    ulimits: spec.Ulimits?.map((u) => ({ name: u.Name, soft: u.Soft, hard: u.Hard })),
    sysctls: spec.Sysctls,
    oomScoreAdj: spec.OomScoreAdj,
    limits: {
      nanoCpus: limits?.NanoCPUs || undefined,
      memoryBytes: limits?.MemoryBytes || undefined,
      memoryReservationBytes: task.spec.Resources?.Reservations?.MemoryBytes || undefined,
      pids: limits?.Pids || undefined,
    },
    logDriver: task.spec.LogDriver?.Name
      ? { name: task.spec.LogDriver.Name, options: task.spec.LogDriver.Options ?? {} }
      : undefined,
    healthcheck: health && {
      test: health.Test,
      intervalMs: toMs(health.Interval),
      timeoutMs: toMs(health.Timeout),
      startPeriodMs: toMs(health.StartPeriod),
      retries: health.Retries,
    },
    netns: { nsmode: "path", value: netnsPath },
  };
}

function mountOf(mount: Mount): ContainerMount {
  const target = mount.Target ?? "";
  switch (mount.Type) {
    case "tmpfs":
      return {
        type: "tmpfs",
        target,
        readOnly: mount.ReadOnly,
        sizeBytes: mount.TmpfsOptions?.SizeBytes,
        mode: mount.TmpfsOptions?.Mode,
      };
    case "volume": {
      const driver = mount.VolumeOptions?.DriverConfig;
      return {
        type: "volume",
        source: mount.Source || undefined,
        target,
        readOnly: mount.ReadOnly,
        noCopy: mount.VolumeOptions?.NoCopy,
        labels: mount.VolumeOptions?.Labels,
        driver: driver && {
          ...(driver.Name ? { name: driver.Name } : {}),
          ...(driver.Options ? { options: driver.Options } : {}),
        },
        subpath: mount.VolumeOptions?.Subpath,
      };
    }
    default:
      return {
        type: "bind",
        source: mount.Source ?? "",
        target,
        readOnly: mount.ReadOnly,
        propagation: mount.BindOptions?.Propagation as "rprivate" | undefined,
        nonRecursive: mount.BindOptions?.NonRecursive,
        createMountpoint: mount.BindOptions?.CreateMountpoint,
      };
  }
}

function nonEmpty(list: readonly string[] | undefined): readonly string[] | undefined {
  return list?.length ? list : undefined;
}

function toMs(ns: number | undefined): number | undefined {
  return ns === undefined ? undefined : Math.round(ns / NS_PER_MS);
}
