// What can be asked of a container to create: the container part of a Swarm service spec, with names already resolved to what this node has.
// The port that takes it is in port.ts; how Podman is told is in spec-generator.ts.

/** A container to create. Absent means the image's or the engine's default. */
export interface ContainerCreate {
  readonly name: string;
  readonly image: string;
  /** Replaces the image's entrypoint (Swarm's `Command`); an entrypoint drops the image's own command, as in Docker. */
  readonly command?: readonly string[] | undefined;
  /** Replaces the image's command (Swarm's `Args`). */
  readonly args?: readonly string[] | undefined;
  /** "KEY=value"; "KEY" alone is dropped, since there is no client environment to take it from. */
  readonly env?: readonly string[] | undefined;
  readonly dir?: string | undefined;
  /** "user", "uid", "user:group". */
  readonly user?: string | undefined;
  readonly groups?: readonly string[] | undefined;
  /** Default: the first 12 digits of the container's id, as in Docker. */
  readonly hostname?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly mounts?: readonly ContainerMount[] | undefined;
  /** Files of ours over the container's: /etc/resolv.conf, /etc/hosts, /etc/hostname, and secrets or configs. */
  readonly files?: readonly FileBind[] | undefined;
  /** "SIGTERM", "TERM" or "15". */
  readonly stopSignal?: string | undefined;
  /** Milliseconds; only what `podman stop` without a time would use. */
  readonly stopGraceMs?: number | undefined;
  readonly tty?: boolean | undefined;
  readonly openStdin?: boolean | undefined;
  readonly readOnly?: boolean | undefined;
  readonly init?: boolean | undefined;
  readonly capabilityAdd?: readonly string[] | undefined;
  readonly capabilityDrop?: readonly string[] | undefined;
  /** Never above this process's own hard limits: a higher value is cut to them, since it could not be set. */
  readonly ulimits?: readonly Ulimit[] | undefined;
  readonly sysctls?: Readonly<Record<string, string>> | undefined;
  readonly oomScoreAdj?: number | undefined;
  readonly privileged?: boolean | undefined;
  readonly noNewPrivileges?: boolean | undefined;
  readonly seccompUnconfined?: boolean | undefined;
  readonly limits?: ResourceLimits | undefined;
  readonly logDriver?: LogDriver | undefined;
  /** Kept with the container; skep, not Podman's systemd timers, runs it. */
  readonly healthcheck?: Healthcheck | undefined;
  /** The network namespace to join; "none" gives an empty one of its own, "host" the node's. */
  readonly netns: { readonly nsmode: "path"; readonly value: string } | { readonly nsmode: "none" | "host" };
  /** "host", "private" or a path; default private. */
  readonly pidMode?: "host" | "private" | undefined;
  /** Lines of "name:address" for an /etc/hosts that Podman writes; not needed when `files` brings /etc/hosts. */
  readonly hosts?: readonly string[] | undefined;
}

export type ContainerMount = BindMount | VolumeMount | TmpfsMount;

export interface BindMount {
  readonly type: "bind";
  readonly source: string;
  readonly target: string;
  readonly readOnly?: boolean | undefined;
  readonly propagation?: "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" | undefined;
  readonly nonRecursive?: boolean | undefined;
  /** Makes the source directory when it is missing. Without it a missing source refuses the container, in Docker's words. */
  readonly createMountpoint?: boolean | undefined;
}

export interface VolumeMount {
  readonly type: "volume";
  /** Absent: an anonymous volume. A named one is made when missing. */
  readonly source?: string | undefined;
  readonly target: string;
  readonly readOnly?: boolean | undefined;
  readonly noCopy?: boolean | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly driver?: { readonly name?: string; readonly options?: Readonly<Record<string, string>> } | undefined;
  readonly subpath?: string | undefined;
}

export interface TmpfsMount {
  readonly type: "tmpfs";
  readonly target: string;
  readonly readOnly?: boolean | undefined;
  readonly sizeBytes?: number | undefined;
  /** Permission bits, 0o1777 by default. */
  readonly mode?: number | undefined;
}

export interface FileBind {
  readonly source: string;
  readonly target: string;
  readonly readOnly?: boolean | undefined;
}

export interface Ulimit {
  /** "nofile", "nproc"… */
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

export interface ResourceLimits {
  /** Thousand-millionths of a CPU. */
  readonly nanoCpus?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly memoryReservationBytes?: number | undefined;
  /** Memory and swap together; -1 is unlimited swap. */
  readonly memorySwapBytes?: number | undefined;
  readonly memorySwappiness?: number | undefined;
  readonly pids?: number | undefined;
}

export interface LogDriver {
  /** "json-file" and "local" are kept in Podman's k8s-file format; "none" keeps nothing; "journald" as it is. */
  readonly name: string;
  readonly options?: Readonly<Record<string, string>> | undefined;
}

export interface Healthcheck {
  /** As in an image: ["CMD", …], ["CMD-SHELL", "…"], ["NONE"]. */
  readonly test?: readonly string[] | undefined;
  readonly intervalMs?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly startPeriodMs?: number | undefined;
  readonly retries?: number | undefined;
}
