// Podman's JSON answers → the port's types. Podman writes Go's zero time for "never" and null for an empty map or list; both end here.
import type { ContainerState, ContainerStatus, ContainerSummary, EngineEvent, ImageInfo } from "./port.ts";

export type Json = Readonly<Record<string, unknown>>;

const STATUSES: ReadonlySet<string> = new Set<ContainerStatus>([
  "created",
  "initialized",
  "running",
  "paused",
  "stopping",
  "stopped",
  "exited",
  "removing",
]);

/** GET /libpod/containers/{id}/json */
export function readContainer(answer: unknown): ContainerState {
  const c = object(answer);
  const state = object(c.State);
  const networkMode = text(object(c.HostConfig).NetworkMode);
  return {
    id: text(c.Id),
    name: text(c.Name),
    image: text(c.ImageName),
    pid: count(state.Pid),
    state: status(state.Status),
    exitCode: count(state.ExitCode),
    createdAt: when(c.Created),
    startedAt: when(state.StartedAt),
    finishedAt: when(state.FinishedAt),
    oomKilled: state.OOMKilled === true,
    error: text(state.Error),
    labels: strings(object(c.Config).Labels),
    netnsPath: networkMode.startsWith("ns:") ? networkMode.slice("ns:".length) : undefined,
  };
}

/** One item of GET /libpod/containers/json */
export function readListed(answer: unknown): ContainerSummary {
  const c = object(answer);
  return {
    id: text(c.Id),
    name: text(list(c.Names)[0]),
    image: text(c.Image),
    pid: count(c.Pid),
    state: status(c.State),
    exitCode: count(c.ExitCode),
    startedAt: seconds(c.StartedAt),
    finishedAt: seconds(c.ExitedAt),
    labels: strings(c.Labels),
  };
}

/** GET /libpod/images/{name}/json */
export function readImage(answer: unknown): ImageInfo {
  const i = object(answer);
  const config = object(i.Config);
  return {
    id: `sha256:${text(i.Id).replace(/^sha256:/, "")}`,
    tags: list(i.RepoTags).map(text),
    digests: list(i.RepoDigests).map(text),
    labels: strings(i.Labels ?? config.Labels),
    entrypoint: list(config.Entrypoint).map(text),
    command: list(config.Cmd).map(text),
    os: text(i.Os),
    arch: text(i.Architecture),
    sizeBytes: count(i.Size),
  };
}

/** One line of GET /libpod/events */
export function readEvent(answer: unknown): EngineEvent {
  const e = object(answer);
  const actor = object(e.Actor);
  const nanoseconds = count(e.timeNano);
  return {
    type: text(e.Type),
    action: text(e.Action),
    actorId: text(actor.ID),
    attributes: strings(actor.Attributes),
    at: new Date(nanoseconds > 0 ? nanoseconds / 1e6 : count(e.time) * 1000),
  };
}

export function object(value: unknown): Json {
  return typeof value === "object" && value !== null ? (value as Json) : {};
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function count(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function strings(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(object(value)).map(([k, v]) => [k, text(v)]));
}

function status(value: unknown): ContainerStatus {
  return typeof value === "string" && STATUSES.has(value) ? (value as ContainerStatus) : "unknown";
}

function when(value: unknown): Date | undefined {
  const date = new Date(text(value));
  return Number.isNaN(date.getTime()) || date.getTime() <= 0 ? undefined : date;
}

function seconds(value: unknown): Date | undefined {
  const s = count(value);
  return s <= 0 ? undefined : new Date(s * 1000);
}
