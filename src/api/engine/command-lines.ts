// The command of a container as `docker ps` shows it: entrypoint and command, as the process was started. Podman's lists tell the command
// alone, which is nothing at all for most images with an entrypoint. It never changes, so each container is asked once.
import { processArgs, rawInspect } from "./container-inspect.ts";
import type { EngineContext } from "./context.ts";
import { object, text } from "./json.ts";

export class CommandLines {
  readonly #ctx: Pick<EngineContext, "upstream">;
  #known = new Map<string, string>();

  constructor(ctx: Pick<EngineContext, "upstream">) {
    this.#ctx = ctx;
  }

  /** Of these containers; of one that goes meanwhile there is none. What `all` does not name any more is forgotten. */
  async of(ids: readonly string[], all: ReadonlySet<string>): Promise<ReadonlyMap<string, string>> {
    const missing = ids.filter((id) => !this.#known.has(id));
    const lines = await Promise.all(missing.map((id) => this.#ask(id).catch(() => undefined))); // it went meanwhile
    for (const [i, id] of missing.entries()) if (lines[i] !== undefined) this.#known.set(id, lines[i]);
    if (this.#known.size > 2 * all.size) this.#known = new Map([...this.#known].filter(([id]) => all.has(id)));
    return this.#known;
  }

  async #ask(id: string): Promise<string> {
    const raw = object(await rawInspect(this.#ctx, id));
    return commandLine([text(raw.Path), ...processArgs(raw)]);
  }
}

/** moby: daemon/list.go, where arguments with a space are quoted. */
function commandLine([path = "", ...args]: readonly string[]): string {
  return [path, ...args.map((a) => (a.includes(" ") ? `'${a}'` : a))].join(" ");
}
