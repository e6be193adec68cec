// Deaths of containers, as early as they can be known: conmon writes a file named after the container into its exit directory the moment the
// process ends, some 100 ms before Podman's own event, and also while Podman's service is down. What inotify may miss (the directory not yet
// known, this process not running) is found by comparing with Podman's list: resync().
import { type FSWatcher, watch } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import type { ContainerExit, ContainerSummary } from "./port.ts";

/** Podman's list tells times in whole seconds, and its died event comes after the exit file: so far apart they are still one death. */
const SAME_DEATH_MS = 30_000;
const CONTAINER_ID = /^[0-9a-f]{64}$/;

/** inotify queues 16384 events and then drops them, which Node does not tell: a burst this long means looking for oneself. */
const BURST = 4_096;
const MAX_REMEMBERED = 10_000;

/** The exit status that Docker reports when the real one is lost. */
export const LOST_EXIT_CODE = 255;

export class ExitWatch {
  readonly #log: Log;
  readonly #listeners = new Set<(exit: ContainerExit) => void>();
  readonly #reported = new Map<string, number>(); // id → time of death, until it starts again or is removed
  readonly #lost: () => void;
  #burst = 0;
  #closed = false;
  #watcher: FSWatcher | undefined;
  #dir: string | undefined;

  /** @param lost called when deaths may have been missed: time for a `resync` */
  constructor(log: Log, lost: () => void) {
    this.#log = log;
    this.#lost = lost;
  }

  /** The directory being watched. */
  get dir(): string | undefined {
    return this.#watcher === undefined ? undefined : this.#dir;
  }

  onExit(listener: (exit: ContainerExit) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Watches `dir` from now on. Deaths before that are for `resync`. Watching it already is fine. */
  async arm(dir: string): Promise<void> {
    if (this.dir === dir || this.#closed) return;
    this.#disarm();
    await mkdir(dir, { recursive: true, mode: 0o751 }); // Podman would make it just so
    if (this.#closed) return;
    const watcher = watch(dir);
    watcher.on("change", (_event, name) => {
      this.#countBurst();
      if (typeof name === "string" && CONTAINER_ID.test(name)) this.#read(join(dir, name), name);
    });
    watcher.on("error", (e) => {
      this.#log.warn({ dir, error: messageOf(e) }, "cannot watch for container exits; relying on podman's events");
      this.#disarm();
      this.#lost();
    });
    this.#dir = dir;
    this.#watcher = watcher;
  }

  /** A container started at `at`: a death after that is news. Word of a start may come later than word of the death after it. */
  started(id: string, at: Date): void {
    const known = this.#reported.get(id);
    if (known !== undefined && known < at.getTime()) this.#reported.delete(id);
  }

  /** A container is gone for good. */
  forget(id: string): void {
    this.#reported.delete(id);
  }

  /** Tells the listeners, unless this very death was told before. */
  report(exit: ContainerExit): void {
    const known = this.#reported.get(exit.id);
    if (known !== undefined && exit.at.getTime() - known < SAME_DEATH_MS) return;
    this.#tell(exit);
  }

  /** Reports those that are dead and were not reported, and forgets those that no longer exist. */
  resync(all: readonly ContainerSummary[]): void {
    const ids = new Set(all.map((c) => c.id));
    for (const id of this.#reported.keys()) if (!ids.has(id)) this.#reported.delete(id);
    for (const c of all) {
      if (c.state !== "exited" && c.state !== "stopped") continue;
      this.report({
        id: c.id,
        exitCode: c.exitCode < 0 ? LOST_EXIT_CODE : c.exitCode,
        at: c.finishedAt ?? new Date(),
      });
    }
  }

  close(): void {
    this.#closed = true;
    this.#disarm();
    this.#listeners.clear();
  }

  #countBurst(): void {
    if (this.#burst++ === 0) {
      setImmediate(() => {
        if (this.#burst > BURST) this.#lost();
        this.#burst = 0;
      });
    }
  }

  #disarm(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #read(path: string, id: string): void {
    Promise.all([readFile(path, "utf8"), stat(path)]).then(
      ([code, { mtimeMs }]) => {
        // A container that was started again dies again in the same file: only the time tells the two apart.
        if (this.#reported.get(id) === mtimeMs) return;
        this.#tell({ id, exitCode: Number.parseInt(code, 10) || 0, at: new Date(mtimeMs) }, mtimeMs);
      },
      (e: NodeJS.ErrnoException) => {
        // ENOENT: this was the removal of the file, along with its container.
        if (e.code !== "ENOENT") this.#log.warn({ path, error: e.message }, "cannot read a container's exit code");
      },
    );
  }

  #tell(exit: ContainerExit, at = exit.at.getTime()): void {
    this.#reported.delete(exit.id); // so that the map stays in the order of deaths
    this.#reported.set(exit.id, at);
    if (this.#reported.size > MAX_REMEMBERED) {
      for (const oldest of this.#reported.keys()) {
        this.#reported.delete(oldest);
        break;
      }
    }
    for (const listener of this.#listeners) {
      try {
        listener(exit);
      } catch (e) {
        this.#log.warn({ id: exit.id, error: messageOf(e) }, "an exit listener threw");
      }
    }
  }
}
