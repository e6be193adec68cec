// POST /containers/create: the request as Podman understands it, and attachable swarm networks, which Podman knows nothing of: for those a
// sandbox is made first (see Attachments in context.ts) and the container joins its namespace.
import { familiarImageName, settableUlimits } from "../../engine/index.ts";
import { SkepError } from "../../model/errors.ts";
import type { Network } from "../../model/objects.ts";
import { rpcError } from "../errors.ts";
import { type ApiRequest, jsonBody, type Reply } from "../http.ts";
import { DOCKER_CAPABILITIES } from "./container-inspect.ts";
import { ATTACHMENT_LABEL, type Attachment, type AttachmentRequest, type EngineContext } from "./context.ts";
import { count, type Json, list, object, strings, text, without } from "./json.ts";
import { podmanName } from "./podman-networks.ts";
import { noSuch } from "./refusals.ts";
import { COMPAT, LIBPOD } from "./upstream.ts";

const UNPUBLISHED = "containers on overlay networks have no ports on the host; use a service";
/** Docker's rule for container names (daemon/names). */
const NAME = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** @throws SkepError "not_found" (image), "conflict" (name), "forbidden" (network not attachable), "invalid" */
export async function createContainer(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const body = object(await jsonBody(req));
  const name = checkedName(req.query.get("name") ?? "");
  if (text(body.Image) === "") throw new SkepError("invalid", "no image specified"); // Docker: config cannot be empty
  const wanted = swarmNetworks(ctx, body);
  const request = await podmanRequest(ctx, body);
  await checkImage(ctx, text(body.Image));
  if (name !== "") await checkNameFree(ctx, name);
  if (wanted.length === 0) return created(await send(ctx, req, request));
  const attachment = await ctx.attachments.create({ name, networks: wanted, ...namesOf(body) });
  try {
    const answer = await send(ctx, req, joined(request, attachment));
    await ctx.attachments.bind(attachment.taskId, text(answer.Id));
    const ports = Object.keys(object(object(body.HostConfig).PortBindings));
    return created({
      ...answer,
      Warnings: [...list(answer.Warnings), ...ports.map((port) => `port ${port} is not published: ${UNPUBLISHED}`)],
    });
  } catch (e) {
    await ctx.attachments.release(attachment.taskId);
    throw e;
  }
}

async function send(ctx: EngineContext, req: ApiRequest, json: Json): Promise<Json> {
  const query = new URLSearchParams(req.query);
  query.delete("platform");
  return object(
    await ctx.upstream.json("POST", `${COMPAT}/containers/create`, {
      query,
      json,
      subject: { kind: "image", name: text(json.Image) },
    }),
  );
}

function created(answer: Json): Reply {
  return { status: 201, json: { Id: answer.Id, Warnings: list(answer.Warnings) } };
}

function checkedName(name: string): string {
  if (name === "" || NAME.test(name)) return name.replace(/^\//, "");
  throw new SkepError("invalid", `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
}

/** Before an attachment is made for nothing, and because Podman's own text for it lacks the tag. */
async function checkImage(ctx: EngineContext, image: string): Promise<void> {
  const { status } = await ctx.upstream.ask("GET", `${COMPAT}/images/${encodeURIComponent(image)}/json`);
  if (status === 404) throw new SkepError("not_found", noSuch({ kind: "image", name: familiarImageName(image) }));
}

async function checkNameFree(ctx: EngineContext, name: string): Promise<void> {
  const { status, text: body } = await ctx.upstream.ask("GET", `${LIBPOD}/containers/${name}/json`);
  if (status !== 200) return;
  const found = object(JSON.parse(body));
  if (text(found.Name) !== name) return; // an id that begins like this name
  throw new SkepError(
    "conflict",
    `Conflict. The container name "/${name}" is already in use by container "${text(found.Id)}". ` +
      `You have to remove (or rename) that container to be able to reuse that name.`,
  );
}

/** Docker's request → what Podman must be told so that the same comes of it. */
async function podmanRequest(ctx: EngineContext, body: Json): Promise<Record<string, unknown>> {
  const host = object(body.HostConfig);
  const ceilings = await ctx.ceilings();
  const mode = text(host.NetworkMode);
  const ulimits = settableUlimits(
    list(host.Ulimits).map((u) => {
      const { Name, Soft, Hard } = object(u);
      return { name: text(Name), soft: count(Soft), hard: count(Hard) };
    }),
    ceilings,
  );
  const endpoints = Object.entries(object(object(body.NetworkingConfig).EndpointsConfig));
  return {
    ...body,
    Labels: strings(body.Labels),
    HostConfig: {
      ...host,
      Ulimits: ulimits.map((u) => ({ Name: u.name, Soft: u.soft, Hard: u.hard })),
      CapAdd: capabilities(host),
      NetworkMode: mode === "default" || mode === "" || mode === "bridge" ? "bridge" : podmanName(mode),
      LogConfig: logConfig(object(host.LogConfig)),
      ...(text(host.PidMode) === "" ? {} : { PidMode: host.PidMode }),
    },
    NetworkingConfig: {
      EndpointsConfig: Object.fromEntries(
        endpoints
          .filter(([name]) => name !== "default" && name !== "bridge" && name !== "host" && name !== "none")
          .map(([name, settings]) => [podmanName(name), settings]),
      ),
    },
  };
}

/** Podman's default capabilities are fewer than Docker's (no ping): the missing ones are asked for, unless the user drops them. */
function capabilities(host: Json): string[] {
  const plain = (value: unknown) => list(value).map((c) => text(c).toUpperCase().replace(/^CAP_/, ""));
  const dropped = plain(host.CapDrop);
  const added = plain(host.CapAdd);
  if (host.Privileged === true || added.includes("ALL") || dropped.includes("ALL")) return added;
  return [...new Set([...added, ...DOCKER_CAPABILITIES.filter((c) => !dropped.includes(c))])];
}

/** Podman keeps logs in its own format, and refuses drivers that it has not; Docker's file drivers are that format. */
function logConfig(config: Json): Json {
  const type = text(config.Type);
  return { ...config, Type: type === "" || type === "local" ? "json-file" : type };
}

/** The swarm networks that a container asks for, first the one of NetworkMode. @throws SkepError "forbidden" when one is not attachable */
function swarmNetworks(ctx: EngineContext, body: Json): AttachmentRequest[] {
  const mode = text(object(body.HostConfig).NetworkMode);
  const endpoints = object(object(body.NetworkingConfig).EndpointsConfig);
  const names = [...new Set([mode, ...Object.keys(endpoints)])].filter((name) => name !== "");
  const wanted = names.flatMap((name) => {
    const network = findSwarmNetwork(ctx, name);
    return network ? [attachmentRequest(network, name, object(endpoints[name]))] : [];
  });
  if (wanted.length > 0 && wanted.length < names.length) {
    const local = names.find((name) => !findSwarmNetwork(ctx, name)) ?? "";
    throw new SkepError("unimplemented", `a container cannot be on an overlay network and on ${local} as well`);
  }
  return wanted;
}

/** What the files of the attachment's sandbox say of names. */
function namesOf(body: Json) {
  const host = object(body.HostConfig);
  return {
    hostname: text(body.Hostname),
    hosts: list(host.ExtraHosts).map(text),
    dns: {
      nameservers: list(host.Dns).map(text),
      search: list(host.DnsSearch).map(text),
      options: list(host.DnsOptions).map(text),
    },
  };
}

/** By id, name, or the beginning of an id. */
export function findSwarmNetwork(ctx: Pick<EngineContext, "store">, name: string): Network | undefined {
  if (name === "") return undefined;
  const { view } = ctx.store;
  const exact = view.get("network", name) ?? view.byName("network", name)[0];
  if (exact) return exact;
  const begun = view.all("network").filter((n) => n.id.startsWith(name));
  return name.length >= 12 && begun.length === 1 ? begun[0] : undefined;
}

/** @throws SkepError "forbidden" in Docker's words when the network is not attachable */
export function attachmentRequest(network: Network, named: string, settings: Json): AttachmentRequest {
  if (!network.spec.Attachable || network.spec.Ingress) {
    const { message } = rpcError("Unknown", `network ${named} not manually attachable`);
    throw new SkepError(
      "forbidden",
      `Could not attach to network ${named}: ${message.replace("code = Unknown", "code = PermissionDenied")}`,
    );
  }
  const ipam = object(settings.IPAMConfig);
  return {
    network,
    aliases: list(settings.Aliases).map(text),
    addresses: [text(ipam.IPv4Address), text(ipam.IPv6Address)].filter((a) => a !== ""),
    driverOpts: strings(settings.DriverOpts),
  };
}

/** The container joins the attachment's namespace: Podman must set up no network of its own, nor the files that belong to it. */
function joined(request: Record<string, unknown>, attachment: Attachment): Record<string, unknown> {
  const host = object(request.HostConfig);
  const mounted = new Set(list(host.Binds).map((b) => text(b).split(":")[1]));
  const binds = attachment.binds.filter((b) => !mounted.has(b.target)).map((b) => `${b.source}:${b.target}`);
  return {
    ...without(request, "NetworkingConfig"),
    Labels: { ...strings(request.Labels), [ATTACHMENT_LABEL]: attachment.taskId },
    HostConfig: {
      ...without(host, "PortBindings", "PublishAllPorts", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "Links"),
      NetworkMode: `ns:${attachment.netnsPath}`,
      Binds: [...list(host.Binds), ...binds],
    },
  };
}
