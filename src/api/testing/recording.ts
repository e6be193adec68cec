// The recordings of testdata/: a request and dockerd's real answer each, with what differs from run to run written as a placeholder
// (<id25>, <time>, <n>…). Reading them, and comparing an answer with one.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const TESTDATA = join(import.meta.dirname, "../testdata");

export interface Recording {
  /** The file's name without its ending. */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** JSON text; absent when the request had none. */
  readonly body?: string;
  readonly status: number;
  readonly contentType: string;
  /** Absent when the answer was empty. */
  readonly answer?: unknown;
}

/** All recordings of requests (not those that show part of an answer only), in the order in which they were made. */
export function recordings(): Recording[] {
  const files = readdirSync(TESTDATA).filter((f) => f.endsWith(".txt"));
  return files.sort().flatMap((file) => read(file) ?? []);
}

/** The JSON of a recording that is no whole request: "05-info". */
export function recordedPart(name: string): unknown {
  const text = readFileSync(join(TESTDATA, `${name}.txt`), "utf8");
  return JSON.parse(text.slice(text.indexOf("\n") + 1));
}

function read(file: string): Recording | undefined {
  const text = readFileSync(join(TESTDATA, file), "utf8");
  const [request = "", reply] = text.split(/^--> /m);
  if (reply === undefined) return undefined;
  const [line = "", body = ""] = request.trim().split("\n");
  const [, method = "", path = "", query = ""] = /^(\S+) (\S+) ?(.*)$/.exec(line) ?? [];
  const end = reply.indexOf("\n");
  const [status = "", contentType = ""] = reply.slice(0, end).split(" ");
  const answer = reply.slice(end).trim();
  const parameters = query.trim() === "" ? {} : (JSON.parse(query) as Record<string, string | number>);
  return {
    name: file.replace(/\.txt$/, ""),
    method,
    path,
    query: Object.fromEntries(Object.entries(parameters).map(([k, v]) => [k, String(v)])),
    ...(body !== "" && { body }),
    status: Number(status),
    contentType,
    ...(answer !== "" && { answer: JSON.parse(answer) as unknown }),
  };
}

const PLACEHOLDERS: Readonly<Record<string, string>> = {
  "<id25>": "[0-9a-z]{25}",
  "<id64>": "[0-9a-f]{64}",
  "<time>": "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z",
  "<token>": "SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}",
  "<base64>": "[A-Za-z0-9+/]+=*",
  "<pem>": "-----BEGIN CERTIFICATE-----\\n[\\s\\S]*",
};

/** Where the value differs from what was recorded; empty when it does not. Every field counts, absent and empty are not the same. */
export function differences(actual: unknown, recorded: unknown, at = "answer"): string[] {
  if (recorded === "<n>") return typeof actual === "number" ? [] : [`${at}: ${JSON.stringify(actual)} is no number`];
  if (typeof recorded === "string") {
    const isLike = typeof actual === "string" && patternOf(recorded).test(actual);
    return isLike ? [] : [`${at}: ${JSON.stringify(actual)} is not like ${JSON.stringify(recorded)}`];
  }
  if (Array.isArray(recorded)) {
    if (!Array.isArray(actual) || actual.length !== recorded.length) {
      return [`${at}: ${JSON.stringify(actual)} is no list of ${recorded.length}`];
    }
    return recorded.flatMap((r, i) => differences(actual[i], r, `${at}[${i}]`));
  }
  if (isRecord(recorded)) {
    if (!isRecord(actual)) return [`${at}: ${JSON.stringify(actual)} is no object`];
    const keys = new Set([...Object.keys(recorded), ...Object.keys(actual)]);
    return [...keys].flatMap((key) => {
      if (!Object.hasOwn(actual, key)) return [`${at}.${key} is missing`];
      if (!Object.hasOwn(recorded, key)) return [`${at}.${key} should not be there: ${JSON.stringify(actual[key])}`];
      return differences(actual[key], recorded[key], `${at}.${key}`);
    });
  }
  return actual === recorded ? [] : [`${at}: ${JSON.stringify(actual)} is not ${JSON.stringify(recorded)}`];
}

function patternOf(recorded: string): RegExp {
  const parts = recorded
    .split(/(<\w+>)/)
    .map((part) => PLACEHOLDERS[part] ?? part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("")}$`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
