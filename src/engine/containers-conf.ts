// containers.conf, as far as we need it: the host's files merged key by key, in Podman's order, with defaults of ours below the administrator's
// word. Podman 4.3 reads either its usual files or the one that CONTAINERS_CONF names, so that one must hold everything. Pure but for the reading.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Section → key → value, all as written. */
export type Conf = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** What the distribution ships, and what the administrator says (later files win): containers.conf(5). */
const SHIPPED = "/usr/share/containers/containers.conf";
const ADMINISTRATOR = "/etc/containers/containers.conf";

/** Reads a file's sections and keys; a value may go over several lines, up to its closing bracket. */
export function parseConf(text: string): Conf {
  const conf = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = withoutComment(lines[i] ?? "");
    const header = /^\s*\[([^[\]]+)\]\s*$/.exec(line)?.[1]?.trim();
    if (header !== undefined) {
      section = conf.get(header) ?? new Map();
      conf.set(header, section);
      continue;
    }
    const [, key, first] = /^\s*([\w"'.-]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (key === undefined) continue;
    let value = first ?? "";
    while (isOpen(value) && i + 1 < lines.length) value += `\n${withoutComment(lines[++i] ?? "")}`;
    section.set(key, value.trim());
  }
  return conf;
}

/** Later ones win, key by key. */
export function mergeConf(...confs: readonly Conf[]): Conf {
  const merged = new Map<string, Map<string, string>>();
  for (const conf of confs) {
    for (const [name, keys] of conf) merged.set(name, new Map([...(merged.get(name) ?? []), ...keys]));
  }
  return merged;
}

export function printConf(conf: Conf): string {
  const sections = [...conf].map(
    ([name, keys]) => `[${name}]\n${[...keys].map(([key, value]) => `${key} = ${value}\n`).join("")}`,
  );
  return sections.join("\n");
}

/** The host's configuration with `ours` between what the distribution ships and what the administrator says. */
export async function hostConf(ours: Conf): Promise<Conf> {
  const dropIns = await readdir(`${ADMINISTRATOR}.d`).catch(absent([]));
  const files = [
    ADMINISTRATOR,
    ...dropIns
      .filter((f) => f.endsWith(".conf"))
      .sort()
      .map((f) => join(`${ADMINISTRATOR}.d`, f)),
  ];
  const [shipped, ...administrator] = await Promise.all(
    [SHIPPED, ...files].map(async (file) => parseConf(await readFile(file, "utf8").catch(absent("")))),
  );
  return mergeConf(shipped ?? new Map(), ours, ...administrator);
}

function absent<T>(instead: T): (e: NodeJS.ErrnoException) => T {
  return (e) => {
    if (e.code === "ENOENT") return instead;
    throw e;
  };
}

function withoutComment(line: string): string {
  return line.replace(/^((?:[^#"']|"(?:[^"\\]|\\.)*"|'[^']*')*)#.*$/, "$1");
}

/** Whether a list goes on in the next line. */
function isOpen(value: string): boolean {
  const bare = value.replace(/"(?:[^"\\]|\\.)*"|'[^']*'/g, "");
  return (bare.match(/\[/g)?.length ?? 0) > (bare.match(/\]/g)?.length ?? 0);
}
