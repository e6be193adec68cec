// The container engine port: what skep asks of whatever runs containers on this node. The Podman adapter next door
// (podman-engine.ts) is the real one; the spec of a container to create is in container-spec.ts. Values only, no I/O here.
import type { ContainerCreate } from "./container-spec.ts";

/**
 * A container engine on this node. Every method rejects with a `SkepError`: "unavailable" when the engine does not answer (the adapter
 * is already bringing it back), "not_found" / "conflict" / "invalid" when it refuses, with Docker's wording where a client sees it.
 */
export interface ContainerEngine {
  /** Unix socket of the engine's own REST service; the front door proxies Docker-compatible requests to it unchanged. */
  readonly socketPath: string;

  /** Facts of the host and the engine; cheap enough for every `docker info` (about 20 ms), not for a loop. */
  info(): Promise<EngineInfo>;

  /** The image that `ref` (familiar name, full name, digest or id) means in local storage; `undefined` when it is not there. */
  imageExists(ref: string): Promise<ImageInfo | undefined>;

  /**
   * Pulls `ref` and resolves with what is then in local storage. Repeating it is harmless.
   * @throws SkepError "not_found" with Docker's words ("pull access denied for …", "manifest for … not found"), "unavailable" when no
   * registry answered
   */
  pullImage(ref: string, options?: PullOptions): Promise<ImageInfo>;

  /** Gives an image one more name. Idempotent. @throws SkepError "not_found" */
  tagImage(ref: string, name: string): Promise<void>;

  /** Makes a one-layer image of a root file system given as a tar stream; resolves with its id. */
  importImage(tar: NodeJS.ReadableStream, options: ImportOptions): Promise<ImageInfo>;

  /**
   * Creates a container without starting it.
   * @throws SkepError "conflict" when the name is taken, "not_found" ("No such image: …"), "invalid" when the spec is refused
   */
  createContainer(spec: ContainerCreate): Promise<{ id: string; warnings: string[] }>;

  /**
   * Starts a created container; resolves with the process id on this host once the process runs, 0 when it has ended again by then.
   * Already running is fine.
   * @throws SkepError "invalid" in Docker's words when the image has no such program, "not_found", "unavailable" when the engine died
   * over it: the process may or may not run, and the container can only be removed
   */
  startContainer(id: string): Promise<{ pid: number }>;

  /** Stop signal, then SIGKILL after `graceMs`; resolves when the process is gone. Already stopped, or no such container, is success. */
  stopContainer(id: string, options: StopOptions): Promise<void>;

  /** Sends a signal ("SIGKILL", "KILL" or "9"). @throws SkepError "not_found", "conflict" when it is not running */
  killContainer(id: string, signal: string): Promise<void>;

  /** Removes a container, killing it first with `force`. Already gone is success. */
  removeContainer(id: string, options?: RemoveOptions): Promise<void>;

  /** Everything known of one container by id or name, `undefined` when there is none. */
  inspectContainer(id: string): Promise<ContainerState | undefined>;

  /** All containers, in any state, with this label ("key" or "key=value"). One request however many there are. */
  listContainers(filter: { label: string }): Promise<ContainerSummary[]>;

  /**
   * Calls back for each death of a container's process, some milliseconds after it. Deaths that happened while nobody could see them
   * (engine down, this process down) are found by comparison and reported late rather than never, so a container may also be
   * reported that stopped long ago: callers must take a repeat as harmless. Returns the function that unsubscribes.
   */
  onExit(listener: (exit: ContainerExit) => void): () => void;

  /** Follows the engine's events, over reconnections, until the signal aborts; `since` also replays earlier ones. */
  events(signal: AbortSignal, since?: Date): AsyncIterable<EngineEvent>;

  /** Resolves when the engine answers. @throws SkepError "unavailable" */
  ping(): Promise<void>;
}

export interface EngineInfo {
  readonly engineVersion: string;
  readonly apiVersion: string;
  readonly hostname: string;
  readonly os: string;
  readonly operatingSystem: string;
  /** As Docker names it: "x86_64", "aarch64". */
  readonly arch: string;
  readonly kernel: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly storageDriver: string;
  readonly storageRoot: string;
  readonly cgroupDriver: string;
  readonly cgroupVersion: string;
  readonly runtime: string;
  readonly containers: number;
  readonly running: number;
  readonly paused: number;
  readonly stopped: number;
  readonly images: number;
  /** Podman's own answer, whole. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export interface ImageInfo {
  /** "sha256:" and 64 hex digits. */
  readonly id: string;
  /** Full names, "docker.io/library/alpine:latest". */
  readonly tags: readonly string[];
  /** "docker.io/library/alpine@sha256:…". */
  readonly digests: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly os: string;
  readonly arch: string;
  readonly sizeBytes: number;
}

export interface PullOptions {
  /** The X-Registry-Auth header just as a Docker client sends it. */
  readonly authHeader?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((line: string) => void) | undefined;
}

export interface ImportOptions {
  /** Name to give it: "containous/whoami:latest". */
  readonly reference: string;
  /** Dockerfile instructions: `CMD ["sh"]`, `LABEL a=b`. */
  readonly changes?: readonly string[];
  readonly message?: string;
}

export interface StopOptions {
  /** Milliseconds between the stop signal and SIGKILL; rounded up to whole seconds by Podman. */
  readonly graceMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface RemoveOptions {
  readonly force?: boolean;
  /** Anonymous volumes with it. */
  readonly volumes?: boolean;
}

export type ContainerStatus =
  | "created"
  | "initialized"
  | "running"
  | "paused"
  | "stopping"
  | "stopped"
  | "exited"
  | "removing"
  | "unknown";

/** What one listing tells of a container. */
export interface ContainerSummary {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** 0 when it does not run. */
  readonly pid: number;
  readonly state: ContainerStatus;
  /** Meaningful in state "exited" or "stopped". */
  readonly exitCode: number;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface ContainerState extends ContainerSummary {
  readonly createdAt: Date | undefined;
  readonly oomKilled: boolean;
  /** The engine's own words when the start failed. */
  readonly error: string;
  /** Path of the network namespace that it joined, where it joined one. */
  readonly netnsPath: string | undefined;
}

export interface ContainerExit {
  readonly id: string;
  readonly exitCode: number;
  readonly at: Date;
}

export interface EngineEvent {
  /** "container", "image", "volume", "pod", "system"… */
  readonly type: string;
  /** "create", "start", "died", "remove", "pull"… in Podman's words. */
  readonly action: string;
  readonly actorId: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly at: Date;
}
