// The `filters` parameter of lists, and the ways in which Docker matches its values.
import { invalid } from "./errors.ts";

/** Values by filter name. */
export class Filters {
  readonly #values: ReadonlyMap<string, ReadonlySet<string>>;

  constructor(values: ReadonlyMap<string, ReadonlySet<string>>) {
    this.#values = values;
  }

  /** The values of one filter; empty when it was not given. */
  get(name: string): readonly string[] {
    return [...(this.#values.get(name) ?? [])];
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Any value equals the text, or there is none. */
  exact(name: string, text: string): boolean {
    const values = this.get(name);
    return values.length === 0 || values.includes(text);
  }

  /** Any value begins the text, or there is none. */
  prefix(name: string, text: string): boolean {
    const values = this.get(name);
    return values.length === 0 || values.some((v) => text.startsWith(v));
  }

  /**
   * Any value is found in the text; `^` and `$` at its ends anchor it. dockerd takes the value for a regular expression; a pattern of
   * a stranger's is not run here, since it could run for ever.
   */
  match(name: string, text: string): boolean {
    const values = this.get(name);
    return values.length === 0 || values.some((v) => found(v, text));
  }

  /** All "key" and "key=value" labels are there. */
  labels(name: string, labels: Readonly<Record<string, string>>): boolean {
    return this.get(name).every((wanted) => {
      const eq = wanted.indexOf("=");
      const key = eq < 0 ? wanted : wanted.slice(0, eq);
      return Object.hasOwn(labels, key) && (eq < 0 || labels[key] === wanted.slice(eq + 1));
    });
  }
}

/**
 * Reads `?filters=`: {"name":{"web":true}} or the older {"name":["web"]}.
 * @throws SkepError "invalid" when it is malformed, or names a filter that is not accepted
 */
export function filtersOf(query: URLSearchParams, accepted: readonly string[]): Filters {
  const text = query.get("filters") ?? "";
  const values = text === "" ? new Map<string, Set<string>>() : parse(text);
  for (const name of values.keys()) if (!accepted.includes(name)) throw invalid(`Invalid filter '${name}'`);
  return new Filters(values);
}

function parse(text: string): Map<string, Set<string>> {
  const filters = new Map<string, Set<string>>();
  for (const [name, values] of Object.entries(object(text))) {
    if (Array.isArray(values) && values.every((v) => typeof v === "string")) filters.set(name, new Set(values));
    else if (isSet(values)) filters.set(name, new Set(Object.keys(values)));
    else if (values !== null) throw invalid("Invalid filter");
  }
  return filters;
}

function object(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // not JSON: the same fault as JSON of another kind
  }
  throw invalid("Invalid filter");
}

function isSet(values: unknown): values is Record<string, boolean> {
  return (
    typeof values === "object" &&
    values !== null &&
    !Array.isArray(values) &&
    Object.values(values).every((v) => typeof v === "boolean")
  );
}

function found(pattern: string, text: string): boolean {
  const start = pattern.startsWith("^");
  const end = pattern.endsWith("$");
  const literal = pattern.slice(start ? 1 : 0, end ? -1 : undefined);
  if (start && end) return text === literal;
  if (start) return text.startsWith(literal);
  return end ? text.endsWith(literal) : text.includes(literal);
}
