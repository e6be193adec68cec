// What the routes to the container engine may ask of the rest of skep. The daemon implements these over network and agent. Values only.
import type { Ceilings } from "../../engine/index.ts";
import type { Clock } from "../../model/clock.ts";
import type { NetworkId, TaskId } from "../../model/ids.ts";
import type { Log } from "../../model/log.ts";
import type { Cidr, Network } from "../../model/objects.ts";
import type { Store } from "../../store/index.ts";
import type { EventBus } from "../event-bus.ts";
import type { EngineFeed } from "./feed.ts";
import type { Upstream } from "./upstream.ts";

export interface EngineContext {
  readonly upstream: Upstream;
  /** The engine's events: one connection for all who wait for some. */
  readonly feed: EngineFeed;
  readonly store: Store;
  readonly containerNetworks: ContainerNetworks;
  readonly attachments: Attachments;
  /** The Swarm section of `GET /info`, in the API's shape. */
  swarmInfo(): object | Promise<object>;
  /** The resource limits that the engine's process can give; `undefined` when it may give any. */
  ceilings(): Promise<Ceilings>;
  /** The swarm's own events, merged into `GET /events`. */
  readonly events: EventBus;
  readonly clock: Clock;
  readonly log: Log;
  readonly about: About;
}

/** What skep tells of itself in `GET /version` and `GET /info`. */
export interface About {
  /** skep's version, "0.1.0". */
  readonly version: string;
  /** The highest and lowest API version spoken, "1.51" and "1.24". */
  readonly apiVersion: string;
  readonly minApiVersion: string;
  /** Commit and RFC 3339 time of this build; empty when not known. */
  readonly gitCommit: string;
  readonly buildTime: string;
  /** DockerRootDir of `docker info`: skep's data root. */
  readonly dataRoot: string;
  /** The load balancer's driver and other things to warn of in `docker info`. */
  warnings(): readonly string[];
  /** Labels of this daemon ("key=value"). */
  readonly labels: readonly string[];
}

/** The networking of the containers that skep plumbs itself: tasks of services and attachments. */
export interface ContainerNetworks {
  /** `undefined` when this node knows no such task. */
  of(taskId: TaskId): ContainerNetworking | undefined;
}

export interface ContainerNetworking {
  /** 64 hex digits; empty when there is no sandbox (yet, or any more). */
  readonly sandboxId: string;
  /** Path of the network namespace; empty likewise. */
  readonly sandboxKey: string;
  readonly endpoints: readonly ContainerEndpoint[];
}

export interface ContainerEndpoint {
  readonly networkName: string;
  readonly networkId: NetworkId;
  /** 64 hex digits; empty when there is no sandbox. */
  readonly endpointId: string;
  /** One a family, IPv4 first. */
  readonly addresses: readonly Cidr[];
  readonly aliases: readonly string[];
}

/** A container's wish to be on one network. */
export interface AttachmentRequest {
  readonly network: Network;
  readonly aliases: readonly string[];
  /** Addresses that the user wants, without prefix length. */
  readonly addresses: readonly string[];
  readonly driverOpts: Readonly<Record<string, string>>;
}

/**
 * Attachable swarm networks for containers that no service owns. An attachment is a task without a service whose spec has a
 * NetworkAttachmentSpec; it owns the sandbox that the container joins, from before the container is created until it is removed, across
 * restarts of container and daemon.
 */
export interface Attachments {
  /**
   * Makes an attachment on this node and resolves when its sandbox is plumbed.
   * @throws SkepError "forbidden" when a network is not attachable, "unavailable" when no address is free or this node is in no swarm
   */
  create(request: {
    /** The container's name; its first network is the one of its names. */
    readonly name: string;
    readonly networks: readonly AttachmentRequest[];
    /** Empty: the container's short id, which is not known yet. */
    readonly hostname: string;
    /** Lines of "name:address" for /etc/hosts. */
    readonly hosts: readonly string[];
    /** For /etc/resolv.conf and the resolver, where they are not empty. */
    readonly dns: {
      readonly nameservers: readonly string[];
      readonly search: readonly string[];
      readonly options: readonly string[];
    };
  }): Promise<Attachment>;
  /** Says which container an attachment is for, once that is known. Repeating it is harmless. */
  bind(taskId: TaskId, containerId: string): Promise<void>;
  /** Rebuilds the sandbox where it is gone (the host was restarted), at the same path. Repeating it is harmless. @throws "not_found" */
  ensure(taskId: TaskId): Promise<void>;
  /** Adds a network to an attachment whose container exists. @throws SkepError "conflict" when it is on it already */
  connect(taskId: TaskId, request: AttachmentRequest): Promise<void>;
  /** @throws SkepError "not_found" when it is not on that network */
  disconnect(taskId: TaskId, networkId: NetworkId): Promise<void>;
  /** Takes an attachment and its sandbox away. Gone already is fine. */
  release(taskId: TaskId): Promise<void>;
  /** Every attachment on this node, to compare with the containers there are. `containerId` is empty before `bind`. */
  list(): readonly { readonly taskId: TaskId; readonly containerId: string; readonly createdAt: string }[];
}

export interface Attachment {
  readonly taskId: TaskId;
  /** Path of the network namespace, the same for the attachment's whole life. */
  readonly netnsPath: string;
  /** Files of this attachment's to be mounted over the container's: /etc/resolv.conf, /etc/hosts. */
  readonly binds: readonly { readonly source: string; readonly target: string }[];
}

/** The label that ties a container to its attachment. Never shown to clients. */
export const ATTACHMENT_LABEL = "io.skep.attachment";
/** Labels with this prefix are skep's own: not shown. */
export const INTERNAL_LABELS = "io.skep.";
/** The label by which a container says whose task it is (Docker's). */
export const TASK_LABEL = "com.docker.swarm.task.id";
