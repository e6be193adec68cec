// ContainerCreate → the SpecGenerator JSON of Podman's POST /libpod/containers/create. Pure: volumes and mount points that must exist first
// are volumes.ts' work. Field names: github.com/containers/podman, pkg/specgen/specgen.go (v4.3).
import { constants } from "node:os";
import { SkepError } from "../model/errors.ts";
import type { ContainerCreate, ContainerMount, Healthcheck, LogDriver, ResourceLimits } from "./container-spec.ts";
import { fullImageName } from "./image-names.ts";
import { type Ceilings, settableUlimits } from "./limits.ts";

type Json = Record<string, unknown>;

/** Docker's CPU period in microseconds; a quota is nanoCpus in this much time. */
const CPU_PERIOD_US = 100_000;
const MS_TO_NS = 1_000_000;
/** Podman makes tmpfs copy up what the image has there; Docker does not. */
const TMPFS_OPTIONS = ["rw", "nosuid", "nodev", "noexec", "notmpcopyup"];

/**
 * The body of the create request. Keys that are not asked for are left out, so that Podman's defaults and the image's stand.
 * @throws SkepError "invalid" for what no container can have (an unknown signal, a mount without a target)
 */
export function toSpecGenerator(spec: ContainerCreate, ceilings: Ceilings): Json {
  const volumes = (spec.mounts ?? []).filter((m) => m.type === "volume");
  return dropUndefined({
    name: spec.name,
    image: fullImageName(spec.image),
    entrypoint: nonEmpty(spec.command),
    command: nonEmpty(spec.args),
    env: environment(spec.env ?? []),
    // Podman adds container=podman and TERM=xterm; Docker has no such variables (TERM only with a terminal).
    unsetenv: spec.tty ? ["container"] : ["container", "TERM"],
    work_dir: spec.dir || undefined,
    user: spec.user || undefined,
    groups: nonEmpty(spec.groups),
    hostname: spec.hostname || undefined,
    labels: spec.labels,
    mounts: [
      ...(spec.mounts ?? []).filter((m) => m.type !== "volume").map(toMount),
      ...(spec.files ?? []).map((f) => ({
        type: "bind",
        source: f.source,
        destination: f.target,
        options: ["bind", "rprivate", f.readOnly ? "ro" : "rw"],
      })),
    ],
    volumes: volumes.map((v) => ({
      Name: v.source ?? "",
      Dest: target(v),
      Options: [v.readOnly ? "ro" : "rw", ...(v.noCopy ? ["nocopy"] : [])],
    })),
    stop_signal: spec.stopSignal ? signalNumber(spec.stopSignal) : undefined,
    stop_timeout: spec.stopGraceMs === undefined ? undefined : Math.ceil(spec.stopGraceMs / 1000),
    terminal: spec.tty,
    stdin: spec.openStdin,
    read_only_filesystem: spec.readOnly,
    init: spec.init,
    ...capabilities(spec.capabilityAdd ?? [], spec.capabilityDrop ?? []),
    r_limits: ulimits(spec, ceilings),
    sysctl: spec.sysctls,
    oom_score_adj: spec.oomScoreAdj,
    privileged: spec.privileged,
    no_new_privileges: spec.noNewPrivileges,
    seccomp_profile_path: spec.seccompUnconfined ? "unconfined" : undefined,
    resource_limits: limits(spec.limits ?? {}),
    log_configuration: logging(spec.logDriver),
    healthconfig: spec.healthcheck && health(spec.healthcheck),
    netns: spec.netns,
    pidns: spec.pidMode && { nsmode: spec.pidMode },
    hostadd: nonEmpty(spec.hosts),
    // A task is never booted as a machine: no look into the image for systemd, no extra mounts.
    systemd: "false",
  });
}

/** The number of "SIGTERM", "TERM", "15" or "SIGRTMIN+3". @throws SkepError "invalid" in Docker's words */
export function signalNumber(text: string): number {
  const bare = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RTMIN(?:\+(\d+))?$/.exec(bare) ?? /^RTMAX(?:-(\d+))?$/.exec(bare);
  const SIGRTMIN = 34;
  const SIGRTMAX = 64;
  const offset = Number(realTime?.[1] ?? 0);
  const number = realTime
    ? bare.startsWith("RTMIN")
      ? SIGRTMIN + offset
      : SIGRTMAX - offset
    : /^\d+$/.test(bare)
      ? Number(bare)
      : (constants.signals as Readonly<Record<string, number>>)[`SIG${bare}`];
  if (number === undefined || number < 1 || number > SIGRTMAX) {
    throw new SkepError("invalid", `invalid signal: ${text}`);
  }
  return number;
}

function toMount(mount: ContainerMount): Json {
  if (mount.type === "bind") {
    const options = [
      mount.nonRecursive ? "bind" : "rbind",
      mount.propagation ?? "rprivate",
      mount.readOnly ? "ro" : "rw",
    ];
    return { type: "bind", source: mount.source, destination: target(mount), options };
  }
  if (mount.type !== "tmpfs") throw new SkepError("internal", "a volume is no plain mount");
  const options = mount.readOnly ? TMPFS_OPTIONS.with(0, "ro") : [...TMPFS_OPTIONS];
  if (mount.sizeBytes) options.push(`size=${mount.sizeBytes}`);
  if (mount.mode !== undefined) options.push(`mode=${mount.mode.toString(8)}`);
  return { type: "tmpfs", source: "tmpfs", destination: target(mount), options };
}

function target(mount: ContainerMount): string {
  if (mount.target.startsWith("/")) return mount.target;
  const text = `invalid mount config for type "${mount.type}": invalid mount path: '${mount.target}' mount path must be absolute`;
  throw new SkepError("invalid", text);
}

function environment(env: readonly string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const entry of env) {
    const eq = entry.indexOf("=");
    if (eq > 0) out[entry.slice(0, eq)] = entry.slice(eq + 1);
  }
  return out;
}

/** Docker's rule is that an added capability wins over a dropped one; Podman refuses a capability that is in both lists. */
function capabilities(add: readonly string[], drop: readonly string[]): Json {
  const added = add.map(capability);
  const dropped = drop.map(capability).filter((c) => c === "ALL" || !added.includes(c));
  return { cap_add: nonEmpty(added), cap_drop: nonEmpty(dropped) };
}

function capability(name: string): string {
  const upper = name.toUpperCase();
  return upper === "ALL" || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
}

function ulimits(spec: ContainerCreate, ceilings: Ceilings): Json[] | undefined {
  const settable = settableUlimits(spec.ulimits ?? [], ceilings);
  return settable.length === 0 ? undefined : settable.map((u) => ({ type: u.name, soft: u.soft, hard: u.hard }));
}

function limits(l: ResourceLimits): Json {
  const memory = dropUndefined({
    limit: l.memoryBytes || undefined,
    reservation: l.memoryReservationBytes || undefined,
    // As Docker: a memory limit alone allows as much swap again.
    swap: l.memorySwapBytes || (l.memoryBytes ? l.memoryBytes * 2 : undefined),
    swappiness: l.memorySwappiness,
  });
  const cpu = l.nanoCpus ? { quota: Math.round((l.nanoCpus * CPU_PERIOD_US) / 1e9), period: CPU_PERIOD_US } : undefined;
  return dropUndefined({
    memory: Object.keys(memory).length === 0 ? undefined : memory,
    cpu,
    // Without a wish there is no limit in Docker; Podman's own default is 2048.
    pids: { limit: l.pids && l.pids > 0 ? l.pids : -1 },
  });
}

function logging(driver: LogDriver | undefined): Json | undefined {
  if (driver === undefined || driver.name === "") return undefined;
  const size = driver.options?.["max-size"];
  const tag = driver.options?.tag;
  return dropUndefined({
    driver: driver.name === "json-file" || driver.name === "local" ? "k8s-file" : driver.name,
    size: size === undefined ? undefined : bytes(size),
    options: tag === undefined ? undefined : { tag },
  });
}

/** "10m" → 10485760, as Docker reads log sizes. */
function bytes(text: string): number {
  const [, digits, unit] = /^(\d+)\s*([kmg]?)b?$/i.exec(text) ?? [];
  if (digits === undefined) throw new SkepError("invalid", `invalid value for log option max-size: ${text}`);
  return Number(digits) * 1024 ** ["", "k", "m", "g"].indexOf((unit ?? "").toLowerCase());
}

function health(check: Healthcheck): Json {
  const ns = (ms: number | undefined) => (ms === undefined ? undefined : ms * MS_TO_NS);
  return dropUndefined({
    Test: check.test,
    Interval: ns(check.intervalMs),
    Timeout: ns(check.timeoutMs),
    StartPeriod: ns(check.startPeriodMs),
    Retries: check.retries,
  });
}

function nonEmpty(list: readonly string[] | undefined): readonly string[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}

function dropUndefined(object: Json): Json {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
