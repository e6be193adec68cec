// The load balancer's port: the desired state of one network's balancer, and what a driver does with it. Drivers are nft.ts (and ipvs.ts,
// ebpf.ts); the namespace that they work in, with its VIP aliases, is next door in balancer.ts.

/** How the next connection's replica is picked: in turn, at random, or always the same one for a client's address. */
export type Scheduler = "rr" | "random" | "sh";

/** A replica behind a VIP. */
export interface RealServer {
  readonly address: string;
  /** Share of new connections; 0: none (draining), established ones live on. */
  readonly weight: number;
  /** For people who look: "web.1.<task id>". */
  readonly name: string;
}

/** A service on one network: every port and protocol of its VIPs leads to its replicas. */
export interface VirtualService {
  /** The firewall mark, which identifies the service in the kernel; at least 256. */
  readonly mark: number;
  readonly name: string;
  /** Addresses without prefix length. */
  readonly vips: readonly string[];
  readonly scheduler: Scheduler;
  readonly servers: readonly RealServer[];
}

/** Everything that a network's balancer should be doing. */
export interface BalancerState {
  /** What replicas see as the client's address, one a family. */
  readonly sources: readonly string[];
  readonly services: readonly VirtualService[];
}

/** One call at a time for a namespace. */
export interface LbDriver {
  readonly name: string;
  /** @throws SkepError "unavailable" when this kernel cannot do it, with the reason */
  check(): Promise<void>;
  /**
   * Brings the rules of a namespace to the desired state, by difference: what is as it should be is not touched. With `keepOthers` services
   * that are not named stay. @throws KernelError
   */
  ensure(netns: string, desired: BalancerState, options?: { readonly keepOthers?: boolean }): Promise<void>;
  /** Adds these services or changes them; costs the same however many others there are. Each switches in one step. @throws KernelError */
  ensureServices(netns: string, services: readonly VirtualService[]): Promise<void>;
  /** Takes these out; gone already is success. @throws KernelError */
  removeServices(netns: string, marks: readonly number[]): Promise<void>;
  /** What the kernel has, not what we remember; undefined when there is no balancer in that namespace. Weight 0 servers are not listed. */
  list(netns: string): Promise<BalancerState | undefined>;
  /** The marks of the services that the kernel has; reading them is cheap. */
  marks(netns: string): Promise<readonly number[]>;
  /** Lets go of a namespace (or all), which an open socket would keep alive. Its rules stay; they go with it. */
  close(netns?: string): void;
}
