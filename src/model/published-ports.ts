// Published ports: defaults, and who has which. Pure; used by the front door to refuse a clash and by the allocator to avoid one.
import { SkepError } from "./errors.ts";
import type { Service } from "./objects.ts";
import type { PortConfig } from "./spec.ts";

/** Ports handed out when the user names only a target port (swarmkit, manager/allocator/portallocator.go). */
export const FIRST_DYNAMIC_PORT = 30_000;
export const LAST_DYNAMIC_PORT = 32_767;

/** "tcp/8080": one published port of the whole cluster. */
export type PortKey = string;
export function portKey(port: PortConfig): PortKey {
  return `${port.Protocol ?? "tcp"}/${port.PublishedPort ?? 0}`;
}

/** Whether the port is published on every node. Host mode is each node's own affair. */
export function isIngressPort(port: PortConfig): boolean {
  return (port.PublishMode ?? "ingress") === "ingress";
}

/** Whether tasks of the service take part in the ingress network. */
export function usesIngress(service: Pick<Service, "spec">): boolean {
  const endpoint = service.spec.EndpointSpec;
  return endpoint?.Mode !== "dnsrr" && (endpoint?.Ports ?? []).some(isIngressPort);
}

/**
 * Refuses ports that another service has, as Swarm does: ingress ports are one another's, and a host port may not be an ingress port's.
 * @param services every service; the one with id `self` is left out
 * @throws SkepError "invalid"
 */
export function checkPublishedPorts(ports: readonly PortConfig[], services: readonly Service[], self?: string): void {
  const wanted = ports.filter((p) => p.PublishedPort);
  if (wanted.length === 0) return;
  for (const service of services) {
    if (service.id === self) continue;
    for (const taken of service.endpoint?.ports ?? service.spec.EndpointSpec?.Ports ?? []) {
      const clash = wanted.find((p) => portKey(p) === portKey(taken) && (isIngressPort(p) || isIngressPort(taken)));
      if (!clash) continue;
      const how = isIngressPort(taken) ? "an ingress" : "a host-published";
      throw new SkepError(
        "invalid",
        `rpc error: code = InvalidArgument desc = port '${clash.PublishedPort}' is already in use by service '${service.spec.Name}' (${service.id}) as ${how} port`,
      );
    }
  }
}
