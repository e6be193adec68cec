// Which handler a method and path belong to. Patterns are Docker's own: `{name}` is one part of the path, `{name:.*}` any number of them
// (image names have slashes), so that `/images/{name:.*}/json` reads as in moby's source. Versions and sockets are server.ts'.
//
// find-my-way is not used here: its parameters cannot span slashes in the middle of a path.
import { invalid } from "./errors.ts";
import type { Handler, HijackHandler } from "./http.ts";

/** Adds a room's routes to the server's router. */
export type RegisterRoutes = (router: Router) => void;

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "DELETE";

export interface Found<H> {
  readonly handler: H;
  readonly params: Readonly<Record<string, string>>;
}

interface Route<H> {
  readonly regex: RegExp;
  readonly names: readonly string[];
  readonly handler: H;
}

class Table<H> {
  readonly #byMethod = new Map<string, Route<H>[]>();

  add(method: Method, pattern: string, handler: H): void {
    const routes = this.#byMethod.get(method) ?? [];
    routes.push({ ...compile(pattern), handler });
    this.#byMethod.set(method, routes);
  }

  find(method: string, path: string): Found<H> | undefined {
    for (const { regex, names, handler } of this.#byMethod.get(method) ?? []) {
      const match = regex.exec(path);
      if (match) return { handler, params: decodeParams(names, match) };
    }
    return undefined;
  }
}

export class Router {
  readonly #plain = new Table<Handler>();
  readonly #hijack = new Table<HijackHandler>();

  /** The first route that was added and matches is the one that is taken. */
  add(method: Method, pattern: string, handler: Handler): void {
    this.#plain.add(method, pattern, handler);
  }

  /** For requests with `Connection: Upgrade` only; the same path without it goes to the route of `add`. */
  addHijack(method: Method, pattern: string, handler: HijackHandler): void {
    this.#hijack.add(method, pattern, handler);
  }

  /** `path` without query and version. @throws SkepError "invalid" when a parameter is not well encoded */
  find(method: string, path: string): Found<Handler> | undefined {
    return this.#plain.find(method, path);
  }

  findHijack(method: string, path: string): Found<HijackHandler> | undefined {
    return this.#hijack.find(method, path);
  }
}

function compile(pattern: string): { regex: RegExp; names: string[] } {
  const names: string[] = [];
  const source = pattern.replace(
    /\{(\w+)(:\.\*)?\}|[.+?^$()|[\]\\]/g,
    (part, name: string | undefined, any: unknown) => {
      if (name === undefined) return `\\${part}`;
      names.push(name);
      return any === undefined ? "([^/]+)" : "(.*)";
    },
  );
  return { regex: new RegExp(`^${source}$`), names };
}

function decodeParams(names: readonly string[], match: RegExpExecArray): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [i, name] of names.entries()) {
    try {
      params[name] = decodeURIComponent(match[i + 1] ?? "");
    } catch {
      throw invalid(`invalid URL escape in ${JSON.stringify(match[i + 1])}`);
    }
  }
  return params;
}
