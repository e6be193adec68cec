// Podman's GET /libpod/info → EngineInfo, with Docker's names for architectures.
import { count, type Json, object, text } from "./podman-answers.ts";
import type { ContainerSummary, EngineInfo } from "./port.ts";

const MACHINES: Readonly<Record<string, string>> = {
  amd64: "x86_64",
  arm64: "aarch64",
  arm: "armv7l",
  "386": "i686",
};

/** `raw` is Podman's answer; the counts of containers and images are taken from live lists, since the answer may be a kept one. */
export function readInfo(raw: unknown, containers: readonly ContainerSummary[], images: number): EngineInfo {
  const info = object(raw);
  const host = object(info.host);
  const store = object(info.store);
  const version = object(info.version);
  const inState = (...states: string[]) => containers.filter((c) => states.includes(c.state)).length;
  const running = inState("running", "stopping");
  const paused = inState("paused");
  return {
    engineVersion: text(version.Version),
    apiVersion: text(version.APIVersion),
    hostname: text(host.hostname),
    os: text(host.os),
    operatingSystem: distribution(object(host.distribution)),
    arch: MACHINES[text(host.arch)] ?? text(host.arch),
    kernel: text(host.kernel),
    cpus: count(host.cpus),
    memoryBytes: count(host.memTotal),
    storageDriver: text(store.graphDriverName),
    storageRoot: text(store.graphRoot),
    cgroupDriver: text(host.cgroupManager),
    cgroupVersion: text(host.cgroupVersion).replace(/^v/, ""),
    runtime: text(object(host.ociRuntime).name),
    containers: containers.length,
    running,
    paused,
    stopped: containers.length - running - paused,
    images,
    raw: info,
  };
}

function distribution(d: Json): string {
  const name = text(d.distribution);
  return [
    name.charAt(0).toUpperCase() + name.slice(1),
    "GNU/Linux",
    text(d.version),
    d.codename && `(${text(d.codename)})`,
  ]
    .filter((part) => part !== "" && part !== undefined)
    .join(" ");
}
