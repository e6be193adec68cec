// iptables' rules of a namespace, whole tables at a time, through its own save and restore commands (nft.ts is for nftables proper). These
// fork: keep them off hot paths.
import { exec } from "./exec.ts";
import type { NetnsRef } from "./netns.ts";

const LOCK_WAIT_S = 5; // the xtables lock is one for the host; Podman and Docker hold it for milliseconds

export interface RestoreOptions {
  /** Keep what is there (default), or false: the named tables are emptied first. */
  readonly noflush?: boolean;
  readonly family?: 4 | 6;
  readonly signal?: AbortSignal;
}

/**
 * Feeds `rules` (iptables-save's format: `*nat`, rules, `COMMIT`) to iptables-restore; each table is changed at once or not at all.
 * @throws ExecError
 */
export async function iptablesRestore(netns: NetnsRef, rules: string, options: RestoreOptions = {}): Promise<void> {
  const { noflush = true, family = 4, signal } = options;
  const command = family === 6 ? "ip6tables-restore" : "iptables-restore";
  const flags = noflush ? ["--noflush"] : [];
  await exec([command, "--wait", String(LOCK_WAIT_S), ...flags], { netns, stdin: rules, ...(signal && { signal }) });
}

/** The rules of one table (`nat`, `filter`, `mangle`…), as iptables-save prints them. @throws ExecError */
export async function iptablesSave(netns: NetnsRef, table: string, family: 4 | 6 = 4): Promise<string> {
  const command = family === 6 ? "ip6tables-save" : "iptables-save";
  return (await exec([command, "-t", table], { netns })).stdout;
}
