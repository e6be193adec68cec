// The daemon's end of the embedded DNS: the names as they should be, and the sandboxes in which to answer. thread.ts carries both to the
// resolver's thread (worker.ts), sandbox-sockets.ts makes what a sandbox needs.

import { closeFd } from "../../kernel/index.ts";
import { messageOf, SkepError } from "../../model/errors.ts";
import { parseCidr } from "../../model/ip.ts";
import { packAddress } from "./addresses.ts";
import type { NameChange } from "./messages.ts";
import type { EndpointNames, NetworkNames, ServiceNames } from "./names.ts";
import { openSandbox } from "./sandbox-sockets.ts";
import { type DnsLog, DnsThread, type Spawn } from "./thread.ts";
import { toUpstreams, type Upstream } from "./upstreams.ts";
import { WantedNames } from "./wanted.ts";

/** A namespace in which to answer. */
export type SandboxDns = {
  readonly sandboxId: string;
  readonly netnsPath: string;
  /** Ids of the networks whose names it sees, in the order in which they are searched. */
  readonly networks: readonly string[];
  /** The service's own resolvers (DNSConfig.Nameservers), asked from within the sandbox; when there are none the host's, from the host. */
  readonly nameservers?: readonly string[];
  /** The user set ndots above 0 (see `userNdots`): names without a dot are then never forwarded. */
  readonly keepsShortNames?: boolean;
};

/** `udpFd` is ours and closed here, after the thread let go of it; the TCP one belongs to node in the thread. */
type Listening = { readonly spec: SandboxDns; networks: readonly string[]; udpFd: number | undefined };

/**
 * The embedded DNS of a node. Changes to names may be made at any time, also before `start`; they are seen by queries within
 * milliseconds, and surely once `flush` has resolved. Every call may be repeated. If the thread dies it is started again and told everything.
 */
export class DnsServer {
  readonly #log: DnsLog;
  readonly #thread: DnsThread;
  readonly #wanted = new WantedNames();
  readonly #listening = new Map<string, Listening>();
  #turn: Promise<void> = Promise.resolve();

  /** @param needs.resolvConfPath where the host's resolvers are read, and followed; default /etc/resolv.conf */
  constructor(needs: { log: DnsLog; resolvConfPath?: string; spawn?: Spawn }) {
    const data = { resolvConfPath: needs.resolvConfPath ?? "/etc/resolv.conf" };
    this.#log = needs.log;
    const spawn = needs.spawn === undefined ? {} : { spawn: needs.spawn };
    this.#thread = new DnsThread({
      log: needs.log,
      data,
      ...spawn,
      up: () => this.#tellAll(),
      down: () => {
        for (const listening of this.#listening.values()) letGo(listening);
      },
    });
  }

  /** Starts the thread; resolves when it has every name that was set so far. */
  start(): Promise<void> {
    return this.#thread.start();
  }

  /**
   * Ends the thread and closes every socket. The rules in the sandboxes stay, as after a crash: the next daemon's `listen` takes the
   * same ports again. Names and sandboxes are not forgotten: `start` answers again for all of them.
   */
  stop(): Promise<void> {
    return this.#inTurn(() => this.#thread.stop());
  }

  /** @throws SkepError "invalid" when a subnet is none */
  setNetwork(networkId: string, name: string, options: NetworkNames = {}): void {
    for (const subnet of options.subnets ?? []) parseCidr(subnet);
    this.#change({ op: "network", networkId, name, options });
  }

  deleteNetwork(networkId: string): void {
    this.#change({ op: "network gone", networkId });
  }

  /** @throws SkepError "invalid" when a VIP is no address */
  setService(networkId: string, names: ServiceNames): void {
    names.vip?.forEach(packAddress);
    this.#change({ op: "service", networkId, names });
  }

  deleteService(networkId: string, serviceId: string): void {
    this.#change({ op: "service gone", networkId, serviceId });
  }

  /** @throws SkepError "invalid" when an address is none */
  setEndpoint(networkId: string, endpoint: EndpointNames): void {
    endpoint.addresses.forEach(packAddress);
    this.#change({ op: "endpoint", networkId, endpoint });
  }

  deleteEndpoint(networkId: string, endpointId: string): void {
    this.#change({ op: "endpoint gone", networkId, endpointId });
  }

  /** Resolves when every change made so far is visible to queries (or the server was stopped). */
  flush(): Promise<void> {
    return this.#thread.flush();
  }

  /**
   * Answers at 127.0.0.11:53 of a sandbox, UDP and TCP; resolves when it does (while a thread that died is being replaced, it resolves
   * early, and the new one answers). Where an earlier daemon's rules are found, the port they
   * lead to is taken again if it is free, so that connections that conntrack follows go on. Called again it replaces what was said before.
   * @throws SkepError "unavailable" when the server is not started, or the namespace cannot be entered or its rules cannot be set
   */
  listen(spec: SandboxDns): Promise<void> {
    return this.#inTurn(() => this.#listen(spec));
  }

  /** The sandbox sees these networks from now on. Unknown sandboxes are passed over. */
  setNetworks(sandboxId: string, networks: readonly string[]): void {
    const listening = this.#listening.get(sandboxId);
    if (listening === undefined) return;
    listening.networks = networks;
    this.#thread.send({ op: "scope", sandboxId, networks });
  }

  /**
   * Closes a sandbox's sockets; resolves when they are. To be called before the namespace is deleted: an open socket keeps it alive. The
   * rules go with the namespace.
   */
  close(sandboxId: string): Promise<void> {
    return this.#inTurn(() => this.#close(sandboxId));
  }

  async #listen(spec: SandboxDns): Promise<void> {
    await this.#close(spec.sandboxId);
    try {
      if (!this.#thread.isWanted) throw new SkepError("unavailable", "the DNS server is not started");
      const listening: Listening = { spec, networks: spec.networks, udpFd: undefined };
      this.#listening.set(spec.sandboxId, listening);
      // While the thread is down for a moment, `#tellAll` does it.
      if (this.#thread.isUp) this.#open(listening);
    } catch (error) {
      await this.#close(spec.sandboxId);
      const facts = { "sandbox.id": spec.sandboxId };
      throw new SkepError("unavailable", `cannot answer DNS in ${spec.netnsPath}: ${messageOf(error)}`, facts, error);
    }
    await this.flush();
  }

  async #close(sandboxId: string): Promise<void> {
    const listening = this.#listening.get(sandboxId);
    if (listening === undefined) return;
    this.#listening.delete(sandboxId);
    this.#thread.send({ op: "close", sandboxId });
    await this.flush();
    letGo(listening);
  }

  /** Makes both sockets, on the port they had if it is free, and hands them to the thread. */
  #open(listening: Listening): void {
    const { sandboxId, netnsPath, nameservers, keepsShortNames = false } = listening.spec;
    const { udpFd, tcpFd } = openSandbox(netnsPath);
    listening.udpFd = udpFd;
    const upstreams = nameservers?.length ? ownUpstreams(nameservers, netnsPath) : undefined;
    const { networks } = listening;
    this.#thread.send({ op: "open", sandboxId, udpFd, tcpFd, networks, upstreams, keepsShortNames });
  }

  #change(change: NameChange): void {
    this.#wanted.note(change);
    this.#thread.send(change);
  }

  /** A fresh thread hears every name, and gets every sandbox's sockets anew. */
  #tellAll(): void {
    for (const change of this.#wanted.replay()) this.#thread.send(change);
    for (const listening of this.#listening.values()) {
      try {
        this.#open(listening);
      } catch (error) {
        const facts = { "sandbox.id": listening.spec.sandboxId, "error.message": messageOf(error) };
        this.#log.warn(facts, "cannot answer DNS again");
      }
    }
  }

  /** One after the other, so that a `close` during a `listen` of the same sandbox has the last word. */
  #inTurn(step: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(step);
    this.#turn = done.catch(() => {}); // whoever asked for the step hears of its failure; the next one starts all the same
    return done;
  }
}

function ownUpstreams(nameservers: readonly string[], netnsPath: string): Upstream[] {
  return toUpstreams(nameservers).map((upstream) => ({ ...upstream, netnsPath }));
}

function letGo(listening: Listening): void {
  if (listening.udpFd !== undefined) closeFd(listening.udpFd);
  listening.udpFd = undefined;
}
