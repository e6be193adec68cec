// /var/run/docker/netns, where people who know Swarm look for namespaces: a link there for each of ours, as long as no Docker lives in that
// directory. It is links in a directory, not one link to our directory: a dockerd that is started later must not make its namespaces among
// ours, nor find its way to them. As soon as one moves in the links go, and so they do when nobody is left to watch (stop, purge).
import {
  type FSWatcher,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  watch,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import type { NetnsView } from "./namespaces.ts";

const DOCKER_RUN = "/var/run/docker";
const NETNS = "netns";

export class DockerNetnsView implements NetnsView {
  readonly #dir: string;
  readonly #dockerRun: string;
  readonly #log: Log;
  #watcher: FSWatcher | undefined;

  /** @param needs.dir where our namespaces are; @param needs.dockerRun for tests */
  constructor(needs: { readonly dir: string; readonly log: Log; readonly dockerRun?: string }) {
    this.#dir = needs.dir;
    this.#dockerRun = needs.dockerRun ?? DOCKER_RUN;
    this.#log = needs.log;
  }

  /** Shows these, and from now on what is added, unless a Docker is or was there. Links of an earlier daemon go. */
  start(paths: readonly string[]): void {
    this.#clear();
    if (this.#isTaken()) return;
    mkdirSync(this.#netns, { recursive: true, mode: 0o755 });
    try {
      this.#watcher = watch(this.#dockerRun, { persistent: false, recursive: false }, () => this.#look());
    } catch (e) {
      this.#log.warn(
        { "error.message": messageOf(e) },
        "cannot watch Docker's directory: namespaces are not shown in it",
      );
      this.#clear();
      return;
    }
    for (const path of paths) this.add(path);
  }

  add(path: string): void {
    if (this.#watcher === undefined || !this.#look()) return;
    try {
      symlinkSync(path, this.#linkOf(path));
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "EEXIST") throw e; // ours already, or else the next look finds it
    }
  }

  remove(path: string): void {
    if (this.#watcher !== undefined) this.#unlink(this.#linkOf(path));
  }

  /** Takes the links away again, and the directories if that leaves them empty. May be repeated. */
  stop(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#clear();
  }

  get #netns(): string {
    return join(this.#dockerRun, NETNS);
  }

  #linkOf(path: string): string {
    return join(this.#netns, basename(path));
  }

  /** Whether the directory is still ours; if not, it is left to its owner. */
  #look(): boolean {
    if (this.#watcher === undefined) return false;
    if (!this.#isTaken() && list(this.#dockerRun).includes(NETNS)) return true;
    this.stop();
    this.#log.info(
      { "docker.dir": this.#dockerRun },
      "a Docker uses the directory: namespaces are no longer shown in it",
    );
    return false;
  }

  /** Whether anything is there that we did not put there. */
  #isTaken(): boolean {
    if (list(this.#dockerRun).some((name) => name !== NETNS)) return true;
    return list(this.#netns).some((name) => !this.#isOurs(join(this.#netns, name)));
  }

  #isOurs(link: string): boolean {
    try {
      return lstatSync(link).isSymbolicLink() && dirname(readlinkSync(link)) === this.#dir;
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return true; // gone between two looks: nobody's
      throw e;
    }
  }

  #unlink(link: string): void {
    try {
      if (this.#isOurs(link)) unlinkSync(link);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
    }
  }

  #clear(): void {
    const links = list(this.#netns).map((name) => join(this.#netns, name));
    const ours = links.filter((link) => this.#isOurs(link));
    for (const link of ours) this.#unlink(link);
    if (this.#isTaken()) return;
    for (const dir of [this.#netns, this.#dockerRun]) {
      try {
        rmdirSync(dir);
      } catch (e) {
        if (!["ENOENT", "ENOTEMPTY"].includes((e as NodeJS.ErrnoException).code ?? "")) throw e;
      }
    }
  }
}

/** A missing directory is empty. */
function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw e;
  }
}
