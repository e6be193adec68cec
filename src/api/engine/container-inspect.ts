// GET /containers/{id}/json: Podman's answer with what it says otherwise than Docker put right, and the networks of skep's own containers.
import { familiarImageName } from "../../engine/index.ts";
import { type ApiRequest, param, type Reply } from "../http.ts";
import { publicLabels } from "./container-list.ts";
import { type EngineContext, TASK_LABEL } from "./context.ts";
import { count, emptyAs, type Json, list, object, strings, text, without } from "./json.ts";
import { bridgeAlias, EMPTY_ENDPOINT } from "./podman-networks.ts";
import { networkSettingsJson, taskOf } from "./task-networks.ts";
import { COMPAT } from "./upstream.ts";

/** Capabilities that Podman's own defaults lack and Docker's have: container-create.ts asks for them, nobody else did. */
export const DOCKER_CAPABILITIES = ["AUDIT_WRITE", "MKNOD", "NET_RAW"];

/** What runc hides in every container (oci/defaults.go of moby); Podman does the same and does not say so. */
const MASKED_PATHS = [
  ...["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"],
  ...["/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
  "/sys/devices/virtual/powercap",
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

export async function inspectContainer(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  return { json: await inspectJson(ctx, param(req, "id"), req.query.get("size") ?? "") };
}

/** A container in Docker's shape. @throws SkepError "not_found" */
export async function inspectJson(ctx: EngineContext, id: string, size = ""): Promise<Record<string, unknown>> {
  const raw = object(await rawInspect(ctx, id, size));
  const config = object(raw.Config);
  const host = object(raw.HostConfig);
  const labels = strings(config.Labels);
  const taskId = taskOf(labels);
  const networking = taskId === undefined ? undefined : ctx.containerNetworks.of(taskId);
  const settings = object(raw.NetworkSettings);
  const shortId = text(raw.Id).slice(0, 12);
  const networks = networking
    ? networkSettingsJson(networking, shortId, settings.Ports ?? {})
    : {
        ...settings,
        Ports: boundPorts(object(settings.Ports)),
        SandboxID: sandboxId(settings),
        Networks: shownNetworks((await bridgeAlias(ctx.upstream))(object(settings.Networks)), text(host.NetworkMode)),
      };
  return {
    ...without(raw, "SizeRootFs", "SizeRw"),
    ...(size === "" || size === "0" || size === "false" ? {} : { SizeRw: raw.SizeRw ?? 0, SizeRootFs: raw.SizeRootFs }),
    Args: processArgs(raw),
    State: state(object(raw.State)),
    ExecIDs: emptyAs(raw.ExecIDs, null),
    HostConfig: hostConfig(host, networkMode(host, labels, object(networks).Networks)),
    Config: containerConfig(config, labels),
    NetworkSettings: networks,
  };
}

/** Podman's own answer. @throws SkepError "not_found" */
export function rawInspect(ctx: Pick<EngineContext, "upstream">, id: string, size = ""): Promise<unknown> {
  return ctx.upstream.json("GET", `${COMPAT}/containers/${encodeURIComponent(id)}/json`, {
    query: size === "" ? {} : { size },
    subject: { kind: "container", name: id },
  });
}

/** "default" for tasks, else how the container's first network was asked for. */
function networkMode(host: Json, labels: Readonly<Record<string, string>>, networks: unknown): string {
  if (labels[TASK_LABEL] !== undefined) return "default";
  const mode = text(host.NetworkMode);
  return mode === "bridge" || mode.startsWith("ns:") ? (Object.keys(object(networks))[0] ?? mode) : mode;
}

/** Docker counts "host" and "none" among the networks. */
function shownNetworks(networks: Json, mode: string): Json {
  return (mode === "host" || mode === "none") && Object.keys(networks).length === 0
    ? { [mode]: EMPTY_ENDPOINT }
    : networks;
}

function state(s: Json): Json {
  const status = text(s.Status);
  const shown = { configured: "created", initialized: "created", stopped: "exited", stopping: "running" }[status];
  const health = text(object(s.Health).Status);
  return {
    ...without(s, "Health", "Healthcheck"),
    Status: shown ?? status,
    Running: s.Running === true || status === "stopping" || status === "paused",
    ...(health === "" ? {} : { Health: { ...object(s.Health), Log: list(object(s.Health).Log) } }),
  };
}

function hostConfig(host: Json, mode: string): Json {
  const dropped = list(host.CapDrop).map(text);
  const added = list(host.CapAdd).map(text);
  const log = object(host.LogConfig);
  const asDefault = (value: unknown, theirs: string, ours: string) => (text(value) === theirs ? ours : value);
  return {
    ...host,
    Binds: emptyAs(host.Binds, null),
    LogConfig: { Type: log.Type, Config: log.Config ?? {} },
    NetworkMode: mode,
    CapAdd: emptyAs(
      added.filter((c) => !DOCKER_CAPABILITIES.includes(c.replace(/^CAP_/, ""))),
      null,
    ),
    CapDrop: emptyAs(
      dropped.filter((c) => !DOCKER_CAPABILITIES.includes(c.replace(/^CAP_/, ""))),
      null,
    ),
    CgroupnsMode: asDefault(host.CgroupnsMode, "", "private"),
    ExtraHosts: emptyAs(host.ExtraHosts, null),
    GroupAdd: emptyAs(host.GroupAdd, null),
    IpcMode: asDefault(host.IpcMode, "shareable", "private"),
    PidMode: asDefault(host.PidMode, "private", ""),
    UTSMode: asDefault(host.UTSMode, "private", ""),
    SecurityOpt: emptyAs(host.SecurityOpt, null),
    Runtime: asDefault(host.Runtime, "oci", "runc"),
    BlkioWeightDevice: list(host.BlkioWeightDevice),
    BlkioDeviceReadBps: list(host.BlkioDeviceReadBps),
    BlkioDeviceWriteBps: list(host.BlkioDeviceWriteBps),
    BlkioDeviceReadIOps: list(host.BlkioDeviceReadIOps),
    BlkioDeviceWriteIOps: list(host.BlkioDeviceWriteIOps),
    MemorySwappiness: count(host.MemorySwappiness) <= 0 ? null : host.MemorySwappiness,
    PidsLimit: count(host.PidsLimit) === 0 ? null : host.PidsLimit,
    Ulimits: list(host.Ulimits).map((u) => ({
      ...object(u),
      Name: text(object(u).Name)
        .replace(/^RLIMIT_/, "")
        .toLowerCase(),
    })),
    MaskedPaths: host.MaskedPaths ?? (host.Privileged === true ? [] : MASKED_PATHS),
    ReadonlyPaths: host.ReadonlyPaths ?? (host.Privileged === true ? [] : READONLY_PATHS),
  };
}

function containerConfig(config: Json, labels: Readonly<Record<string, string>>): Json {
  const hostname = text(config.Hostname);
  const own = new Set([`HOSTNAME=${hostname}`, "container=podman", "TERM=xterm"]);
  const signal = text(config.StopSignal);
  return {
    ...without(config, "StopSignal", "StopTimeout"),
    Env: withoutHome(
      list(config.Env)
        .map(text)
        .filter((e) => !own.has(e)),
    ),
    Cmd: emptyAs(config.Cmd, null),
    Image: familiarImageName(text(config.Image)),
    Entrypoint: emptyAs(config.Entrypoint, null),
    Labels: publicLabels(labels),
    ...(signal === "" || signal === "15" || signal === "SIGTERM" ? {} : { StopSignal: signalName(signal) }),
    ...(count(config.StopTimeout) === 0 || count(config.StopTimeout) === 10 ? {} : { StopTimeout: config.StopTimeout }),
  };
}

/** Podman appends the HOME that it found for the user; Docker has it in the process only. One that was asked for stands further up. */
function withoutHome(env: readonly string[]): readonly string[] {
  return env.at(-1)?.startsWith("HOME=") ? env.slice(0, -1) : env;
}

/** "9" → "SIGKILL": Podman keeps numbers where Docker keeps what the user wrote, which is a name as a rule. */
function signalName(signal: string): string {
  return SIGNALS[signal] ?? signal;
}

const SIGNALS: Readonly<Record<string, string>> = {
  "1": "SIGHUP",
  "2": "SIGINT",
  "3": "SIGQUIT",
  "9": "SIGKILL",
  "10": "SIGUSR1",
  "12": "SIGUSR2",
  "28": "SIGWINCH",
};

/** Podman has no ids for sandboxes; the namespace's name is as good, being as unique. */
function sandboxId(settings: Json): string {
  return (
    text(settings.SandboxKey)
      .split("/")
      .pop()
      ?.replace(/^netns-/, "")
      .replaceAll("-", "") ?? ""
  );
}

/** The process's arguments. Podman 4.3 repeats the program there when it has none. */
export function processArgs(raw: Json): string[] {
  const args = list(raw.Args).map(text);
  const config = object(raw.Config);
  const words =
    list(config.Cmd).length + (text(config.Entrypoint) !== "" || list(config.Entrypoint).length > 0 ? 1 : 0);
  return args.length === 1 && args[0] === text(raw.Path) && words <= 1 ? [] : args;
}

/** Published ports by "80/tcp". Where Podman says no address it means every one, which Docker writes out. */
function boundPorts(ports: Json): Json {
  const bound = (binding: unknown) => ({ ...object(binding), HostIp: text(object(binding).HostIp) || "0.0.0.0" });
  return Object.fromEntries(
    Object.entries(ports).map(([port, at]) => [port, at === null ? null : list(at).map(bound)]),
  );
}
