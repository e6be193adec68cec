// The rooms of src/ and who may import whom, as data, and the check of it over a set of source files. Pure: the files come in as text,
// so that the test can feed it violations. check-rooms.ts runs it over the repository.

import { dirname, join, normalize } from "node:path";

/**
 * The arrows of the design, user → used. `model` may be imported by every room and is not listed.
 * `daemon` is the composition root: it alone wires real drivers to the ports of others, so it may import every room below it.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  cli: ["daemon", "engine"], // engine: for demo-images, which works with no daemon running
  daemon: ["api", "manager", "agent", "store", "engine", "network", "kernel", "cluster"],
  api: ["store", "engine"],
  manager: ["store"],
  agent: ["engine", "network"],
  cluster: ["store"],
  network: ["kernel"],
  store: [],
  engine: [],
  kernel: [],
  model: [],
};

/** Files besides a room's `index.ts` that other rooms may import. `model` is a vocabulary: every file of it is public. */
const OTHER_DOORS: Readonly<Record<string, RegExp>> = {
  model: /^src\/model\//,
  daemon: /^src\/daemon\/config\.ts$/, // for `skep up` and `status`, which must not load the whole daemon
};

/** What kernel may have of model: its errors, nothing else. */
const KERNEL_MAY_IMPORT = "src/model/errors.ts";

/** Helpers that any test file may import, and that no other code may. */
const TEST_ROOM = "testing";

interface Import {
  /** Path from the repository's root. */
  readonly target: string;
  /** Whether it loads the target while the importer loads: not for types, nor for `import()`. */
  readonly runs: boolean;
}

/**
 * Every breach of the rooms' rules, one line each: `file: what is wrong`.
 *
 * @param sources text by path from the repository's root (`src/room/file.ts`)
 */
export function violationsOf(sources: ReadonlyMap<string, string>): string[] {
  const imports = new Map([...sources].map(([path, text]) => [path, importsOf(path, text)] as const));
  const breaches = [...imports].flatMap(([path, list]) =>
    list.flatMap(({ target }) => {
      const breach = breachOf(path, target);
      return breach ? [`${path}: ${breach}`] : [];
    }),
  );
  const circles = circlesOf(imports).map((circle) => `${circle[0]}: imports itself by ${circle.join(" → ")}`);
  return [...new Set([...breaches, ...circles])].sort();
}

/** What is wrong with `from` importing `target`, if anything is. */
function breachOf(from: string, target: string): string | undefined {
  const user = roomOf(from);
  const used = roomOf(target);
  if (user === undefined) return `src/ holds rooms only: put this file in one of ${Object.keys(ARROWS).join(", ")}`;
  if (used === undefined) return `imports ${target}, which is in no room`;
  if (user === used) {
    return target === `src/${used}/index.ts` && !isTest(from)
      ? `imports its own room's index.ts; import the file that has it`
      : undefined;
  }
  const forTests = isTest(from) || user === TEST_ROOM;
  if (used === TEST_ROOM) return forTests ? undefined : `imports ${target}, which is for tests only`;
  if (user === "kernel" && target !== KERNEL_MAY_IMPORT)
    return `imports ${target}; kernel may import ${KERNEL_MAY_IMPORT} and nothing else`;
  const allowed = forTests ? below(user) : [...(ARROWS[user] ?? []), "model"];
  if (user === "model" || !allowed.includes(used)) return `imports ${target}: there is no arrow ${user} → ${used}`;
  if (!forTests && !isDoor(used, target)) return `imports ${target} past its room's index.ts`;
  return undefined;
}

/** Everything that can be reached from a room by arrows: what its tests may build their world from. */
function below(room: string): string[] {
  if (room === TEST_ROOM) return Object.keys(ARROWS);
  const reached = new Set<string>(["model"]);
  const visit = (at: string): void => {
    for (const next of ARROWS[at] ?? []) {
      if (reached.has(next)) continue;
      reached.add(next);
      visit(next);
    }
  };
  visit(room);
  return [...reached];
}

function isDoor(room: string, target: string): boolean {
  return target.endsWith("/index.ts") || OTHER_DOORS[room]?.test(target) === true;
}

function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || path.includes("/testing/");
}

function roomOf(path: string): string | undefined {
  const [, room] = /^src\/([^/]+)\//.exec(path) ?? [];
  return room !== undefined && (room in ARROWS || room === TEST_ROOM) ? room : undefined;
}

// A statement's start, then no quote or semicolon until `from`: enough for code that biome has formatted.
const STATIC = /^[ \t]*(?:import|export)\b(?<what>[^"'`;]*?)\bfrom\s*["'](?<path>[^"']+)["']/gm;
const BARE = /^[ \t]*import\s*["'](?<path>[^"']+)["']/gm;
const DYNAMIC = /\bimport\(\s*["'](?<path>[^"']+)["']/gm;

function importsOf(file: string, text: string): Import[] {
  const code = text.replace(/^[ \t]*\/\/.*$/gm, "").replace(/\/\*[\s\S]*?\*\//g, "");
  const found: Import[] = [];
  const add = (path: string | undefined, runs: boolean): void => {
    if (path?.startsWith(".")) found.push({ target: normalize(join(dirname(file), path)), runs });
  };
  for (const match of code.matchAll(STATIC)) add(match.groups?.path, !/^\s*type\b/.test(match.groups?.what ?? ""));
  for (const match of code.matchAll(BARE)) add(match.groups?.path, true);
  for (const match of code.matchAll(DYNAMIC)) add(match.groups?.path, false);
  return found;
}

/** Circles of imports that run, each once, as the path round it. */
function circlesOf(imports: ReadonlyMap<string, readonly Import[]>): string[][] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      circles.push([...trail.slice(start), path]);
      return;
    }
    if (done.has(path)) return;
    for (const { target, runs } of imports.get(path) ?? []) {
      if (runs && imports.has(target)) visit(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of [...imports.keys()].sort()) visit(path, []);
  return circles;
}
