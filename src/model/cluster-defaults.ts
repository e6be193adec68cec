// What a new swarm is given where the user said nothing: after swarmkit's defaults as `docker swarm init` shows them.
import type { ClusterSpec, NetworkSpec } from "./spec.ts";

const SECOND_NS = 1_000_000_000;
const DAY_NS = 24 * 3600 * SECOND_NS;

/** VXLAN's port (IANA). */
export const DEFAULT_DATA_PATH_PORT = 4789;

/** The network that every swarm has from its first moment, for published ports. */
export const INGRESS_NETWORK: NetworkSpec = {
  Name: "ingress",
  Labels: {},
  Driver: "overlay",
  Options: {},
  EnableIPv6: false,
  Internal: false,
  Attachable: false,
  Ingress: true,
};

/** A cluster spec with swarmkit's values for what was not sent, in the order in which dockerd writes it. */
export function clusterSpecWithDefaults(spec: ClusterSpec): ClusterSpec {
  const { Orchestration, Raft, Dispatcher, CAConfig } = spec;
  return {
    Name: spec.Name === "" ? "default" : spec.Name,
    Labels: spec.Labels,
    Orchestration: { TaskHistoryRetentionLimit: Orchestration.TaskHistoryRetentionLimit ?? 5 },
    Raft: {
      SnapshotInterval: Raft.SnapshotInterval ?? 10_000,
      KeepOldSnapshots: Raft.KeepOldSnapshots ?? 0,
      LogEntriesForSlowFollowers: Raft.LogEntriesForSlowFollowers ?? 500,
      ElectionTick: Raft.ElectionTick || 10,
      HeartbeatTick: Raft.HeartbeatTick || 1,
    },
    Dispatcher: { HeartbeatPeriod: Dispatcher.HeartbeatPeriod ?? 5 * SECOND_NS },
    CAConfig: { ...CAConfig, NodeCertExpiry: CAConfig.NodeCertExpiry ?? 90 * DAY_NS },
    TaskDefaults: spec.TaskDefaults,
    EncryptionConfig: { AutoLockManagers: spec.EncryptionConfig.AutoLockManagers ?? false },
  };
}
