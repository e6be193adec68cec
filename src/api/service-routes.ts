// Services: created, listed, shown, updated, rolled back, removed. Rules are in service-rules.ts, their JSON in service-json.ts; logs are
// served by engine/.
import { SkepError } from "../model/errors.ts";
import { newId, type ServiceId } from "../model/ids.ts";
import { randomName } from "../model/names.ts";
import type { Service } from "../model/objects.ts";
import { concernsTasks } from "../model/service-defaults.ts";
import type { ServiceSpec } from "../model/spec.ts";
import type { Tx } from "../store/index.ts";
import type { ApiContext } from "./context.ts";
import { decode } from "./decode.ts";
import { notFound, rpcError } from "./errors.ts";
import { type Filters, filtersOf } from "./filters.ts";
import { find, shown } from "./find.ts";
import { goBool, outOfSequence, requireManager, versionOf } from "./guard.ts";
import { type ApiRequest, jsonBody, param } from "./http.ts";
import type { RegisterRoutes } from "./router.ts";
import { serviceJson, serviceJsonWithStatus } from "./service-json.ts";
import { checkAgainst, checkService, isNameTaken, storedSpec } from "./service-rules.ts";
import { serviceSpec } from "./shapes-service.ts";
import { warningsOf } from "./unsupported.ts";

const FILTERS = ["name", "id", "label", "mode", "runtime"];
const MODES = { Replicated: "replicated", Global: "global", ReplicatedJob: "replicated-job", GlobalJob: "global-job" };

export function serviceRoutes(context: ApiContext): RegisterRoutes {
  const { store } = context;
  return (router) => {
    router.add("GET", "/services", (req) => {
      requireManager(context);
      const filters = filtersOf(req.query, FILTERS);
      // known since API 1.41; older clients mean nothing by it
      const status = req.minor >= 41 && (goBool(req.query, "status") ?? false);
      const services = shown(store.view, "service").filter((s) => matches(s, filters));
      const json = services.map((s) =>
        status ? serviceJsonWithStatus(s, store.view.tasksOfService(s.id)) : serviceJson(s),
      );
      return { json };
    });

    router.add("POST", "/services/create", async (req) => {
      const sent = forVersion(decode(serviceSpec, await jsonBody(req)), req.minor);
      requireManager(context);
      const named = sent.Name === "" ? { ...sent, Name: freeName(context) } : sent;
      const spec = await storedSpec(context, named);
      checkService(context, spec);
      const auth = registryAuthOf(req);
      const id = newId<ServiceId>();
      await store.update((tx) => {
        checkAgainst(tx, spec);
        if (isNameTaken(tx, spec.Name)) {
          const text = `name conflicts with an existing object: service ${spec.Name} already exists`;
          throw rpcError("AlreadyExists", text);
        }
        tx.create<"service">({
          kind: "service",
          id,
          spec,
          specVersion: 1,
          ...(auth !== undefined && { registryAuth: auth }),
        });
      });
      const warnings = warningsOf(spec, context.features);
      return { status: 201, json: { ID: id, ...(warnings.length > 0 && { Warnings: warnings }) } };
    });

    router.add("GET", "/services/{id}", (req) => {
      const insertDefaults = goBool(req.query, "insertDefaults") ?? false;
      requireManager(context);
      return { json: serviceJson(find(store.view, "service", param(req, "id")), insertDefaults) };
    });

    router.add("POST", "/services/{id}/update", async (req) => {
      const sent = forVersion(decode(serviceSpec, await jsonBody(req)), req.minor);
      const version = versionOf(req.query, "service");
      requireManager(context);
      const spec = await storedSpec(context, sent);
      const { id, previousSpec } = find(store.view, "service", param(req, "id"));
      checkAuthSource(req.query, previousSpec);
      const rollback = isRollback(req.query);
      // a missing name stands for a random one in dockerd: a renaming, refused below
      checkService(context, spec.Name === "" ? { ...spec, Name: "unnamed" } : spec, id);
      const auth = registryAuthOf(req);
      await store.update((tx) => updateService(tx, id, version, spec, rollback, auth));
      const warnings = warningsOf(spec, context.features);
      return { json: { Warnings: warnings.length > 0 ? warnings : null } };
    });

    router.add("DELETE", "/services/{id}", async (req) => {
      requireManager(context);
      const { id } = find(store.view, "service", param(req, "id"));
      await store.update((tx) => {
        const service = tx.get("service", id);
        if (!service || service.pendingDelete) throw notFound("service", param(req, "id"));
        // It goes with its last task: until then the tasks have their VIP and their networks.
        tx.update<"service">({ ...service, pendingDelete: true });
      });
      return {};
    });
  };
}

function matches(service: Service, filters: Filters): boolean {
  const mode = Object.entries(MODES).find(([key]) => key in service.spec.Mode)?.[1] ?? "";
  return (
    filters.prefix("name", service.spec.Name) &&
    filters.prefix("id", service.id) &&
    filters.labels("label", service.spec.Labels) &&
    filters.exact("mode", mode) &&
    filters.exact("runtime", "container")
  );
}

function freeName(context: ApiContext): string {
  for (let tries = 0; tries < 20; tries++) {
    const name = randomName();
    if (!isNameTaken(context.store.view, name)) return name;
  }
  return `service_${newId<ServiceId>().slice(0, 12)}`;
}

/** `X-Registry-Auth`, just as it was sent; absent when the client has no login. */
function registryAuthOf(req: ApiRequest): string | undefined {
  const auth = req.headers["x-registry-auth"];
  return typeof auth === "string" && auth !== "" ? auth : undefined;
}

/** The login is kept across updates wherever it is asked from; only what dockerd refuses is refused. */
function checkAuthSource(query: URLSearchParams, previous: ServiceSpec | undefined): void {
  const from = query.get("registryAuthFrom") ?? "";
  if (from === "" || from === "spec") return;
  if (from !== "previous-spec") throw new SkepError("internal", "unsupported registryAuthFrom value");
  if (!previous) throw new SkepError("internal", "service does not have a previous spec");
}

function isRollback(query: URLSearchParams): boolean {
  const rollback = query.get("rollback") ?? "";
  if (rollback === "previous") return true;
  if (rollback === "" || rollback === "none") return false;
  throw new SkepError("internal", `unrecognized rollback option ${rollback}`);
}

function updateService(
  tx: Tx,
  id: ServiceId,
  version: number,
  spec: ServiceSpec,
  rollback: boolean,
  auth: string | undefined,
): void {
  const service = tx.get("service", id);
  if (!service || service.pendingDelete) throw rpcError("NotFound", `service ${id} not found`);
  checkAgainst(tx, spec, id);
  if (Object.keys(service.spec.Mode)[0] !== Object.keys(spec.Mode)[0]) {
    throw rpcError("Unimplemented", "service mode change is not allowed");
  }
  if (service.spec.Name !== spec.Name) throw rpcError("Unimplemented", "renaming services is not supported");
  if (service.version !== version) throw outOfSequence();
  const next = rollback ? service.previousSpec : spec;
  if (!next) throw rpcError("FailedPrecondition", `service ${id} does not have a previous spec`);
  const { updateStatus: _, ...rest } = service;
  tx.update<"service">({
    ...rest,
    spec: next,
    previousSpec: service.spec,
    specVersion: service.specVersion + (concernsTasks(service.spec, next) ? 1 : 0),
    ...(auth !== undefined && { registryAuth: auth }),
    ...(rollback && {
      updateStatus: { state: "rollback_started", startedAt: tx.now, message: "manually requested rollback" },
    }),
  });
}

/** Drops what the client's API version did not know, as dockerd's adjustForAPIVersion. */
function forVersion(spec: ServiceSpec, minor: number): ServiceSpec {
  const container = spec.TaskTemplate.ContainerSpec;
  if (minor >= 44 || !container) return spec;
  const { Healthcheck, Sysctls, CapabilityAdd, CapabilityDrop, Ulimits, OomScoreAdj: _, ...rest } = container;
  const { StartInterval: __, ...health } = Healthcheck ?? {};
  return {
    ...spec,
    TaskTemplate: {
      ...spec.TaskTemplate,
      ContainerSpec: {
        ...rest,
        ...(Healthcheck && { Healthcheck: health }),
        ...(minor >= 40 && Sysctls && { Sysctls }),
        ...(minor >= 41 && CapabilityAdd && { CapabilityAdd }),
        ...(minor >= 41 && CapabilityDrop && { CapabilityDrop }),
        ...(minor >= 41 && Ulimits && { Ulimits }),
      },
    },
  };
}
