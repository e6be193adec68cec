// What a service spec must be, seen with everything else in the swarm: its networks, ports, secrets, configs and name. Rules that need no
// other object are in src/model/validate-service.ts.
import { hasCode, SkepError } from "../model/errors.ts";
import type { Service } from "../model/objects.ts";
import { checkPublishedPorts, usesIngress } from "../model/published-ports.ts";
import { normalServiceSpec } from "../model/service-defaults.ts";
import type { NetworkAttachmentConfig, ServiceSpec } from "../model/spec.ts";
import { validateServiceSpec } from "../model/validate-service.ts";
import type { View } from "../store/index.ts";
import type { ApiContext } from "./context.ts";
import { rpcError } from "./errors.ts";
import { find } from "./find.ts";
import { asRpc } from "./guard.ts";
import { refuseService } from "./unsupported.ts";

/**
 * The spec as dockerd stores it: networks by id, enumerations spelled out.
 * @throws SkepError as dockerd does for unknown networks (500), networks of this host (403), and values outside an enumeration (400)
 */
export async function storedSpec(context: ApiContext, spec: ServiceSpec): Promise<ServiceSpec> {
  const { TaskTemplate, Networks } = spec;
  // as in dockerd, the service-wide networks count only when the task template has none
  const inTask = await byId(context, TaskTemplate.Networks ?? []);
  const inSpec = inTask.length === 0 ? await byId(context, Networks ?? []) : (Networks ?? []);
  return normalServiceSpec({
    ...spec,
    TaskTemplate: { ...TaskTemplate, ...(inTask.length > 0 && { Networks: inTask }) },
    ...(inSpec.length > 0 && { Networks: inSpec }),
  });
}

/**
 * @param self the service's id when it is an update
 * @throws SkepError in swarmkit's words
 */
export function checkService(context: ApiContext, spec: ServiceSpec, self?: string): void {
  asRpc(() => validateServiceSpec(spec));
  const { view } = context.store;
  for (const { Target } of [...(spec.TaskTemplate.Networks ?? []), ...(spec.Networks ?? [])]) {
    const network = view.get("network", Target ?? "");
    if (network?.spec.Ingress) {
      const text = `Service cannot be explicitly attached to the ingress network ${JSON.stringify(network.spec.Name)}`;
      throw rpcError("InvalidArgument", text);
    }
  }
  if (spec.Mode.Global && !context.features.globalServices) {
    throw rpcError("Unimplemented", "global services are not supported");
  }
  refuseService(spec, context.features);
  checkPorts(view, spec, self);
}

/** To be checked inside the transaction: what another request may take away or take first. @throws SkepError in swarmkit's words */
export function checkAgainst(view: View, spec: ServiceSpec, self?: string): void {
  const targets = [...(spec.TaskTemplate.Networks ?? []), ...(spec.Networks ?? [])].map((n) => n.Target ?? "");
  const gone = targets.find((id) => !view.get("network", id));
  if (gone !== undefined) throw rpcError("NotFound", `network ${gone} not found`);
  checkReferences(view, spec);
  checkPorts(view, spec, self);
  if (usesIngress({ spec }) && !view.all("network").some((n) => n.spec.Ingress)) {
    throw rpcError("FailedPrecondition", "service needs ingress network, but no ingress network is present");
  }
}

/** Whether another service has the name. Names differ by more than case (swarmkit's indexes are lower case). */
export function isNameTaken(view: View, name: string): boolean {
  return view.all("service").some((s) => !s.pendingDelete && s.spec.Name.toLowerCase() === name.toLowerCase());
}

function checkPorts(view: View, spec: ServiceSpec, self: string | undefined): void {
  const others: readonly Service[] = view.all("service").filter((s) => !s.pendingDelete);
  checkPublishedPorts(spec.EndpointSpec?.Ports ?? [], others, self);
}

function checkReferences(view: View, spec: ServiceSpec): void {
  const { Secrets = [], Configs = [] } = spec.TaskTemplate.ContainerSpec ?? {};
  const missing = {
    secret: Secrets.filter((s) => view.get("secret", s.SecretID)?.spec.Name !== s.SecretName).map((s) => s.SecretName),
    config: Configs.filter((c) => view.get("config", c.ConfigID)?.spec.Name !== c.ConfigName).map((c) => c.ConfigName),
  };
  for (const [kind, names] of Object.entries(missing)) {
    if (names.length === 0) continue;
    throw rpcError("InvalidArgument", `${kind}${names.length === 1 ? "" : "s"} not found: ${names.join(", ")}`);
  }
}

async function byId(
  context: ApiContext,
  networks: readonly NetworkAttachmentConfig[],
): Promise<readonly NetworkAttachmentConfig[]> {
  const resolved: NetworkAttachmentConfig[] = [];
  for (const attachment of networks) {
    const target = attachment.Target ?? "";
    const { id } = await swarmNetwork(context, target);
    resolved.push({ ...attachment, Target: id });
  }
  return resolved;
}

async function swarmNetwork(context: ApiContext, target: string) {
  try {
    return find(context.store.view, "network", target);
  } catch (e) {
    if (!hasCode(e, "not_found")) throw e;
    const local = (await context.localNetworks.list()).find((n) => n.Name === target || n.Id === target);
    if (!local) throw new SkepError("internal", e.message, {}, e); // 500 in dockerd, too
    const text = `The network ${local.Name} cannot be used with services. Only networks scoped to the swarm can be used, such as those created with the overlay driver.`;
    throw new SkepError("forbidden", text);
  }
}
