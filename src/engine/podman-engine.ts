// The container engine port on Podman's REST service: the containers. Images are podman-images.ts, deaths exit-watch.ts, the service's life
// podman-service.ts, and podman-follow.ts keeps these together over Podman's restarts.
import { cpus } from "node:os";
import { join } from "node:path";
import { hasCode, SkepError } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import type { ContainerCreate } from "./container-spec.ts";
import { ExitWatch } from "./exit-watch.ts";
import { Gate } from "./gate.ts";
import { PodmanClient } from "./http-client.ts";
import type { Ceilings } from "./limits.ts";
import { endOrphans, settle } from "./orphans.ts";
import { count, list, object, readContainer, readEvent, readListed, text } from "./podman-answers.ts";
import { type PodmanStorage, tmpDirOf } from "./podman-config.ts";
import { podmanError, startError } from "./podman-error.ts";
import { PodmanFollow } from "./podman-follow.ts";
import { noSuchImage, PodmanImages } from "./podman-images.ts";
import { readInfo } from "./podman-info.ts";
import { PodmanService } from "./podman-service.ts";
import type {
  ContainerEngine,
  ContainerExit,
  ContainerState,
  ContainerSummary,
  EngineEvent,
  EngineInfo,
  ImageInfo,
  ImportOptions,
  PullOptions,
  RemoveOptions,
  StopOptions,
} from "./port.ts";
import { signalNumber, toSpecGenerator } from "./spec-generator.ts";
import { stopProcess } from "./stop-container.ts";
import { prepareMounts } from "./volumes.ts";

export interface PodmanEngineOptions {
  readonly socketPath: string;
  readonly log: Log;
  /** Run our own service: its state directory and storage. Absent: use the service that somebody else runs on the socket. */
  readonly own?: { readonly stateDir: string; readonly storage: PodmanStorage };
}

/** Podman as skep's container engine. Nothing runs before `start`, which keeps the process alive until `close`. */
export class PodmanEngine implements ContainerEngine {
  readonly socketPath: string;
  readonly #client: PodmanClient;
  readonly #service: PodmanService;
  readonly #images: PodmanImages;
  readonly #exits: ExitWatch;
  readonly #follow: PodmanFollow;
  readonly #starts = new Gate(Math.min(16, Math.max(4, 2 * cpus().length)));
  readonly #knownExitDir: string | undefined;
  #rawInfo: Promise<unknown> | undefined;

  constructor(options: PodmanEngineOptions) {
    const { log, own, socketPath } = options;
    this.socketPath = socketPath;
    this.#client = new PodmanClient(socketPath, () => this.#service.recover());
    this.#service = new PodmanService({
      client: this.#client,
      log,
      ...(own && { own, tidy: async (pid: number) => this.#tidy(pid, log) }),
    });
    this.#images = new PodmanImages(this.#client);
    this.#exits = new ExitWatch(log, () => this.#follow.catchUp());
    const tmpdir = own && tmpDirOf(own.storage);
    this.#knownExitDir = tmpdir && join(tmpdir, "exits");
    this.#follow = new PodmanFollow({
      log,
      service: this.#service,
      exits: this.#exits,
      socketPath,
      exitDir: this.#knownExitDir,
      list: () => this.#list({}),
      inspect: (id) => this.#inspect(id),
      events: (signal) => this.#events(signal, undefined),
      reconnected: () => {
        this.#rawInfo = undefined;
      },
    });
  }

  /** Resolves when Podman answers and exits are watched; subscribe with `onExit` before, to hear of deaths while we were away. */
  start(): Promise<void> {
    return this.#follow.start();
  }

  /** Lets go of Podman, which runs on. Safe to call twice. */
  async close(): Promise<void> {
    this.#service.close();
    await this.#follow.close();
    this.#exits.close();
    this.#client.close();
  }

  /** `close`, and also ends the Podman service if it is ours. Containers run on. */
  async stopService(): Promise<void> {
    const exitDir = this.#exits.dir ?? this.#knownExitDir;
    await this.close();
    await this.#service.stop(() => (exitDir === undefined ? Promise.resolve() : settle(exitDir)));
  }

  /** The resource limits that Podman's service can give; `undefined` when it may give any. Known after `start`. */
  get ceilings(): Ceilings {
    return this.#follow.ceilings;
  }

  ping(): Promise<void> {
    return this.#service.ping();
  }

  async info(): Promise<EngineInfo> {
    // Podman asks dpkg who owns its programs for each of these answers (150 ms), and they change only with Podman itself.
    this.#rawInfo ??= this.#client.json("GET", "/libpod/info").catch((e: unknown) => {
      this.#rawInfo = undefined;
      throw e;
    });
    const [raw, containers, images] = await Promise.all([this.#rawInfo, this.#list({}), this.#images.count()]);
    return readInfo(raw, containers, images);
  }

  imageExists(ref: string): Promise<ImageInfo | undefined> {
    return this.#images.find(ref);
  }

  pullImage(ref: string, options: PullOptions = {}): Promise<ImageInfo> {
    return this.#images.pull(ref, options);
  }

  tagImage(ref: string, name: string): Promise<void> {
    return this.#images.tag(ref, name);
  }

  importImage(tar: NodeJS.ReadableStream, options: ImportOptions): Promise<ImageInfo> {
    return this.#images.import(tar, options);
  }

  async createContainer(spec: ContainerCreate): Promise<{ id: string; warnings: string[] }> {
    const mounts = await prepareMounts(this.#client, spec.mounts ?? []);
    const json = toSpecGenerator({ ...spec, mounts }, this.#follow.ceilings);
    const create = () => this.#client.ask("POST", "/libpod/containers/create", { json });
    return this.#starts.run(async () => {
      let answer = await create().catch(async (e: unknown) => {
        if (!hasCode(e, "unavailable")) throw e;
        // Podman died over it. What it made of it by then, whole or half, is not in use: this name is asked for only now.
        await this.#service.recover();
        await this.removeContainer(spec.name, { force: true });
        return create();
      });
      if (answer.status === 404 || /image not known/.test(answer.body)) {
        // The image may be there under a name that only we know how to look up.
        if ((await this.imageExists(spec.image)) === undefined) throw noSuchImage(spec.image);
        answer = await create();
      }
      if (answer.status >= 300) {
        throw podmanError(`cannot create container ${spec.name}`, answer.status, answer.body);
      }
      const made = object(JSON.parse(answer.body));
      return { id: text(made.Id), warnings: list(made.Warnings).map(text) };
    });
  }

  async startContainer(id: string): Promise<{ pid: number }> {
    return this.#starts.run(async () => {
      this.#exits.started(id, new Date());
      const start = () => this.#client.ask("POST", `/libpod/containers/${id}/start`);
      let lost: unknown;
      const answer = await start().catch(async (e: unknown) => {
        if (!hasCode(e, "unavailable")) throw e;
        lost = e;
        await this.#service.recover(); // Podman died over it; running by now or not, asking again is right
        return start();
      });
      if (answer.status >= 300 && answer.status !== 304) {
        // Started by the runtime for a service that died before it could write that down: Podman never learns of it, only removes it.
        if (lost !== undefined)
          throw new SkepError("unavailable", `podman died while it started container ${id}`, { id }, lost);
        throw startError(id, answer.status, answer.body);
      }
      const raw = object(await this.#inspect(id));
      await this.#follow.learnExitDir(raw);
      return { pid: readContainer(raw).pid };
    });
  }

  async stopContainer(id: string, options: StopOptions): Promise<void> {
    const raw = await this.#inspect(id);
    if (raw === undefined) return;
    const stopSignal = count(object(object(raw).Config).StopSignal) || signalNumber("SIGTERM");
    await stopProcess(this, readContainer(raw), { ...options, stopSignal });
  }

  async killContainer(id: string, signal: string): Promise<void> {
    await this.#client.json("POST", `/libpod/containers/${id}/kill`, { query: { signal: signalNumber(signal) } });
  }

  /** Ends a pause; not paused, or no such container, is success. */
  async resumeContainer(id: string): Promise<void> {
    const answer = await this.#client.ask("POST", `/libpod/containers/${id}/unpause`);
    if (answer.status >= 300 && answer.status !== 404 && answer.status !== 409 && !/is not paused/.test(answer.body)) {
      throw podmanError(`cannot resume container ${id}`, answer.status, answer.body);
    }
  }

  async removeContainer(id: string, options: RemoveOptions = {}): Promise<void> {
    const query = {
      force: options.force ?? false,
      v: options.volumes ?? false,
      timeout: options.force ? 0 : undefined,
    };
    const answer = await this.#client.ask("DELETE", `/libpod/containers/${id}`, { query });
    if (answer.status >= 300 && answer.status !== 404) {
      throw podmanError(`cannot remove container ${id}`, answer.status, answer.body);
    }
    this.#exits.forget(id);
  }

  async inspectContainer(id: string): Promise<ContainerState | undefined> {
    const raw = await this.#inspect(id);
    return raw === undefined ? undefined : readContainer(raw);
  }

  listContainers(filter: { label: string }): Promise<ContainerSummary[]> {
    return this.#list({ label: [filter.label] });
  }

  onExit(listener: (exit: ContainerExit) => void): () => void {
    return this.#exits.onExit(listener);
  }

  async *events(signal: AbortSignal, since?: Date): AsyncGenerator<EngineEvent, void, void> {
    let from = since;
    while (!signal.aborted) {
      try {
        for await (const event of this.#events(signal, from)) {
          if (from !== undefined && event.at <= from) continue; // Podman's `since` is in whole seconds
          from = event.at;
          yield event;
        }
      } catch (e) {
        if (signal.aborted) return;
        if (!hasCode(e, "unavailable")) throw e;
      }
      if (signal.aborted) return;
      await this.#service.ensure();
    }
  }

  async #tidy(servicePid: number, log: Log): Promise<void> {
    const exitDir = this.#exits.dir ?? this.#knownExitDir;
    if (exitDir === undefined) return;
    const answer = await this.#client.ask("GET", "/libpod/containers/json", { query: { all: true }, once: true });
    if (answer.status >= 300) throw podmanError("cannot list containers", answer.status, answer.body);
    const containers = list(JSON.parse(answer.body)).map(readListed);
    await endOrphans(exitDir, servicePid, containers, log);
  }

  async #inspect(id: string): Promise<unknown> {
    const answer = await this.#client.ask("GET", `/libpod/containers/${encodeURIComponent(id)}/json`);
    if (answer.status === 404) return undefined;
    if (answer.status >= 300) throw podmanError(`cannot inspect container ${id}`, answer.status, answer.body);
    return JSON.parse(answer.body);
  }

  async #list(filters: Record<string, string[]>): Promise<ContainerSummary[]> {
    const query = { all: true, filters: JSON.stringify(filters) };
    return list(await this.#client.json("GET", "/libpod/containers/json", { query })).map(readListed);
  }

  async *#events(signal: AbortSignal, since: Date | undefined): AsyncGenerator<EngineEvent, void, void> {
    const query = { stream: true, since: since && Math.floor(since.getTime() / 1000) };
    for await (const line of this.#client.lines("GET", "/libpod/events", { query, signal })) yield readEvent(line);
  }
}
