// version, info, disk usage, auth, and the questions about things that Podman has not: plugins, build sessions, checkpoints.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { hostname } from "node:os";
import { arch } from "node:process";
import { SkepError } from "../../model/errors.ts";
import { type ApiRequest, jsonBody, type Reply } from "../http.ts";
import type { Router } from "../router.ts";
import { allContainers } from "./container-list.ts";
import type { EngineContext } from "./context.ts";
import { isLoopback, loginOnLoopback } from "./distribution.ts";
import { streamEvents } from "./events.ts";
import { allImages } from "./images.ts";
import { count, type Json, list, object, strings, text } from "./json.ts";
import { StaticFacts } from "./static-facts.ts";
import { COMPAT, LIBPOD } from "./upstream.ts";
import { volumesWithUsage } from "./volumes.ts";

/** A registry that does not answer a login within this is out of reach. */
const LOGIN_TIMEOUT_MS = 10_000;

export function systemRoutes(ctx: EngineContext): (router: Router) => void {
  const facts = new StaticFacts(ctx.upstream, ctx.clock);
  return (router) => {
    router.add("GET", "/version", () => version(ctx, facts));
    router.add("GET", "/info", () => info(ctx, facts));
    router.add("GET", "/events", (req, res: ServerResponse) => streamEvents(ctx, req, res));
    router.add("GET", "/system/df", (req) => diskUsage(ctx, req));
    router.add("POST", "/auth", (req) => login(ctx, req));
    router.add("GET", "/plugins", () => ({ json: [] }));
    router.add("GET", "/plugins/{name:.*}/json", (req) => {
      throw new SkepError("not_found", `plugin "${req.params.name}" not found`);
    });
    router.add("GET", "/containers/{id}/checkpoints", () => ({ json: null }));
  };
}

async function version(ctx: EngineContext, facts: StaticFacts): Promise<Reply> {
  const { about } = ctx;
  const engine = await facts.get(`${COMPAT}/version`);
  const common = {
    Os: "linux",
    Arch: goArch(),
    KernelVersion: text(engine.KernelVersion),
    GitCommit: about.gitCommit,
    BuildTime: about.buildTime,
  };
  const components = list(engine.Components)
    .map(object)
    .map((c) => ({ Name: text(c.Name), Version: firstLine(text(c.Version)), Details: detailsOf(c) }));
  return {
    json: {
      Platform: { Name: `skep ${about.version}` },
      Components: [
        {
          Name: "Engine",
          Version: about.version,
          Details: {
            ApiVersion: about.apiVersion,
            Arch: common.Arch,
            BuildTime: about.buildTime,
            Experimental: "false",
            GitCommit: about.gitCommit,
            GoVersion: `node ${process.version}`,
            KernelVersion: common.KernelVersion,
            MinAPIVersion: about.minApiVersion,
            Os: "linux",
          },
        },
        ...components,
      ],
      Version: about.version,
      ApiVersion: about.apiVersion,
      MinAPIVersion: about.minApiVersion,
      GitCommit: common.GitCommit,
      GoVersion: `node ${process.version}`,
      Os: common.Os,
      Arch: common.Arch,
      KernelVersion: common.KernelVersion,
      BuildTime: common.BuildTime,
    },
  };
}

/** Docker's CLI prints details line by line: none of Podman's are of many lines. */
function detailsOf(component: Json): Record<string, string> {
  return Object.fromEntries(Object.entries(strings(component.Details)).map(([k, v]) => [k, firstLine(v)]));
}

function firstLine(value: string): string {
  return value.split("\n")[0] ?? "";
}

function goArch(): string {
  return { x64: "amd64", ia32: "386" }[arch as string] ?? arch;
}

async function info(ctx: EngineContext, facts: StaticFacts): Promise<Reply> {
  const [compat, libpod, swarm, images, containers] = await Promise.all([
    facts.get(`${COMPAT}/info`),
    facts.get(`${LIBPOD}/info`),
    ctx.swarmInfo(),
    ctx.upstream.json("GET", `${LIBPOD}/images/json`).then(list),
    ctx.upstream.listing(`${LIBPOD}/containers/json`, { query: { all: "true" } }).then(list),
  ]);
  const host = object(libpod.host);
  const runtime = object(host.ociRuntime);
  const runtimeName = text(runtime.name) || "runc";
  const plugins = object(compat.Plugins);
  const { about } = ctx;
  const states = containers.map((c) => text(object(c).State));
  const inState = (...wanted: string[]) => states.filter((s) => wanted.includes(s)).length;
  return {
    json: {
      ID: engineId(about.dataRoot),
      Containers: states.length,
      ContainersRunning: inState("running", "stopping"),
      ContainersPaused: inState("paused"),
      ContainersStopped: states.length - inState("running", "stopping", "paused"),
      Images: images.length,
      Driver: compat.Driver,
      DriverStatus: compat.DriverStatus,
      Plugins: {
        Volume: plugins.Volume ?? ["local"],
        Network: [...new Set([...list(plugins.Network).map(text), "host", "null", "overlay"])].sort(),
        Authorization: null,
        Log: [...new Set([...list(plugins.Log).map(text), "json-file"])].sort(),
      },
      MemoryLimit: compat.MemoryLimit,
      SwapLimit: compat.SwapLimit,
      CpuCfsPeriod: compat.CpuCfsPeriod,
      CpuCfsQuota: compat.CpuCfsQuota,
      CPUShares: compat.CPUShares,
      CPUSet: compat.CPUSet,
      PidsLimit: compat.PidsLimit,
      IPv4Forwarding: (await readFile("/proc/sys/net/ipv4/ip_forward", "utf8")).trim() === "1",
      Debug: false,
      NFd: compat.NFd,
      OomKillDisable: compat.OomKillDisable,
      NGoroutines: compat.NGoroutines,
      SystemTime: new Date(ctx.clock.now()).toISOString(),
      LoggingDriver: "json-file",
      CgroupDriver: compat.CgroupDriver,
      CgroupVersion: compat.CgroupVersion,
      NEventsListener: 0,
      KernelVersion: compat.KernelVersion,
      OperatingSystem: operatingSystem(object(host.distribution)),
      OSVersion: compat.OSVersion,
      OSType: "linux",
      Architecture: { amd64: "x86_64", arm64: "aarch64" }[text(host.arch)] ?? host.arch,
      IndexServerAddress: "https://index.docker.io/v1/",
      RegistryConfig: {
        AllowNondistributableArtifactsCIDRs: null,
        AllowNondistributableArtifactsHostnames: null,
        InsecureRegistryCIDRs: ["::1/128", "127.0.0.0/8"],
        IndexConfigs: { "docker.io": { Name: "docker.io", Mirrors: [], Secure: true, Official: true } },
        Mirrors: [],
      },
      NCPU: compat.NCPU,
      MemTotal: compat.MemTotal,
      GenericResources: null,
      DockerRootDir: about.dataRoot,
      HttpProxy: compat.HttpProxy ?? "",
      HttpsProxy: compat.HttpsProxy ?? "",
      NoProxy: compat.NoProxy ?? "",
      Name: compat.Name,
      Labels: about.labels,
      ExperimentalBuild: false,
      ServerVersion: about.version,
      Runtimes: { [runtimeName]: { path: text(runtime.path) } },
      DefaultRuntime: runtimeName,
      Swarm: swarm,
      LiveRestoreEnabled: false,
      Isolation: "",
      InitBinary: "",
      ContainerdCommit: { ID: "", Expected: "" },
      RuncCommit: { ID: runtimeVersion(text(runtime.version)), Expected: runtimeVersion(text(runtime.version)) },
      InitCommit: { ID: "", Expected: "" },
      SecurityOptions: list(compat.SecurityOptions).map((o) => text(o).replace("profile=default", "profile=builtin")),
      ProductLicense: "Apache-2.0",
      Warnings: [...about.warnings()],
      CDISpecDirs: null,
    },
  };
}

/** Of this daemon, and the same for ever: Podman's own changes with every question. */
function engineId(dataRoot: string): string {
  const hex = createHash("sha256").update(`${hostname()}\n${dataRoot}`).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
}

/** "runc version 1.1.5\ncommit: …" → "1.1.5". */
function runtimeVersion(text: string): string {
  return /version (\S+)/.exec(text)?.[1] ?? "";
}

/** As /etc/os-release's PRETTY_NAME, which Podman does not give: "Debian GNU/Linux 12 (bookworm)". */
function operatingSystem(d: Json): string {
  const name = text(d.distribution);
  const pretty = name === "debian" ? "Debian GNU/Linux" : name.charAt(0).toUpperCase() + name.slice(1);
  const codename = text(d.codename);
  return [pretty, text(d.version), codename === "" ? "" : `(${codename})`].filter((part) => part !== "").join(" ");
}

const USAGE_TYPES = ["container", "image", "volume", "build-cache"];

async function diskUsage(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const asked = req.query.getAll("type");
  for (const type of asked) {
    if (!USAGE_TYPES.includes(type)) throw new SkepError("invalid", `unknown object type: ${type}`);
  }
  const wanted = (type: string) => asked.length === 0 || asked.includes(type);
  const [images, containers, volumes, df] = await Promise.all([
    wanted("image") ? allImages(ctx, req.minor) : undefined,
    wanted("image") || wanted("container") ? allContainers(ctx, true, req.signal) : [],
    wanted("volume") ? volumesWithUsage(ctx) : undefined,
    wanted("image") ? ctx.upstream.listing(`${LIBPOD}/system/df`).then(object) : {},
  ]);
  return {
    json: {
      ...(images ? { LayersSize: layersSize(list((df as Json).Images)), Images: withUse(images, containers, df) } : {}),
      ...(wanted("container") ? { Containers: containers.map((c) => c.json) } : {}),
      ...(volumes ? { Volumes: volumes } : {}),
      ...(wanted("build-cache") ? { BuildCache: [] } : {}),
      ...(req.minor < 42 ? { BuilderSize: 0 } : {}),
    },
  };
}

/** What the layers take on disk: each image's own, and what they share once. An image with several names is one row each. */
function layersSize(images: readonly unknown[]): number {
  const byId = new Map(images.map((i) => [text(object(i).ImageID), object(i)]));
  let own = 0;
  let shared = 0;
  for (const i of byId.values()) {
    const part = count(i.SharedSize);
    own += count(i.Size) - part;
    shared = Math.max(shared, part);
  }
  return own + shared;
}

function withUse(images: readonly Json[], containers: Awaited<ReturnType<typeof allContainers>>, df: Json): Json[] {
  const shared = new Map(list(df.Images).map((i) => [text(object(i).ImageID), count(object(i).SharedSize)]));
  return images.map((i) => ({
    ...i,
    Containers: containers.filter((c) => c.imageId === text(i.Id)).length,
    SharedSize: shared.get(text(i.Id).replace(/^sha256:/, "")) ?? 0,
  }));
}

/** @throws SkepError "unauthorized" when the registry refuses, "unavailable" when it cannot be reached */
async function login(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const json = await jsonBody(req);
  const signal = AbortSignal.any([req.signal, AbortSignal.timeout(LOGIN_TIMEOUT_MS)]);
  const { serveraddress, username, password } = object(json);
  const host = text(serveraddress)
    .replace(/^https?:\/\//, "")
    .replace(/\/.*$/, "");
  if (isLoopback(host)) {
    await loginOnLoopback(host, { username: text(username), password: text(password) }, signal);
    return { json: { IdentityToken: "", Status: "Login Succeeded" } };
  }
  const { status, text: body } = await ctx.upstream.ask("POST", `${COMPAT}/auth`, { json, signal });
  if (status === 200) return { json: { IdentityToken: "", Status: "Login Succeeded" } };
  const said = object(parse(body));
  const message = text(said.message) || text(said.cause) || text(said.Status) || body;
  if (/unauthorized|invalid username|incorrect|denied/i.test(message)) throw new SkepError("unauthorized", message);
  throw new SkepError("unavailable", message);
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return {}; // plain text: shown as it is
  }
}
