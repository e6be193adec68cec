// The `filters` parameter of requests to the engine, on top of ../filters.ts: objects here have several names, labels that must not be
// there, and booleans. What each kind of object is compared with is in the file of that kind.
import { parseImageName, printImageName } from "../../engine/index.ts";
import { SkepError } from "../../model/errors.ts";
import { type Filters as BaseFilters, filtersOf } from "../filters.ts";

export class Filters {
  readonly #base: BaseFilters;

  constructor(base: BaseFilters) {
    this.#base = base;
  }

  /** @throws SkepError "invalid" when it is malformed, or names a field that is not accepted */
  static of(query: URLSearchParams, accepted: readonly string[]): Filters {
    return new Filters(filtersOf(query, accepted));
  }

  get(field: string): readonly string[] {
    return this.#base.get(field);
  }

  has(field: string): boolean {
    return this.get(field).length > 0;
  }

  /** Whether a value is one of those asked for, or none was. */
  exact(field: string, ...values: readonly string[]): boolean {
    return !this.has(field) || values.some((value) => this.#base.exact(field, value));
  }

  /** Whether one of those asked for is found in a value (`^` and `$` anchor it), or none was asked for. */
  match(field: string, ...values: readonly string[]): boolean {
    return !this.has(field) || values.some((value) => this.#base.match(field, value));
  }

  /** Whether a value begins with one of those asked for, or none was. */
  prefix(field: string, ...values: readonly string[]): boolean {
    return !this.has(field) || values.some((value) => this.#base.prefix(field, value));
  }

  /** Whether all labels asked for ("key" or "key=value") are there, and none of those asked against with `label!`. */
  labels(labels: Readonly<Record<string, string>>): boolean {
    if (!this.#base.labels("label", labels)) return false;
    return !this.get("label!").some((wanted) => {
      const equals = wanted.indexOf("=");
      const key = equals < 0 ? wanted : wanted.slice(0, equals);
      return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
    });
  }

  /** A field that is a boolean, `undefined` when it is not asked for. @throws SkepError "invalid" */
  boolean(field: string): boolean | undefined {
    const value = this.get(field)[0];
    if (value === undefined) return undefined;
    if (["1", "true", "True", "TRUE", "t", "T"].includes(value)) return true;
    if (["0", "false", "False", "FALSE", "f", "F"].includes(value)) return false;
    throw new SkepError("invalid", `invalid filter '${field}=[${value}]'`);
  }
}

/** Full forms of an image name to compare: with its tag, and without when none was asked for. The text itself when it is no name. */
export function imageForms(text: string): readonly string[] {
  try {
    const name = parseImageName(text);
    return [text, printImageName(name)];
  } catch {
    return [text]; // an id, or nothing that can match: compared as it is
  }
}
