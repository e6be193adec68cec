// Reading JSON of unknown shape: each function gives the wanted type or its empty value. For answers of the engine, which writes null for
// what is empty; requests of clients are checked by ../decode.ts.

export type Json = Readonly<Record<string, unknown>>;

export function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function count(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

export function strings(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(object(value)).map(([k, v]) => [k, text(v)]));
}

/** A copy without these keys. */
export function without(value: Json, ...keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([k]) => !keys.includes(k)));
}

/** The value, or the other when it is null, undefined or an empty list: where Docker's "nothing" differs from Podman's. */
export function emptyAs<T>(value: unknown, nothing: T): unknown {
  const empty = value === null || value === undefined || (Array.isArray(value) && value.length === 0);
  return empty ? nothing : value;
}
