// Where names that are not ours are asked: the host's own resolvers, read from its resolv.conf and read again when that changes.
// forward.ts does the asking.

import { type FSWatcher, readFileSync, realpathSync, watch } from "node:fs";
import { isIP } from "node:net";
import { basename, dirname } from "node:path";
import { messageOf } from "../../model/errors.ts";

const DNS_PORT = 53;
/** Resolvers beyond these are not asked: libc's limit, and Docker's (maxExtDNS). */
export const MAX_UPSTREAMS = 3;
const SETTLE_MS = 20; // editors and resolvconf write a file in several steps

/** A resolver to ask, by IP address. With `netnsPath` it is asked from that namespace, else from the daemon's own. */
export type Upstream = { readonly address: string; readonly port: number; readonly netnsPath?: string };

/** The parts of a resolv.conf that matter to us. */
export type ResolvConf = {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
};

/** Reads the text of a resolv.conf as libc does: the last `search` (or `domain`) counts, what it does not know is passed over. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  const options: string[] = [];
  let search: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    if (keyword === "nameserver" && values[0] !== undefined) nameservers.push(values[0]);
    else if (keyword === "options") options.push(...values);
    else if (keyword === "search" || keyword === "domain") search = values;
  }
  return { nameservers, search, options };
}

/** The resolvers to ask, in order: at most three, each an IP address (an IPv6 zone is kept: the daemon asks from its own namespace). */
export function toUpstreams(nameservers: readonly string[]): Upstream[] {
  const valid = nameservers.filter((server) => isIP(server.split("%", 1)[0] ?? "") !== 0);
  return valid.slice(0, MAX_UPSTREAMS).map((address) => ({ address, port: DNS_PORT }));
}

/** Reads the host's resolvers. A file that is missing means none, as it does to libc's callers behind an embedded resolver. */
export function readUpstreams(path: string): Upstream[] {
  try {
    return toUpstreams(parseResolvConf(readFileSync(path, "utf8")).nameservers);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/**
 * Calls `changed` with the resolvers whenever the file may say something else, until the returned function is called. The folder is
 * watched, since the file is usually replaced, not written; where it is a symlink (systemd-resolved) its target's folder too.
 * @throws when the file's folder cannot be watched
 */
export function watchUpstreams(
  path: string,
  changed: (upstreams: Upstream[]) => void,
  failed: (reason: string) => void,
): () => void {
  const watchers = new Map<string, FSWatcher>();
  let timer: NodeJS.Timeout | undefined;
  const follow = (): void => {
    const files = new Set([path, realPath(path)]);
    for (const [file, watcher] of watchers) {
      if (files.has(file)) continue;
      watcher.close();
      watchers.delete(file);
    }
    for (const file of files) if (!watchers.has(file)) watchers.set(file, watchFile(file, soon, failed));
  };
  const reread = (): void => {
    try {
      follow(); // before reading: what changes in between is then seen as a change
      changed(readUpstreams(path));
    } catch (error) {
      failed(messageOf(error));
    }
  };
  const soon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(reread, SETTLE_MS);
    timer.unref();
  };
  follow();
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers.values()) watcher.close();
  };
}

function watchFile(file: string, changed: () => void, failed: (reason: string) => void): FSWatcher {
  const watcher = watch(dirname(file), { persistent: false }, (_event, name) => {
    if (name === null || name === basename(file)) changed();
  });
  watcher.on("error", (error) => failed(messageOf(error)));
  return watcher;
}

/** Where a symlink leads; the path itself while that is not there. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return path;
    throw error;
  }
}
