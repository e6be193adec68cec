// The text of a task's /etc/resolv.conf and /etc/hosts, as Docker writes them. Pure: the agent puts them where the container sees them.

import { SkepError } from "../../model/errors.ts";
import type { ResolvConf } from "./upstreams.ts";

const NAMESERVER = "127.0.0.11";

const HOSTS_HEAD = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** A service's DNSConfig, under the names of Docker's API in lower case. `nameservers` are not in the file: 127.0.0.11 asks them. */
export type DnsConfig = {
  readonly nameservers?: readonly string[];
  readonly search?: readonly string[];
  readonly options?: readonly string[];
};

/**
 * The task's resolv.conf. What the service says of search and options replaces what the host says. Docker's `ndots:0` (a name without
 * a dot is asked as it is first) is added unless ndots is set already; a lone search `.` means none.
 * @throws SkepError "invalid" when a search domain or an option spans lines
 */
export function resolvConfText(service: DnsConfig, host: Pick<ResolvConf, "search" | "options">): string {
  const said = (list: readonly string[] | undefined): readonly string[] | undefined =>
    list?.length ? list : undefined;
  const search = said(service.search) ?? host.search;
  const options = said(service.options) ?? host.options;
  const lines = [`nameserver ${NAMESERVER}`];
  for (const entry of [...search, ...options]) {
    if (/[\r\n]/.test(entry)) throw new SkepError("invalid", `cannot write DNS setting "${entry}": more than one line`);
  }
  const domains = search.filter((domain) => domain !== ".");
  if (domains.length > 0) lines.push(`search ${domains.join(" ")}`);
  const withNdots = options.some((option) => option.startsWith("ndots:")) ? options : [...options, "ndots:0"];
  lines.push(`options ${withNdots.join(" ")}`);
  return `${lines.join("\n")}\n`;
}

/** Whether these options set ndots above 0, which makes the resolver keep dotless names to itself (Docker's NdotsSet). */
export function userNdots(options: readonly string[] | undefined): boolean {
  return (options ?? []).some((option) => Number(/^ndots:(\d+)$/.exec(option)?.[1] ?? 0) > 0);
}

/**
 * The task's hosts file: Docker's head, the service's extra hosts, then the addresses of the task under its hostname.
 * @param extraHosts in Swarm's form, `IP name…`
 * @param self the task's address on its first network, and its hostname (the short container id)
 * @throws SkepError "invalid" when an extra host has not at least an address and a name, or spans lines
 */
export function hostsText(
  extraHosts: readonly string[],
  self: { address: string; hostname: string } | undefined,
): string {
  const extra = extraHosts.map((entry) => {
    const fields = entry.trim().split(/[ \t]+/);
    if (fields.length < 2 || /[\r\n]/.test(entry))
      throw new SkepError("invalid", `cannot write host entry "${entry}": not "IP name"`);
    return `${fields[0]}\t${fields.slice(1).join(" ")}\n`;
  });
  const own = self === undefined ? "" : `${self.address.split("/", 1)[0]}\t${self.hostname}\n`;
  return HOSTS_HEAD + extra.join("") + own;
}
