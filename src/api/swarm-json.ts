// The swarm as the API shows it: `GET /swarm`, and the Swarm section of `GET /info`.

import { SkepError } from "../model/errors.ts";
import type { Cluster } from "../model/objects.ts";
import type { View } from "../store/index.ts";
import type { ApiContext } from "./context.ts";

/** The one cluster object. @throws SkepError "unavailable" when the swarm is just going away */
export function clusterOf(view: View): Cluster {
  const cluster = view.all("cluster")[0];
  if (!cluster) throw new SkepError("unavailable", "This node is not part of a swarm");
  return cluster;
}

/** In the order of moby's structs; keys and the CA's key stay here. */
export function swarmJson(cluster: Cluster): object {
  const { worker, manager } = cluster.joinTokens;
  return { ...clusterInfoJson(cluster), JoinTokens: { Worker: worker, Manager: manager } };
}

/** The Swarm section of `docker info`. */
export function swarmInfoJson({ swarm, store }: Pick<ApiContext, "swarm" | "store">): object {
  const me = swarm.active();
  const base = {
    NodeID: me?.nodeId ?? "",
    NodeAddr: me?.nodeAddr ?? "",
    LocalNodeState: swarm.state(),
    ControlAvailable: me?.manager ?? false,
    Error: "",
  };
  if (!me) return { ...base, RemoteManagers: null };
  const nodes = store.view.all("node");
  const managers = nodes.filter((n) => n.managerStatus);
  return {
    ...base,
    RemoteManagers: managers.map((n) => ({ NodeID: n.id, Addr: n.managerStatus?.addr })),
    ...(me.manager && {
      Nodes: nodes.length,
      Managers: managers.length,
      Cluster: clusterInfoJson(clusterOf(store.view)),
    }),
  };
}

function clusterInfoJson(cluster: Cluster): object {
  const { trustRoot, certIssuerSubject, certIssuerPublicKey } = cluster.tlsInfo;
  return {
    ID: cluster.id,
    Version: { Index: cluster.version },
    CreatedAt: cluster.createdAt,
    UpdatedAt: cluster.updatedAt,
    Spec: cluster.spec,
    TLSInfo: {
      TrustRoot: trustRoot,
      CertIssuerSubject: certIssuerSubject,
      CertIssuerPublicKey: certIssuerPublicKey,
    },
    RootRotationInProgress: cluster.rootRotationInProgress,
    DefaultAddrPool: cluster.defaultAddrPool,
    SubnetSize: cluster.subnetSize,
    DataPathPort: cluster.dataPathPort,
  };
}
