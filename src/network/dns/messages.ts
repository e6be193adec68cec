// What passes between the daemon's thread (server.ts) and the resolver's (worker.ts): changes one way, acknowledgements and log lines the
// other. A change is the same value whether it is sent at once or replayed to a fresh worker (wanted.ts).

import type { EndpointNames, NetworkNames, ServiceNames } from "./names.ts";
import type { Upstream } from "./upstreams.ts";

/** A change to the names. */
export type NameChange =
  | { readonly op: "network"; readonly networkId: string; readonly name: string; readonly options: NetworkNames }
  | { readonly op: "network gone"; readonly networkId: string }
  | { readonly op: "service"; readonly networkId: string; readonly names: ServiceNames }
  | { readonly op: "service gone"; readonly networkId: string; readonly serviceId: string }
  | { readonly op: "endpoint"; readonly networkId: string; readonly endpoint: EndpointNames }
  | { readonly op: "endpoint gone"; readonly networkId: string; readonly endpointId: string };

/** Sockets in a sandbox to answer on. The TCP descriptor belongs to the worker from then on, the UDP one is lent until "close" is done. */
export type OpenChange = {
  readonly op: "open";
  readonly sandboxId: string;
  readonly udpFd: number;
  readonly tcpFd: number;
  readonly networks: readonly string[];
  readonly upstreams: readonly Upstream[] | undefined;
  readonly keepsShortNames: boolean;
};

export type Change =
  | NameChange
  | OpenChange
  | { readonly op: "scope"; readonly sandboxId: string; readonly networks: readonly string[] }
  | { readonly op: "close"; readonly sandboxId: string }
  /** Answered with "synced" once everything before it is visible to queries. */
  | { readonly op: "sync"; readonly seq: number };

export type WorkerData = { readonly resolvConfPath: string };

export type Report =
  | { readonly kind: "synced"; readonly seq: number }
  | { readonly kind: "warning"; readonly message: string; readonly facts: Readonly<Record<string, string | number>> };
