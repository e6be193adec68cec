// The swarm itself: init, join, leave, inspect, update, the unlock key. What joining and leaving take is SwarmControl's (context.ts).
import { DEFAULT_ADDR_POOL, DEFAULT_SUBNET_SIZE } from "../model/address-pool.ts";
import { clusterSpecWithDefaults, DEFAULT_DATA_PATH_PORT } from "../model/cluster-defaults.ts";
import { SkepError } from "../model/errors.ts";
import { formatPrefix, overlaps, type Prefix, parseCidr } from "../model/ip.ts";
import type { Cluster } from "../model/objects.ts";
import type { ClusterSpec, NodeAvailability } from "../model/spec.ts";
import { rotatedJoinToken, rotatedUnlockKey } from "../model/swarm-keys.ts";
import type { Tx } from "../store/index.ts";
import type { ApiContext, SwarmInit } from "./context.ts";
import { decode } from "./decode.ts";
import { invalid, rpcError } from "./errors.ts";
import { goBool, outOfSequence, requireManager, versionOf } from "./guard.ts";
import { boolParam, jsonBody } from "./http.ts";
import type { RegisterRoutes } from "./router.ts";
import { clusterSpec, type InitBody, initBody, joinBody, unlockBody } from "./shapes-swarm.ts";
import { clusterOf, swarmJson } from "./swarm-json.ts";
import { refuseCluster } from "./unsupported.ts";

const ALREADY_MEMBER =
  'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.';
const LAST_MANAGER =
  "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ";
const A_MANAGER =
  "You are attempting to leave the swarm on a node that is participating as a manager. The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use `--force` to suppress this message.";
const MIN_CERT_EXPIRY_NS = 3600 * 1e9;

export function swarmRoutes(context: ApiContext): RegisterRoutes {
  const { store, swarm } = context;
  return (router) => {
    router.add("POST", "/swarm/init", async (req) => {
      const body = decode(initBody, await jsonBody(req));
      if (swarm.active()) {
        if (!body.ForceNewCluster) throw new SkepError("unavailable", ALREADY_MEMBER);
        throw new SkepError(
          "unimplemented",
          "making a new swarm out of this node's (ForceNewCluster) is not supported",
        );
      }
      const request = initRequest(body, req.minor);
      refuseCluster(request.spec, context.features);
      return { json: await swarm.init(request) };
    });

    router.add("POST", "/swarm/join", async (req) => {
      const body = decode(joinBody, await jsonBody(req));
      if (swarm.active()) throw new SkepError("unavailable", ALREADY_MEMBER);
      if (body.ListenAddr === "") throw invalid('invalid ListenAddr "": invalid empty address');
      if (body.RemoteAddrs.length === 0) throw invalid("at least 1 RemoteAddr is required to join");
      await swarm.join({
        listenAddr: body.ListenAddr,
        advertiseAddr: body.AdvertiseAddr,
        dataPathAddr: body.DataPathAddr,
        remoteAddrs: body.RemoteAddrs,
        joinToken: body.JoinToken,
        availability: availabilityOf(body.Availability),
      });
      return {};
    });

    router.add("POST", "/swarm/leave", async (req) => {
      const me = swarm.active();
      if (!me) throw new SkepError("unavailable", "This node is not part of a swarm");
      if (me.manager && !boolParam(req.query, "force")) {
        const managers = store.view.all("node").filter((n) => n.spec.Role === "manager");
        throw new SkepError("unavailable", managers.length > 1 ? A_MANAGER : LAST_MANAGER);
      }
      await swarm.leave();
      return {};
    });

    router.add("GET", "/swarm", () => {
      requireManager(context);
      return { json: swarmJson(clusterOf(store.view)) };
    });

    router.add("POST", "/swarm/update", async (req) => {
      const spec = decode(clusterSpec, await jsonBody(req));
      const version = versionOf(req.query, "swarm");
      const rotate = {
        worker: goBool(req.query, "rotateWorkerToken") ?? false,
        manager: goBool(req.query, "rotateManagerToken") ?? false,
        unlockKey: goBool(req.query, "rotateManagerUnlockKey") ?? false,
      };
      requireManager(context);
      checkSpecName(spec);
      refuseCluster(spec, context.features);
      await store.update((tx) => updateCluster(tx, version, clusterSpecWithDefaults(spec), rotate));
      return {};
    });

    router.add("GET", "/swarm/unlockkey", () => {
      requireManager(context);
      return { json: { UnlockKey: clusterOf(store.view).unlockKey } };
    });

    router.add("POST", "/swarm/unlock", async (req) => {
      decode(unlockBody, await jsonBody(req));
      requireManager(context);
      throw new SkepError("conflict", "swarm is not locked");
    });
  };
}

function initRequest(body: InitBody, minor: number): SwarmInit {
  if (body.ListenAddr === "") throw invalid('invalid ListenAddr "": invalid empty address');
  checkSpecName(body.Spec);
  const autoLock = body.AutoLockManagers || (body.Spec.EncryptionConfig.AutoLockManagers ?? false);
  const spec = clusterSpecWithDefaults({ ...body.Spec, EncryptionConfig: { AutoLockManagers: autoLock } });
  checkCluster(spec);
  // the parameters were added with API 1.39 and 1.40; what older clients send under the names means nothing
  const pools = minor >= 39 ? body.DefaultAddrPool : [];
  const subnetSize = (minor >= 39 ? body.SubnetSize : 0) || DEFAULT_SUBNET_SIZE;
  checkPools(pools, subnetSize);
  const dataPathPort = (minor >= 40 ? body.DataPathPort : 0) || DEFAULT_DATA_PATH_PORT;
  if (dataPathPort < 1024 || dataPathPort > 49_151) {
    throw invalid(`Datapath port number is not in valid range (1024-49151) : ${dataPathPort}`);
  }
  return {
    listenAddr: body.ListenAddr,
    advertiseAddr: body.AdvertiseAddr,
    dataPathAddr: body.DataPathAddr,
    dataPathPort,
    defaultAddrPool: pools.length > 0 ? pools : DEFAULT_ADDR_POOL,
    subnetSize,
    forceNewCluster: body.ForceNewCluster,
    availability: availabilityOf(body.Availability),
    spec,
  };
}

function availabilityOf(text: string): NodeAvailability {
  const found = (["active", "pause", "drain"] as const).find((a) => a === (text.toLowerCase() || "active"));
  if (!found) throw invalid(`invalid Availability: ${JSON.stringify(text)}`);
  return found;
}

function checkSpecName(spec: ClusterSpec): void {
  if (spec.Name !== "" && spec.Name !== "default") throw invalid('swarm spec must be named "default"');
}

function checkPools(pools: readonly string[], size: number): void {
  if (size > 29) throw invalid(`subnet size is out of range: ${size}`); // no room for gateway, balancer and a task
  const seen: Prefix[] = [];
  for (const text of pools) {
    const prefix = poolOf(text);
    if (prefix.length > size)
      throw invalid(`invalid CIDR: ${JSON.stringify(text)}. Subnet size is too small for pool: ${size}`);
    const other = seen.find((p) => overlaps(p, prefix));
    if (other) throw invalid(`invalid CIDR: ${JSON.stringify(text)}. CIDR ${formatPrefix(other)} already used`);
    seen.push(prefix);
  }
}

function poolOf(text: string): Prefix {
  try {
    const { prefix } = parseCidr(text);
    if (prefix.family === 4) return prefix;
  } catch {
    // worded below, as for IPv6, which swarm's pools cannot have
  }
  throw invalid(`invalid base pool ${JSON.stringify(text)}: invalid CIDR address: ${text}`);
}

function checkCluster(spec: ClusterSpec): void {
  if ((spec.CAConfig.NodeCertExpiry ?? 0) < MIN_CERT_EXPIRY_NS) {
    throw rpcError("InvalidArgument", "minimum certificate expiry time is: 1h0m0s");
  }
  if ((spec.Dispatcher.HeartbeatPeriod ?? 0) < 0) {
    throw rpcError("InvalidArgument", "heartbeat time period cannot be a negative duration");
  }
  if (spec.CAConfig.ExternalCAs) throw rpcError("Unimplemented", "external certificate authorities are not supported");
}

interface Rotation {
  readonly worker: boolean;
  readonly manager: boolean;
  readonly unlockKey: boolean;
}

function updateCluster(tx: Tx, version: number, spec: ClusterSpec, rotate: Rotation): void {
  const cluster = clusterOf(tx);
  checkCluster(spec);
  if (spec.CAConfig.ForceRotate !== cluster.spec.CAConfig.ForceRotate) {
    throw rpcError("Unimplemented", "rotating the swarm's certificate authority is not supported");
  }
  if (cluster.version !== version) throw outOfSequence();
  const { worker, manager } = cluster.joinTokens;
  tx.update<"cluster">({
    ...cluster,
    spec,
    joinTokens: {
      worker: rotate.worker ? rotatedJoinToken(worker) : worker,
      manager: rotate.manager ? rotatedJoinToken(manager) : manager,
    },
    unlockKey: unlockKeyFor(cluster, spec, rotate.unlockKey),
  });
}

function unlockKeyFor(cluster: Cluster, spec: ClusterSpec, rotate: boolean): string {
  if (!spec.EncryptionConfig.AutoLockManagers) return "";
  return cluster.unlockKey === "" || rotate ? rotatedUnlockKey() : cluster.unlockKey;
}
