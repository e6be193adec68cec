// The types of every other request body that skep answers itself, as moby declares them. Service specs are in shapes-service.ts.
import type { ClusterSpec, ConfigSpec, NodeSpec, SecretSpec } from "../model/spec.ts";
import type { ConnectRequest, NetworkCreateRequest } from "./context.ts";
import {
  always,
  anyObject,
  bool,
  bytes,
  type Decoder,
  duration,
  int,
  int64,
  kept,
  list,
  str,
  stringMap,
  strings,
  struct,
  uint32,
  uint64,
} from "./decode.ts";
import { driver } from "./shapes-service.ts";

const TICK = int("int", 0, 0x7fffffff);

/** swarm.Spec; fields that dockerd always writes are there, with the zero value where nothing was sent. */
export const clusterSpec: Decoder<ClusterSpec> = struct<ClusterSpec>("swarm.Spec", {
  Name: always(str(), ""),
  Labels: always(stringMap, {}),
  Orchestration: always(
    struct<ClusterSpec["Orchestration"]>("swarm.OrchestrationConfig", { TaskHistoryRetentionLimit: kept(int64, 0) }),
    {},
  ),
  Raft: always(
    struct<ClusterSpec["Raft"]>("swarm.RaftConfig", {
      SnapshotInterval: uint64,
      KeepOldSnapshots: kept(uint64, 0),
      LogEntriesForSlowFollowers: uint64,
      ElectionTick: TICK,
      HeartbeatTick: TICK,
    }),
    {},
  ),
  Dispatcher: always(struct<ClusterSpec["Dispatcher"]>("swarm.DispatcherConfig", { HeartbeatPeriod: duration }), {}),
  CAConfig: always(
    struct<ClusterSpec["CAConfig"]>("swarm.CAConfig", {
      NodeCertExpiry: duration,
      ExternalCAs: list(anyObject("swarm.ExternalCA")),
      ForceRotate: uint64,
    }),
    {},
  ),
  TaskDefaults: always(struct<ClusterSpec["TaskDefaults"]>("swarm.TaskDefaults", { LogDriver: driver }), {}),
  EncryptionConfig: always(
    struct<ClusterSpec["EncryptionConfig"]>("swarm.EncryptionConfig", { AutoLockManagers: bool }),
    {},
  ),
});

/** swarm.InitRequest. */
export interface InitBody {
  readonly ListenAddr: string;
  readonly AdvertiseAddr: string;
  readonly DataPathAddr: string;
  readonly DataPathPort: number;
  readonly ForceNewCluster: boolean;
  readonly Spec: ClusterSpec;
  readonly AutoLockManagers: boolean;
  readonly Availability: string;
  readonly DefaultAddrPool: readonly string[];
  readonly SubnetSize: number;
}

export const initBody: Decoder<InitBody> = struct<InitBody>("swarm.InitRequest", {
  ListenAddr: always(str(), ""),
  AdvertiseAddr: always(str(), ""),
  DataPathAddr: always(str(), ""),
  DataPathPort: always(uint32, 0),
  ForceNewCluster: always(bool, false),
  Spec: always(clusterSpec, clusterSpec.decode({}, undefined) as ClusterSpec),
  AutoLockManagers: always(bool, false),
  Availability: always(str("swarm.NodeAvailability"), ""),
  DefaultAddrPool: always(strings, []),
  SubnetSize: always(uint32, 0),
});

/** swarm.JoinRequest. */
export interface JoinBody {
  readonly ListenAddr: string;
  readonly AdvertiseAddr: string;
  readonly DataPathAddr: string;
  readonly RemoteAddrs: readonly string[];
  readonly JoinToken: string;
  readonly Availability: string;
}

export const joinBody: Decoder<JoinBody> = struct<JoinBody>("swarm.JoinRequest", {
  ListenAddr: always(str(), ""),
  AdvertiseAddr: always(str(), ""),
  DataPathAddr: always(str(), ""),
  RemoteAddrs: always(strings, []),
  JoinToken: always(str(), ""),
  Availability: always(str("swarm.NodeAvailability"), ""),
});

export const unlockBody = struct<{ readonly UnlockKey: string }>("swarm.UnlockRequest", {
  UnlockKey: always(str(), ""),
});

/** Role and Availability as they were sent; checking them is validate-node.ts'. */
export const nodeSpec: Decoder<NodeSpec> = struct<NodeSpec>("swarm.NodeSpec", {
  Name: str(),
  Labels: always(stringMap, {}),
  Role: always(str("swarm.NodeRole"), ""),
  Availability: always(str("swarm.NodeAvailability"), ""),
});

export const secretSpec: Decoder<SecretSpec> = struct<SecretSpec>("swarm.SecretSpec", {
  Name: always(str(), ""),
  Labels: always(stringMap, {}),
  Data: bytes,
  Driver: driver,
  Templating: driver,
});

export const configSpec: Decoder<ConfigSpec> = struct<ConfigSpec>("swarm.ConfigSpec", {
  Name: always(str(), ""),
  Labels: always(stringMap, {}),
  Data: bytes,
  Templating: driver,
});

type Ipam = NonNullable<NetworkCreateRequest["IPAM"]>;

export const networkCreate: Decoder<NetworkCreateRequest> = struct<NetworkCreateRequest>("network.CreateRequest", {
  Name: str(),
  CheckDuplicate: bool,
  Driver: str(),
  Scope: str(),
  EnableIPv4: kept(bool, false),
  EnableIPv6: bool,
  IPAM: struct<Ipam>("network.IPAM", {
    Driver: str(),
    Options: stringMap,
    Config: list(
      struct<NonNullable<Ipam["Config"]>[number]>("network.IPAMConfig", {
        Subnet: str(),
        IPRange: str(),
        Gateway: str(),
        AuxiliaryAddresses: stringMap,
      }),
    ),
  }),
  Internal: bool,
  Attachable: bool,
  Ingress: bool,
  ConfigOnly: bool,
  ConfigFrom: struct<NonNullable<NetworkCreateRequest["ConfigFrom"]>>("network.ConfigReference", { Network: str() }),
  Options: stringMap,
  Labels: stringMap,
});

export const networkConnect: Decoder<ConnectRequest> = struct<ConnectRequest>("network.ConnectOptions", {
  Container: always(str(), ""),
  EndpointConfig: anyObject("network.EndpointSettings"),
});

/** network.DisconnectOptions. */
export interface DisconnectBody {
  readonly Container: string;
  readonly Force: boolean;
}

export const networkDisconnect: Decoder<DisconnectBody> = struct<DisconnectBody>("network.DisconnectOptions", {
  Container: always(str(), ""),
  Force: always(bool, false),
});
