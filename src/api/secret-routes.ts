// Secrets and configs: stored, listed, guarded while a service refers to them. They differ in a size, a few words, and in that a secret's
// data is never shown. What containers see of them is the agent's.
import { SkepError } from "../model/errors.ts";
import { type ConfigId, newId, type SecretId } from "../model/ids.ts";
import { checkFileObjectName } from "../model/names.ts";
import type { Config, Secret, Service } from "../model/objects.ts";
import type { ConfigSpec, SecretSpec } from "../model/spec.ts";
import type { Fresh, Tx } from "../store/index.ts";
import type { ApiContext } from "./context.ts";
import { type Decoder, decode } from "./decode.ts";
import { invalid, rpcError } from "./errors.ts";
import { type Filters, filtersOf } from "./filters.ts";
import { find, shown } from "./find.ts";
import { asRpc, outOfSequence, requireManager, versionOf } from "./guard.ts";
import { jsonBody, param } from "./http.ts";
import type { RegisterRoutes } from "./router.ts";
import { configSpec, secretSpec } from "./shapes-swarm.ts";

type FileKind = "secret" | "config";
type FileObject = Secret | Config;

/** swarmkit's limits (controlapi: MaxSecretSize, MaxConfigSize). */
const LIMIT_BYTES = { secret: 500 * 1024, config: 1000 * 1024 };

export function secretRoutes(context: ApiContext): RegisterRoutes {
  return fileObjectRoutes(context, "secret", secretSpec);
}

export function configRoutes(context: ApiContext): RegisterRoutes {
  return fileObjectRoutes(context, "config", configSpec as Decoder<SecretSpec>);
}

function fileObjectRoutes(context: ApiContext, kind: FileKind, shape: Decoder<SecretSpec>): RegisterRoutes {
  const { store } = context;
  return (router) => {
    router.add("GET", `/${kind}s`, (req) => {
      requireManager(context);
      const filters = filtersOf(req.query, ["names", "name", "id", "label"]);
      const objects: FileObject[] = shown(store.view, kind);
      return { json: objects.filter((o) => matches(o, filters)).map(fileObjectJson) };
    });

    router.add("POST", `/${kind}s/create`, async (req) => {
      const spec = decode(shape, await jsonBody(req));
      requireManager(context);
      asRpc(() => checkSpec(kind, spec));
      const id = newId<SecretId | ConfigId>();
      await store.update((tx) => {
        const taken = tx.all(kind).some((o) => o.spec.Name.toLowerCase() === spec.Name.toLowerCase());
        if (taken) throw rpcError("AlreadyExists", `${kind} ${spec.Name} already exists`);
        if (kind === "secret") tx.create<"secret">({ kind, id, spec } as Fresh<Secret>);
        else tx.create<"config">({ kind, id, spec } as Fresh<Config>);
      });
      return { status: 201, json: { ID: id } };
    });

    router.add("GET", `/${kind}s/{id}`, (req) => {
      requireManager(context);
      return { json: fileObjectJson(find(store.view, kind, param(req, "id"))) };
    });

    router.add("DELETE", `/${kind}s/{id}`, async (req) => {
      requireManager(context);
      const { id } = find(store.view, kind, param(req, "id"));
      await store.update((tx) => {
        const object = tx.get(kind, id);
        if (!object) throw rpcError("NotFound", `could not find ${kind} ${id}`);
        refuseInUse(tx, kind, object);
        tx.remove(kind, id);
      });
      return { status: 204 };
    });

    router.add("POST", `/${kind}s/{id}/update`, async (req) => {
      const spec = decode(shape, await jsonBody(req));
      requireManager(context);
      const version = versionOrFault(req.query, kind);
      const { id } = find(store.view, kind, param(req, "id"));
      await store.update((tx) => updateLabels(tx, kind, id, version, spec));
      return {};
    });
  };
}

/** In the order of moby's structs; a secret without its data. */
export function fileObjectJson(object: FileObject): object {
  const { Name, Labels, Data, Templating } = object.spec as SecretSpec;
  return {
    ID: object.id,
    Version: { Index: object.version },
    CreatedAt: object.createdAt,
    UpdatedAt: object.updatedAt,
    Spec: {
      Name,
      Labels,
      ...(object.kind === "config" && Data !== undefined && { Data }),
      ...(Templating && { Templating }),
    },
  };
}

/** Names, name prefixes and id prefixes add up; labels narrow down. */
function matches(object: FileObject, filters: Filters): boolean {
  const { Name, Labels } = object.spec;
  const any = [
    ...filters.get("names").map((n) => n === Name),
    ...filters.get("name").map((n) => Name.startsWith(n)),
    ...filters.get("id").map((i) => object.id.startsWith(i)),
  ];
  return (any.length === 0 || any.includes(true)) && filters.labels("label", Labels);
}

function checkSpec(kind: FileKind, spec: SecretSpec): void {
  checkFileObjectName(spec.Name);
  if (spec.Driver) throw new SkepError("unimplemented", "secret drivers are not supported");
  const data = Buffer.from(spec.Data ?? "", "base64");
  if (data.length < 1 || data.length >= LIMIT_BYTES[kind]) {
    throw invalid(`${kind} data must be larger than 0 and less than ${LIMIT_BYTES[kind]} bytes`);
  }
}

function refuseInUse(tx: Tx, kind: FileKind, object: FileObject): void {
  const users = tx.all("service").filter((s) => !s.pendingDelete && refersTo(s, kind, object.id));
  if (users.length === 0) return;
  const names = users.map((s) => s.spec.Name).join(", ");
  const services = users.length === 1 ? "service" : "services";
  throw rpcError("InvalidArgument", `${kind} '${object.spec.Name}' is in use by the following ${services}: ${names}`);
}

function refersTo(service: Service, kind: FileKind, id: string): boolean {
  const container = service.spec.TaskTemplate.ContainerSpec;
  if (kind === "secret") return (container?.Secrets ?? []).some((s) => s.SecretID === id);
  return (container?.Configs ?? []).some((c) => c.ConfigID === id);
}

function versionOrFault(query: URLSearchParams, kind: FileKind): number {
  try {
    return versionOf(query, kind);
  } catch {
    throw invalid(`invalid ${kind} version`); // dockerd says no more than that here
  }
}

function updateLabels(tx: Tx, kind: FileKind, id: string, version: number, spec: SecretSpec | ConfigSpec): void {
  const object = tx.get(kind, id);
  if (!object) throw rpcError("NotFound", `${kind} ${id} not found`);
  const sameData = spec.Data === undefined || spec.Data === object.spec.Data;
  if (object.spec.Name !== spec.Name || !sameData) {
    throw rpcError("InvalidArgument", "only updates to Labels are allowed");
  }
  if (object.version !== version) throw outOfSequence();
  const changed = { ...object, spec: { ...object.spec, Labels: spec.Labels } };
  if (changed.kind === "secret") tx.update<"secret">(changed as Secret);
  else tx.update<"config">(changed as Config);
}
