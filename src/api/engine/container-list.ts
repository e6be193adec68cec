// GET /containers/json and the shape of one entry. Podman's list has neither Docker's filters nor all of its fields, so all containers are
// asked for and chosen from here; skep's own get their networks from task-networks.ts.
import { readlink } from "node:fs/promises";
import { familiarImageName } from "../../engine/index.ts";
import { SkepError } from "../../model/errors.ts";
import { type ApiRequest, boolParam, type Reply } from "../http.ts";
import type { CommandLines } from "./command-lines.ts";
import { type EngineContext, INTERNAL_LABELS, TASK_LABEL } from "./context.ts";
import { Filters, imageForms } from "./filters.ts";
import { count, type Json, list, object, strings, text } from "./json.ts";
import { bridgeAlias, EMPTY_ENDPOINT } from "./podman-networks.ts";
import { networksJson, taskOf } from "./task-networks.ts";
import { COMPAT, LIBPOD } from "./upstream.ts";

const ACCEPTED = [
  ...["ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label", "name", "network"],
  ...["publish", "since", "status", "volume"],
];
const STATES = ["created", "dead", "exited", "paused", "removing", "restarting", "running"];

/** Podman's states, as Docker calls them. */
const STATE_OF: Readonly<Record<string, string>> = {
  configured: "created",
  initialized: "created",
  stopped: "exited",
  stopping: "running",
};

export interface Entry {
  readonly json: Record<string, unknown>;
  readonly id: string;
  readonly names: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly state: string;
  readonly health: string;
  readonly exitCode: number;
  readonly created: number;
  readonly imageId: string;
  readonly imageName: string;
}

/** @throws SkepError "invalid" for filters that Docker refuses too */
export async function listContainers(ctx: EngineContext, lines: CommandLines, req: ApiRequest): Promise<Reply> {
  const filters = Filters.of(req.query, ACCEPTED);
  for (const status of filters.get("status")) {
    if (!STATES.includes(status)) throw new SkepError("invalid", `invalid filter 'status=${status}'`);
  }
  const limit = Number(req.query.get("limit") ?? "-1");
  const entries = await allContainers(ctx, boolParam(req.query, "size"), req.signal);
  const ancestors = await imageIds(ctx, filters.get("ancestor"));
  const after = bound(entries, filters, "since");
  const before = bound(entries, filters, "before");
  const everyState = boolParam(req.query, "all") || limit > 0 || ["status", "exited"].some((f) => filters.has(f));
  const chosen = entries.filter(
    (e) =>
      (everyState || ["running", "paused", "restarting"].includes(e.state)) &&
      (after === undefined || e.created > after) &&
      (before === undefined || e.created < before) &&
      isWanted(e, filters, ancestors),
  );
  const shown = limit > 0 ? chosen.slice(0, limit) : chosen;
  const all = new Set(entries.map((e) => e.id));
  const commands = await lines.of(
    shown.map((e) => e.id),
    all,
  );
  return { json: shown.map((e) => ({ ...e.json, Command: commands.get(e.id) ?? e.json.Command })) };
}

/** Every container, newest first, in Docker's shape. */
export async function allContainers(ctx: EngineContext, size: boolean, signal?: AbortSignal): Promise<Entry[]> {
  const ask = signal === undefined ? {} : { signal };
  const [compat, libpod, aliases] = await Promise.all([
    ctx.upstream.listing(`${COMPAT}/containers/json`, { ...ask, query: { all: "1", ...(size ? { size: "1" } : {}) } }),
    ctx.upstream.listing(`${LIBPOD}/containers/json`, { ...ask, query: { all: "true" } }),
    bridgeAlias(ctx.upstream),
  ]);
  const details = new Map(list(libpod).map((d) => [text(object(d).Id), object(d)]));
  const hostNet = await sharingHostNetwork([...details.values()].map((d) => count(d.Pid)));
  return list(compat)
    .map((c) => entry(ctx, object(c), details.get(text(object(c).Id)) ?? {}, aliases, hostNet))
    .sort((a, b) => b.created - a.created);
}

function entry(
  ctx: EngineContext,
  c: Json,
  detail: Json,
  alias: (networks: Json) => Json,
  hostNet: ReadonlySet<number>,
): Entry {
  const labels = strings(c.Labels);
  const said = text(c.State);
  const state = STATE_OF[said] ?? said;
  const health = text(detail.Status);
  const taskId = taskOf(labels);
  const networking = taskId === undefined ? undefined : ctx.containerNetworks.of(taskId);
  const own = alias(object(object(c.NetworkSettings).Networks));
  const networks = networking ? networksJson(networking) : Object.keys(own).length > 0 ? own : bare(hostNet, detail);
  const image = text(c.Image);
  return {
    id: text(c.Id),
    names: list(c.Names).map(text),
    labels,
    state,
    health: health === "" ? "none" : health,
    exitCode: count(detail.ExitCode),
    created: Date.parse(text(detail.Created)) || count(c.Created) * 1000,
    imageId: text(c.ImageID),
    imageName: image,
    json: {
      Id: c.Id,
      Names: c.Names,
      Image: image === "" ? text(c.ImageID) : familiarImageName(image),
      ImageID: c.ImageID,
      Command: c.Command,
      Created: c.Created,
      Ports: list(c.Ports).map(port),
      ...(c.SizeRw === undefined ? {} : { SizeRw: c.SizeRw }),
      ...(c.SizeRootFs === undefined ? {} : { SizeRootFs: c.SizeRootFs }),
      Labels: publicLabels(labels),
      State: state,
      Status: statusText(text(c.Status), state, health),
      HostConfig: { NetworkMode: modeOf(labels, networks) },
      NetworkSettings: { Networks: networks },
      Mounts: c.Mounts ?? [],
    },
  };
}

/** Which of these processes are in this process's own network namespace. */
async function sharingHostNetwork(pids: readonly number[]): Promise<ReadonlySet<number>> {
  const namespace = (pid: number | "self") => readlink(`/proc/${pid}/ns/net`).catch(() => ""); // "": it ended meanwhile
  const own = await namespace("self");
  const theirs = await Promise.all(
    pids.filter((pid) => pid > 0).map(async (pid) => ({ pid, ns: await namespace(pid) })),
  );
  return new Set(theirs.filter(({ ns }) => ns === own).map(({ pid }) => pid));
}

/** NetworkSettings.Networks of a container that has no network of its own: Docker calls that "host" or "none". */
function bare(hostNet: ReadonlySet<number>, detail: Json): Json {
  return { [hostNet.has(count(detail.Pid)) ? "host" : "none"]: EMPTY_ENDPOINT };
}

/** Labels less skep's internal ones. */
export function publicLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([k]) => !k.startsWith(INTERNAL_LABELS)));
}
function modeOf(labels: Readonly<Record<string, string>>, networks: Json): string {
  if (labels[TASK_LABEL] !== undefined) return "default";
  return Object.keys(networks)[0] ?? "none";
}

function port(value: unknown): object {
  const p = object(value);
  const ip = text(p.IP);
  return {
    ...(p.PublicPort === undefined ? {} : { IP: ip === "" ? "0.0.0.0" : ip }),
    PrivatePort: p.PrivatePort,
    ...(p.PublicPort === undefined ? {} : { PublicPort: p.PublicPort }),
    Type: p.Type,
  };
}

function statusText(said: string, state: string, health: string): string {
  if (state === "running" && ["starting", "healthy", "unhealthy"].includes(health) && !said.includes("(")) {
    return `${said} (${health === "starting" ? "health: starting" : health})`;
  }
  return said;
}

function isWanted(e: Entry, filters: Filters, ancestors: ReadonlySet<string> | undefined): boolean {
  const isTask = filters.boolean("is-task");
  const networks = object(object(e.json.NetworkSettings).Networks);
  const names = e.names.map((n) => n.replace(/^\//, ""));
  return (
    filters.prefix("id", e.id) &&
    filters.match("name", ...names, ...e.names) &&
    filters.labels(e.labels) &&
    filters.exact("status", e.state) &&
    filters.exact("health", e.health) &&
    (!filters.has("exited") ||
      (e.state === "exited" && filters.get("exited").some((code) => Number(code) === e.exitCode))) &&
    (isTask === undefined || isTask === Object.hasOwn(e.labels, TASK_LABEL)) &&
    (ancestors === undefined || ancestors.has(e.imageId) || ancestors.has(e.imageName)) &&
    filters.exact(
      "network",
      ...Object.keys(networks),
      ...Object.values(networks).map((n) => text(object(n).NetworkID)),
    ) &&
    filters.exact(
      "volume",
      ...list(e.json.Mounts).flatMap((m) => [text(object(m).Name), text(object(m).Destination)]),
    ) &&
    hasPort(e, filters, "publish", "PublicPort") &&
    hasPort(e, filters, "expose", "PrivatePort")
  );
}

function hasPort(e: Entry, filters: Filters, field: string, which: "PublicPort" | "PrivatePort"): boolean {
  if (!filters.has(field)) return true;
  const ports = list(e.json.Ports).map(object);
  return filters.get(field).some((wanted) => {
    const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(wanted);
    if (!match) throw new SkepError("invalid", `invalid filter '${field}=${wanted}'`);
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    const protocol = match[3] ?? "tcp";
    return ports.some((p) => count(p[which]) >= from && count(p[which]) <= to && text(p.Type) === protocol);
  });
}

/** The time of creation of the container that `since` or `before` names. @throws SkepError "not_found" */
function bound(entries: readonly Entry[], filters: Filters, field: string): number | undefined {
  const named = filters.get(field)[0];
  if (named === undefined) return undefined;
  const found = entries.find((e) => e.id.startsWith(named) || e.names.includes(`/${named.replace(/^\//, "")}`));
  if (!found) throw new SkepError("not_found", `No such container: ${named}`);
  return found.created;
}

/** Ids and full names of the images that are asked for; `undefined` when none is. An image that is not there matches nothing. */
async function imageIds(ctx: EngineContext, wanted: readonly string[]): Promise<ReadonlySet<string> | undefined> {
  if (wanted.length === 0) return undefined;
  const ids = new Set<string>();
  for (const name of wanted) {
    for (const form of imageForms(name)) ids.add(form);
    const answer = await ctx.upstream.ask("GET", `${COMPAT}/images/${encodeURIComponent(name)}/json`);
    if (answer.status === 200) ids.add(text(object(JSON.parse(answer.text)).Id));
  }
  return ids;
}
