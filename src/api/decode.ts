// JSON values against type descriptions, as Go's encoding/json does it into moby's types: names match whatever their case, unknown ones are
// ignored, null is nothing, a wrong type is an error in Go's words. What comes out has the fields in the order of the description and no
// field that holds only a zero value (moby's `omitempty`), so that a stored spec is given back as dockerd gives it. Descriptions of the
// API's types are in shapes-*.ts, JSON text is json-text.ts'.
import { invalid } from "./errors.ts";

/** Where in the document a value stands: the innermost struct's name, and the path of fields to it from the root. */
interface At {
  readonly struct: string;
  readonly field: string;
}

/** Turns one JSON value into a typed one; `undefined` stands for Go's zero value. */
export interface Decoder<T> {
  /** Go's name of the type, for error texts: "[]string", "swarm.TaskSpec". */
  readonly type: string;
  decode(value: unknown, at: At | undefined): T | undefined;
}

/** A field that is there even when it was not sent, as those without `omitempty` in moby are. */
export interface Always<T> {
  readonly decoder: Decoder<T>;
  readonly zero: T;
}

type Field = Decoder<unknown> | Always<unknown>;

/** Largest integer that a JSON number holds exactly here. Nanoseconds stay below it for 104 days, bytes for 8 PiB. */
const MAX_EXACT = Number.MAX_SAFE_INTEGER;

export function always<T>(decoder: Decoder<T>, zero: T): Always<T> {
  return { decoder, zero };
}

/** The decoded document. A missing body (`undefined`) is an empty struct, as it is to dockerd. @throws SkepError "invalid" */
export function decode<T>(decoder: Decoder<T>, value: unknown): T {
  return decoder.decode(value ?? {}, undefined) as T;
}

export function str(type = "string"): Decoder<string> {
  return {
    type,
    decode(value, at) {
      if (value === null) return undefined;
      if (typeof value !== "string") throw wrongType(value, type, at);
      return value === "" ? undefined : value;
    },
  };
}

export const bool: Decoder<boolean> = {
  type: "bool",
  decode(value, at) {
    if (value === null) return undefined;
    if (typeof value !== "boolean") throw wrongType(value, "bool", at);
    return value ? true : undefined;
  },
};

/** An integer within bounds; Go refuses fractions, and numbers that the type cannot hold. */
export function int(type: string, min: number, max: number): Decoder<number> {
  return {
    type,
    decode(value, at) {
      if (value === null) return undefined;
      if (typeof value !== "number") throw wrongType(value, type, at);
      if (!Number.isInteger(value) || value < min || value > max) throw wrongType(value, type, at, `number ${value}`);
      return value === 0 ? undefined : value;
    },
  };
}

export const int64 = int("int64", -MAX_EXACT, MAX_EXACT);
export const uint64 = int("uint64", 0, MAX_EXACT);
export const uint32 = int("uint32", 0, 0xffffffff);
export const duration = int("time.Duration", -MAX_EXACT, MAX_EXACT);

export const float: Decoder<number> = {
  type: "float32",
  decode(value, at) {
    if (value === null) return undefined;
    if (typeof value !== "number") throw wrongType(value, "float32", at);
    return value === 0 ? undefined : value;
  },
};

/** A pointer in Go: a zero that was sent is kept, since it differs from nothing. */
export function kept<T>(decoder: Decoder<T>, zero: T): Decoder<T> {
  return {
    type: decoder.type,
    decode: (value, at) => (value === null ? undefined : (decoder.decode(value, at) ?? zero)),
  };
}

/** A list; null members become the member's zero value when there is one, and are dropped otherwise. */
export function list<T>(member: Decoder<T>, zero?: T): Decoder<readonly T[]> {
  const type = `[]${member.type}`;
  return {
    type,
    decode(value, at) {
      if (value === null) return undefined;
      if (!Array.isArray(value)) throw wrongType(value, type, at);
      const decoded = value.map((v) => member.decode(v, at) ?? zero).filter((v) => v !== undefined);
      return decoded.length === 0 ? undefined : decoded;
    },
  };
}

/** An object with any keys. */
export function map<T>(member: Decoder<T>, zero: T): Decoder<Readonly<Record<string, T>>> {
  const type = `map[string]${member.type}`;
  return {
    type,
    decode(value, at) {
      if (value === null) return undefined;
      if (!isObject(value)) throw wrongType(value, type, at);
      const entries = Object.entries(value).map(([key, v]) => [key, member.decode(v, at) ?? zero] as const);
      return entries.length === 0 ? undefined : Object.fromEntries(entries);
    },
  };
}

export const strings = list(str(), "");
export const stringMap = map(str(), "");

/** Bytes, which are base64 in JSON. Stays base64 here, in its one canonical form. */
export const bytes: Decoder<string> = {
  type: "[]uint8",
  decode(value, at) {
    if (value === null) return undefined;
    if (typeof value !== "string") throw wrongType(value, "[]uint8", at);
    const stripped = value.replace(/[\r\n]/g, "");
    const canonical = Buffer.from(stripped, "base64").toString("base64");
    if (canonical !== stripped) {
      const good = /^[A-Za-z0-9+/]*/.exec(stripped)?.[0].length ?? 0;
      throw invalid(`invalid JSON: illegal base64 data at input byte ${good - (good % 4)}`);
    }
    return canonical === "" ? undefined : canonical;
  },
};

/** Any object, kept as it is. For parts that skep passes on or refuses as a whole. */
export function anyObject(type: string): Decoder<object> {
  return {
    type,
    decode(value, at) {
      if (value === null) return undefined;
      if (!isObject(value)) throw wrongType(value, type, at);
      return value;
    },
  };
}

/** An object with known fields. `type` is Go's name with its package: "swarm.TaskSpec". */
export function struct<T>(type: string, fields: Readonly<Record<keyof T, Field>>): Decoder<T> {
  const name = type.slice(type.lastIndexOf(".") + 1);
  const known = Object.entries(fields) as [string, Field][];
  const byLowerCase = new Map(known.map(([field]) => [field.toLowerCase(), field]));
  return {
    type,
    decode(value, at) {
      if (value === null) return undefined;
      if (!isObject(value)) throw wrongType(value, type, at);
      const sent = new Map<string, unknown>();
      for (const [key, v] of Object.entries(value)) {
        const field = byLowerCase.get(key.toLowerCase());
        if (field !== undefined) sent.set(field, v);
      }
      const out: Record<string, unknown> = {};
      for (const [field, how] of known) {
        const decoder = "decoder" in how ? how.decoder : how;
        const inner = { struct: name, field: at === undefined ? field : `${at.field}.${field}` };
        const decoded = sent.has(field) ? decoder.decode(sent.get(field), inner) : undefined;
        if (decoded !== undefined) out[field] = decoded;
        else if ("decoder" in how) out[field] = how.zero;
      }
      return out as T;
    },
  };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrongType(value: unknown, type: string, at: At | undefined, kind = kindOf(value)) {
  const into =
    at === undefined ? `Go value of type ${type}` : `Go struct field ${at.struct}.${at.field} of type ${type}`;
  return invalid(`invalid JSON: json: cannot unmarshal ${kind} into ${into}`);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "array";
  return typeof value === "boolean" ? "bool" : typeof value;
}
