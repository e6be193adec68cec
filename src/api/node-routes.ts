// Nodes: listed, shown, labelled, drained, promoted and demoted, removed.
import type { NodeId } from "../model/ids.ts";
import type { Node } from "../model/objects.ts";
import type { NodeSpec } from "../model/spec.ts";
import { isTerminal } from "../model/task-state.ts";
import type { Tx } from "../store/index.ts";
import type { ApiContext } from "./context.ts";
import { decode } from "./decode.ts";
import { invalid, rpcError } from "./errors.ts";
import { type Filters, filtersOf } from "./filters.ts";
import { find, shown } from "./find.ts";
import { outOfSequence, requireManager, versionOf } from "./guard.ts";
import { boolParam, jsonBody, param } from "./http.ts";
import type { RegisterRoutes } from "./router.ts";
import { nodeSpec } from "./shapes-swarm.ts";

const FILTERS = ["name", "id", "label", "node.label", "role", "membership"];
const ROLES = ["worker", "manager"] as const;
const AVAILABILITIES = ["active", "pause", "drain"] as const;

export function nodeRoutes(context: ApiContext): RegisterRoutes {
  const { store } = context;
  return (router) => {
    router.add("GET", "/nodes", (req) => {
      requireManager(context);
      const filters = filtersOf(req.query, FILTERS);
      checkValues(filters, "role", ROLES);
      checkValues(filters, "membership", ["accepted", "pending"]);
      return {
        json: shown(store.view, "node")
          .filter((n) => matches(n, filters))
          .map(nodeJson),
      };
    });

    router.add("GET", "/nodes/{id}", (req) => {
      requireManager(context);
      return { json: nodeJson(find(store.view, "node", param(req, "id"))) };
    });

    router.add("POST", "/nodes/{id}/update", async (req) => {
      const spec = checkSpec(decode(nodeSpec, await jsonBody(req)), () => versionOf(req.query, "node"));
      requireManager(context);
      const version = versionOf(req.query, "node");
      const { id } = find(store.view, "node", param(req, "id"));
      await store.update((tx) => updateNode(tx, id, version, spec));
      return {};
    });

    router.add("DELETE", "/nodes/{id}", async (req) => {
      requireManager(context);
      const { id } = find(store.view, "node", param(req, "id"));
      await store.update((tx) => removeNode(tx, id, boolParam(req.query, "force")));
      return {};
    });
  };
}

/** In the order of moby's structs. */
export function nodeJson(node: Node): object {
  const { hostname, platform, resources, engine, tlsInfo } = node.description;
  const { status, managerStatus } = node;
  return {
    ID: node.id,
    Version: { Index: node.version },
    CreatedAt: node.createdAt,
    UpdatedAt: node.updatedAt,
    Spec: node.spec,
    Description: {
      Hostname: hostname,
      Platform: { Architecture: platform.architecture, OS: platform.os },
      Resources: { NanoCPUs: resources.nanoCPUs, MemoryBytes: resources.memoryBytes },
      Engine: {
        EngineVersion: engine.engineVersion,
        ...(Object.keys(engine.labels).length > 0 && { Labels: engine.labels }),
        Plugins: engine.plugins.map((p) => ({ Type: p.type, Name: p.name })),
      },
      TLSInfo: tlsInfo
        ? {
            TrustRoot: tlsInfo.trustRoot,
            CertIssuerSubject: tlsInfo.certIssuerSubject,
            CertIssuerPublicKey: tlsInfo.certIssuerPublicKey,
          }
        : {},
    },
    Status: {
      State: status.state,
      ...(status.message !== "" && { Message: status.message }),
      ...(status.addr !== "" && { Addr: status.addr }),
    },
    ...(managerStatus && {
      ManagerStatus: {
        ...(managerStatus.leader && { Leader: true }),
        Reachability: managerStatus.reachability,
        Addr: managerStatus.addr,
      },
    }),
  };
}

function matches(node: Node, filters: Filters): boolean {
  return (
    filters.prefix("name", node.description.hostname) &&
    filters.prefix("id", node.id) &&
    filters.labels("label", node.description.engine.labels) &&
    filters.labels("node.label", node.spec.Labels) &&
    filters.exact("role", node.spec.Role) &&
    filters.exact("membership", "accepted")
  );
}

function checkValues(filters: Filters, name: string, allowed: readonly string[]): void {
  const wrong = filters.get(name).find((v) => !allowed.includes(v));
  if (wrong !== undefined) throw invalid(`Invalid ${name} filter: '${wrong}'`);
}

/** dockerd looks at the version first, then at the spec's enumerations. */
function checkSpec(spec: NodeSpec, checkVersion: () => void): NodeSpec {
  checkVersion();
  const Role = ROLES.find((r) => r === spec.Role.toLowerCase());
  if (!Role) throw invalid(`invalid Role: ${JSON.stringify(spec.Role)}`);
  const Availability = AVAILABILITIES.find((a) => a === spec.Availability.toLowerCase());
  if (!Availability) throw invalid(`invalid Availability: ${JSON.stringify(spec.Availability)}`);
  return { ...spec, Role, Availability };
}

function updateNode(tx: Tx, id: NodeId, version: number, spec: NodeSpec): void {
  const node = tx.get("node", id);
  if (!node) throw rpcError("NotFound", `node ${id} not found`);
  if (node.spec.Role === "manager" && spec.Role === "worker") {
    const managers = tx.all("node").filter((n) => n.spec.Role === "manager");
    if (managers.length === 1) {
      throw rpcError("FailedPrecondition", "attempting to demote the last manager of the swarm");
    }
  }
  if (node.version !== version) throw outOfSequence();
  tx.update<"node">({ ...node, spec });
}

function removeNode(tx: Tx, id: NodeId, force: boolean): void {
  const node = tx.get("node", id);
  if (!node) throw rpcError("NotFound", `node ${id} not found`);
  if (node.spec.Role === "manager") {
    const text = `node ${id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal`;
    throw rpcError("FailedPrecondition", text);
  }
  if (!force && node.status.state === "ready") {
    throw rpcError("FailedPrecondition", `node ${id} is not down and can't be removed`);
  }
  // Nobody reports on its attachments any more, and they would keep their networks from being removed.
  for (const task of tx.tasksOfNode(id)) {
    if (task.serviceId !== undefined || isTerminal(task.status.state)) continue;
    tx.update<"task">({ ...task, status: { ...task.status, state: "orphaned", timestamp: tx.now } });
  }
  tx.remove("node", id);
}
