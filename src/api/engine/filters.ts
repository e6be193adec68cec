// The `filters` parameter of requests to the engine, in both of its forms ({"label":["a"]} and {"label":{"a":true}}), and the ways in which
// Docker compares with them (api/types/filters of moby). What each kind of object is compared with is in the file of that kind.

import { parseImageName, printImageName } from "../../engine/image-names.ts";
import { SkepError } from "../../model/errors.ts";

export class Filters {
  readonly #fields: ReadonlyMap<string, readonly string[]>;

  constructor(fields: ReadonlyMap<string, readonly string[]>) {
    this.#fields = fields;
  }

  /** @throws SkepError "invalid" when it is not of that form, or names a field that is not accepted */
  static of(query: URLSearchParams, accepted: readonly string[]): Filters {
    const text = query.get("filters") ?? "";
    const fields = new Map<string, readonly string[]>();
    if (text === "") return new Filters(fields);
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch (e) {
      throw new SkepError("invalid", `invalid filter: ${text}`, {}, e);
    }
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      throw new SkepError("invalid", `invalid filter: ${text}`);
    }
    for (const [field, values] of Object.entries(parsed)) {
      if (!accepted.includes(field)) throw new SkepError("invalid", `Invalid filter '${field}'`);
      fields.set(field, valuesOf(values, text));
    }
    return new Filters(fields);
  }

  get(field: string): readonly string[] {
    return this.#fields.get(field) ?? [];
  }

  has(field: string): boolean {
    return this.get(field).length > 0;
  }

  /** Whether the value is one of those asked for, or none was. */
  exact(field: string, ...values: readonly string[]): boolean {
    return !this.has(field) || this.get(field).some((wanted) => values.includes(wanted));
  }

  /** Whether one of those asked for occurs in a value, as text or as a regular expression, or none was asked for. */
  match(field: string, ...values: readonly string[]): boolean {
    return !this.has(field) || this.get(field).some((wanted) => values.some((value) => occurs(wanted, value)));
  }

  /** Whether a value begins with one of those asked for, or none was. */
  prefix(field: string, ...values: readonly string[]): boolean {
    return !this.has(field) || this.get(field).some((wanted) => values.some((value) => value.startsWith(wanted)));
  }

  /** Whether all labels asked for ("key" or "key=value") are there, and none of those asked against with `label!`. */
  labels(labels: Readonly<Record<string, string>>): boolean {
    const has = (wanted: string) => {
      const equals = wanted.indexOf("=");
      if (equals < 0) return Object.hasOwn(labels, wanted);
      const key = wanted.slice(0, equals);
      return Object.hasOwn(labels, key) && labels[key] === wanted.slice(equals + 1);
    };
    return this.get("label").every(has) && !this.get("label!").some(has);
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

function valuesOf(values: unknown, text: string): readonly string[] {
  if (Array.isArray(values) && values.every((v) => typeof v === "string")) return values;
  if (typeof values === "object" && values !== null && !Array.isArray(values)) {
    return Object.entries(values)
      .filter(([, on]) => on === true)
      .map(([value]) => value);
  }
  throw new SkepError("invalid", `invalid filter: ${text}`);
}

function occurs(wanted: string, value: string): boolean {
  if (value.includes(wanted)) return true;
  try {
    return new RegExp(wanted).test(value);
  } catch {
    return false; // not a regular expression, and not there as text
  }
}
