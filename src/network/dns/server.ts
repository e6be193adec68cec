// The daemon's end of the embedded DNS: keeps the resolver's thread (worker.ts) fed with names and sockets, and leads 127.0.0.11:53 of each
// sandbox to it (redirect.ts). Sockets are made here, in the sandbox's namespace, and handed to the thread as descriptors.

import { Worker } from "node:worker_threads";
import { closeFd, isErrno, Nft, portOf, tcpListenerIn, udpSocketIn } from "../../kernel/index.ts";
import { messageOf, SkepError } from "../../model/errors.ts";
import type { Change, NameChange, Report, WorkerData } from "./messages.ts";
import { type EndpointNames, packAddress, type ServiceNames } from "./names.ts";
import { portOfRedirect, REDIRECT_TABLE, RESOLVER_ADDRESS, redirectRules } from "./redirect.ts";
import { toUpstreams } from "./upstreams.ts";
import { WantedNames } from "./wanted.ts";

/** A UDP port may be free where the TCP port of that number is not: then another is tried. */
const PORT_TRIES = 16;
/** Queries that wait while the thread is busy elsewhere: some thousand small packets. */
const RECEIVE_BUFFER_BYTES = 1 << 20;

/** What DnsServer tells its owner. */
export type DnsLog = { warn(facts: Record<string, string | number>, message: string): void };

/** A namespace in which to answer. */
export type SandboxDns = {
  readonly sandboxId: string;
  readonly netnsPath: string;
  /** Ids of the networks whose names it sees, in the order in which they are searched. */
  readonly networks: readonly string[];
  /** The service's own resolvers (DNSConfig.Nameservers); the host's when there are none. */
  readonly nameservers?: readonly string[];
  /** The user set ndots above 0 (see `userNdots`): names without a dot are then never forwarded. */
  readonly keepsShortNames?: boolean;
  /** The namespace was just made: no rules of an earlier daemon to look for. */
  readonly fresh?: boolean;
};

type Listening = { readonly spec: SandboxDns; networks: readonly string[]; port: number };

/**
 * The embedded DNS of a node. Changes to names may be made at any time, also before `start`; they are seen by queries within
 * milliseconds, and surely once `flush` has resolved. Every call may be repeated. If the thread dies it is started again and told everything.
 */
export class DnsServer {
  readonly #log: DnsLog;
  readonly #resolvConfPath: string;
  readonly #wanted = new WantedNames();
  readonly #listening = new Map<string, Listening>();
  #worker: Worker | undefined;
  #queue: Change[] = [];
  #sendScheduled = false;
  #seq = 0;
  readonly #syncs = new Map<number, () => void>();

  constructor(needs: { log: DnsLog; resolvConfPath?: string }) {
    this.#log = needs.log;
    this.#resolvConfPath = needs.resolvConfPath ?? "/etc/resolv.conf";
  }

  /** Starts the thread; resolves when it has every name that was set so far. */
  async start(): Promise<void> {
    if (this.#worker !== undefined) return;
    this.#startWorker();
    await this.flush();
  }

  /**
   * Ends the thread and closes every socket. The rules in the sandboxes stay, as after a crash: the next daemon's `listen` takes the
   * same ports again. Names and sandboxes are not forgotten: `start` answers again for all of them.
   */
  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#queue = [];
    this.#releaseSyncs();
    await worker?.terminate();
  }

  setNetwork(networkId: string, name: string, options: { ingress?: boolean } = {}): void {
    this.#change({ op: "network", networkId, name, ingress: options.ingress ?? false });
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
    if (this.#worker === undefined) return Promise.resolve();
    const seq = ++this.#seq;
    return new Promise((resolve) => {
      this.#syncs.set(seq, resolve);
      this.#send({ op: "sync", seq });
    });
  }

  /**
   * Answers at 127.0.0.11:53 of a sandbox, UDP and TCP; resolves when it does. Where an earlier daemon's rules are found, the port they
   * lead to is taken again if it is free, so that connections that conntrack follows go on. Called again it replaces what was said before.
   * @throws SkepError "unavailable" when the namespace cannot be entered or its rules cannot be set
   */
  async listen(spec: SandboxDns): Promise<void> {
    const known = this.#listening.get(spec.sandboxId);
    if (known !== undefined) await this.#closeSockets(spec.sandboxId);
    try {
      const before = known?.port ?? (spec.fresh === true ? undefined : adoptedPort(spec.netnsPath));
      const listening: Listening = { spec, networks: spec.networks, port: before ?? 0 };
      this.#open(listening);
      this.#listening.set(spec.sandboxId, listening);
      redirect(spec.netnsPath, listening.port);
    } catch (error) {
      await this.close(spec.sandboxId);
      const facts = { "sandbox.id": spec.sandboxId };
      throw new SkepError("unavailable", `cannot answer DNS in ${spec.netnsPath}: ${messageOf(error)}`, facts, error);
    }
    await this.flush();
  }

  /** The sandbox sees these networks from now on. Unknown sandboxes are passed over. */
  setNetworks(sandboxId: string, networks: readonly string[]): void {
    const listening = this.#listening.get(sandboxId);
    if (listening === undefined) return;
    listening.networks = networks;
    this.#send({ op: "scope", sandboxId, networks });
  }

  /**
   * Closes a sandbox's sockets; resolves when they are. To be called before the namespace is deleted: an open socket keeps it alive. The
   * rules go with the namespace.
   */
  async close(sandboxId: string): Promise<void> {
    this.#listening.delete(sandboxId);
    await this.#closeSockets(sandboxId);
  }

  async #closeSockets(sandboxId: string): Promise<void> {
    this.#send({ op: "close", sandboxId });
    await this.flush();
  }

  /** Makes both sockets on one port, the wanted one if it is free, and hands them to the thread. */
  #open(listening: Listening): void {
    if (this.#worker === undefined) throw new SkepError("unavailable", "the DNS server is not started");
    const { spec } = listening;
    const { udpFd, tcpFd, port } = openPair(spec.netnsPath, listening.port);
    listening.port = port;
    const upstreams =
      spec.nameservers === undefined || spec.nameservers.length === 0 ? undefined : toUpstreams(spec.nameservers);
    const { sandboxId, keepsShortNames = false } = spec;
    this.#send({ op: "open", sandboxId, udpFd, tcpFd, networks: listening.networks, upstreams, keepsShortNames });
  }

  #change(change: NameChange): void {
    this.#wanted.note(change);
    this.#send(change);
  }

  /** Everything that one turn of the event loop says goes over in one message. */
  #send(change: Change): void {
    if (this.#worker === undefined) return;
    this.#queue.push(change);
    if (this.#sendScheduled) return;
    this.#sendScheduled = true;
    queueMicrotask(() => {
      this.#sendScheduled = false;
      if (this.#queue.length > 0) this.#worker?.postMessage(this.#queue);
      this.#queue = [];
    });
  }

  #startWorker(): void {
    const data: WorkerData = { resolvConfPath: this.#resolvConfPath };
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData: data, name: "skep-dns" });
    this.#worker = worker;
    worker.on("message", (report: Report) => this.#heed(report));
    worker.on("error", (error) => this.#log.warn({ "error.message": messageOf(error) }, "the DNS thread failed"));
    worker.on("exit", () => {
      if (this.#worker === worker) this.#restart();
    });
    for (const change of this.#wanted.replay()) this.#send(change);
    for (const listening of this.#listening.values()) this.#reopen(listening);
  }

  #restart(): void {
    this.#log.warn({ "dns.sandboxes": this.#listening.size }, "the DNS thread ended, starting it again");
    this.#worker = undefined;
    this.#queue = [];
    this.#releaseSyncs();
    this.#startWorker();
  }

  #reopen(listening: Listening): void {
    const before = listening.port;
    try {
      this.#open(listening);
      if (listening.port !== before) redirect(listening.spec.netnsPath, listening.port);
    } catch (error) {
      const facts = { "sandbox.id": listening.spec.sandboxId, "error.message": messageOf(error) };
      this.#log.warn(facts, "cannot answer DNS again");
    }
  }

  #heed(report: Report): void {
    if (report.kind === "warning") {
      this.#log.warn(report.facts, report.message);
      return;
    }
    this.#syncs.get(report.seq)?.();
    this.#syncs.delete(report.seq);
  }

  #releaseSyncs(): void {
    for (const release of this.#syncs.values()) release();
    this.#syncs.clear();
  }
}

/** The port that an earlier daemon's rules lead to; undefined where there are none. */
function adoptedPort(netnsPath: string): number | undefined {
  using nft = Nft.open(netnsPath);
  try {
    return portOfRedirect(nft.run(`list table ip ${REDIRECT_TABLE}`));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function redirect(netnsPath: string, port: number): void {
  using nft = Nft.open(netnsPath);
  nft.run(redirectRules(port));
}

function openPair(netnsPath: string, wanted: number): { udpFd: number; tcpFd: number; port: number } {
  let failure: unknown;
  for (let tries = 0; tries < PORT_TRIES; tries++) {
    try {
      // Only the first try is for the wanted port: whoever has it now keeps it.
      return openBoth(netnsPath, tries === 0 ? wanted : 0);
    } catch (error) {
      failure = error;
      if (!isErrno(error, "EADDRINUSE")) break;
    }
  }
  throw failure;
}

function openBoth(netnsPath: string, wanted: number): { udpFd: number; tcpFd: number; port: number } {
  const udpFd = udpSocketIn(netnsPath, RESOLVER_ADDRESS, wanted, { receiveBufferBytes: RECEIVE_BUFFER_BYTES });
  try {
    const port = portOf(udpFd);
    return { udpFd, tcpFd: tcpListenerIn(netnsPath, RESOLVER_ADDRESS, port), port };
  } catch (error) {
    closeFd(udpFd);
    throw error;
  }
}
