// What this node tells the swarm of itself.
import type { EngineInfo } from "../engine/index.ts";
import type { NodeDescription } from "../model/objects.ts";

const NANO = 1e9;

/** Network and log drivers that skep's own services can use, in dockerd's order: by type, then name. */
const PLUGINS = [
  { type: "Log", name: "journald" },
  { type: "Log", name: "json-file" },
  { type: "Network", name: "bridge" },
  { type: "Network", name: "host" },
  { type: "Network", name: "null" },
  { type: "Network", name: "overlay" },
  { type: "Volume", name: "local" },
] as const;

/** @param version of skep: what `docker node ls` shows as the engine's */
export function describeNode(info: EngineInfo, hostname: string, version: string): NodeDescription {
  return {
    hostname,
    platform: { architecture: info.arch, os: info.os },
    resources: { nanoCPUs: info.cpus * NANO, memoryBytes: info.memoryBytes },
    engine: { engineVersion: version, labels: {}, plugins: PLUGINS },
  };
}
