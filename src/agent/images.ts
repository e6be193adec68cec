// Image presence for tasks: one pull at a time for each name, however many tasks wait for it.
import type { ContainerEngine } from "../engine/index.ts";
import { hasCode, SkepError } from "../model/errors.ts";

interface Pull {
  readonly done: Promise<void>;
  readonly abort: AbortController;
  waiting: number;
}

export class Images {
  readonly #engine: Pick<ContainerEngine, "imageExists" | "pullImage">;
  readonly #pulls = new Map<string, Pull>();

  constructor(engine: Pick<ContainerEngine, "imageExists" | "pullImage">) {
    this.#engine = engine;
  }

  /**
   * Resolves when the image is in local storage, or when `signal` aborts: a pull that nobody waits for any more is given up. An image that is
   * there already is not pulled again: where a registry can be reached the docker CLI pins the digest into the spec, so a changed image is
   * another name.
   * @throws SkepError "not_found" with Docker's "No such image: …" when it is neither here nor in a registry, or no registry can be reached
   */
  async ensure(ref: string, authHeader: string | undefined, signal: AbortSignal): Promise<void> {
    if (await this.#engine.imageExists(ref)) return;
    const key = `${ref}\n${authHeader ?? ""}`;
    const pull = this.#pulls.get(key) ?? this.#start(key, ref, authHeader);
    pull.waiting++;
    try {
      await Promise.race([pull.done, aborted(signal)]);
    } finally {
      if (--pull.waiting === 0) {
        this.#forget(key, pull); // who comes now needs a pull that goes on
        pull.abort.abort();
      }
    }
  }

  #start(key: string, ref: string, authHeader: string | undefined): Pull {
    const abort = new AbortController();
    const done = this.#pull(ref, authHeader, abort.signal);
    const pull = { done, abort, waiting: 0 };
    // Whoever waits hears of a failure; after the last has gone nobody need.
    done.catch(() => undefined).finally(() => this.#forget(key, pull));
    this.#pulls.set(key, pull);
    return pull;
  }

  #forget(key: string, pull: Pull): void {
    if (this.#pulls.get(key) === pull) this.#pulls.delete(key);
  }

  async #pull(ref: string, authHeader: string | undefined, signal: AbortSignal): Promise<void> {
    try {
      await this.#engine.pullImage(ref, { authHeader, signal });
    } catch (e) {
      // The engine itself being away is another matter than a registry that is: ask it once more, and let its own error tell.
      if (hasCode(e, "unavailable") && (await this.#engine.imageExists(ref))) return;
      throw new SkepError("not_found", `No such image: ${ref}`, { image: ref }, e);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
