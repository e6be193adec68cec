// Image presence for tasks: one pull at a time for each name, however many tasks wait for it.
import type { ContainerEngine } from "../engine/index.ts";
import { hasCode, SkepError } from "../model/errors.ts";

export class Images {
  readonly #engine: Pick<ContainerEngine, "imageExists" | "pullImage">;
  readonly #pulls = new Map<string, Promise<void>>();

  constructor(engine: Pick<ContainerEngine, "imageExists" | "pullImage">) {
    this.#engine = engine;
  }

  /**
   * Resolves when the image is in local storage. An image that is there already is not pulled again: where a registry can be reached the
   * docker CLI pins the digest into the spec, so a changed image is another name.
   * @throws SkepError "not_found" with Docker's "No such image: …" when it is neither here nor in a registry, or no registry can be reached
   */
  async ensure(ref: string, authHeader: string | undefined): Promise<void> {
    if (await this.#engine.imageExists(ref)) return;
    const key = `${ref}\n${authHeader ?? ""}`;
    let pull = this.#pulls.get(key);
    if (!pull) {
      pull = this.#pull(ref, authHeader).finally(() => this.#pulls.delete(key));
      this.#pulls.set(key, pull);
    }
    await pull;
  }

  async #pull(ref: string, authHeader: string | undefined): Promise<void> {
    try {
      await this.#engine.pullImage(ref, { authHeader });
    } catch (e) {
      // The engine itself being away is another matter than a registry that is: ask it once more, and let its own error tell.
      if (hasCode(e, "unavailable") && (await this.#engine.imageExists(ref))) return;
      throw new SkepError("not_found", `No such image: ${ref}`, { image: ref }, e);
    }
  }
}
