// Who publishes which port on the whole cluster, and which port is handed out next. The rules are in model/published-ports.ts.
import { SkepError } from "../../model/errors.ts";
import type { ServiceId } from "../../model/ids.ts";
import {
  FIRST_DYNAMIC_PORT,
  isIngressPort,
  LAST_DYNAMIC_PORT,
  type PortKey,
  portKey,
} from "../../model/published-ports.ts";
import type { PortConfig } from "../../model/spec.ts";

export class PortBook {
  readonly #owners = new Map<PortKey, ServiceId>();
  readonly #held = new Map<ServiceId, PortKey[]>();
  #next = FIRST_DYNAMIC_PORT;

  /** Books ports that a stored endpoint already has. */
  reclaim(ports: readonly PortConfig[], owner: ServiceId): void {
    for (const port of ports) if (isIngressPort(port) && port.PublishedPort) this.#put(portKey(port), owner);
  }

  /**
   * The ports as they are published: those without a number get one, the same as before where `before` has them.
   * Replaces what the owner held.
   * @throws SkepError "conflict" when another service has one of them, "unavailable" when none is left; nothing has changed then
   */
  assign(wanted: readonly PortConfig[], before: readonly PortConfig[], owner: ServiceId): PortConfig[] {
    const clash = wanted.find((p) => p.PublishedPort && isIngressPort(p) && !this.#isFree(portKey(p), owner));
    if (clash) {
      const other = this.#owners.get(portKey(clash));
      throw new SkepError("conflict", `port '${clash.PublishedPort}' is already in use by service ${other}`);
    }
    const fixed = new Set(wanted.filter((p) => p.PublishedPort).map(portKey));
    const reusable = before.filter((p) => isIngressPort(p) && !fixed.has(portKey(p)));
    this.release(owner);
    this.reclaim(wanted, owner);
    try {
      return this.#fill(wanted, reusable, owner);
    } catch (e) {
      this.release(owner);
      this.reclaim(before, owner);
      throw e;
    }
  }

  #fill(wanted: readonly PortConfig[], reusable: PortConfig[], owner: ServiceId): PortConfig[] {
    return wanted.map((port) => {
      if (port.PublishedPort || !isIngressPort(port)) return port;
      const at = reusable.findIndex((b) => b.TargetPort === port.TargetPort && protocol(b) === protocol(port));
      const old = at < 0 ? undefined : reusable.splice(at, 1)[0];
      const published = { ...port, PublishedPort: old?.PublishedPort ?? this.#nextFree(port) };
      this.#put(portKey(published), owner);
      return published;
    });
  }

  /** @returns whether it held any */
  release(owner: ServiceId): boolean {
    const held = this.#held.get(owner);
    for (const key of held ?? []) this.#owners.delete(key);
    return this.#held.delete(owner);
  }

  #nextFree(port: PortConfig): number {
    for (let tried = FIRST_DYNAMIC_PORT; tried <= LAST_DYNAMIC_PORT; tried++) {
      const number = this.#next;
      this.#next = number >= LAST_DYNAMIC_PORT ? FIRST_DYNAMIC_PORT : number + 1;
      if (!this.#owners.has(portKey({ ...port, PublishedPort: number }))) return number;
    }
    throw new SkepError("unavailable", `no port from ${FIRST_DYNAMIC_PORT} to ${LAST_DYNAMIC_PORT} is free`);
  }

  #isFree(key: PortKey, self: ServiceId): boolean {
    const owner = this.#owners.get(key);
    return owner === undefined || owner === self;
  }

  #put(key: PortKey, owner: ServiceId): void {
    this.#owners.set(key, owner);
    const held = this.#held.get(owner);
    if (held) held.push(key);
    else this.#held.set(owner, [key]);
  }
}

function protocol(port: PortConfig): string {
  return port.Protocol ?? "tcp";
}
