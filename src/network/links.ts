// What every namespace of ours needs, whichever it is: its loopback, its settings, and cables whose near end is named "veth<n>".
import { isErrno, type Link, type RtNetlink, writeSysctl } from "../kernel/index.ts";

/** No IPv6 in namespaces of IPv4 networks, as in Swarm: no link-local address, no router solicitation. */
const NO_IPV6 = { "net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1 } as const;

/** Settings that a kernel may lack (no IPv6, no conntrack, no br_netfilter): where they are not, there is nothing to set. */
export function setWhereKnown(netns: string, sysctls: Readonly<Record<string, string | number>>): void {
  for (const [name, value] of Object.entries(sysctls)) {
    try {
      writeSysctl(netns, name, value);
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e;
    }
  }
}

/** Loopback up, IPv6 off unless wanted. */
export function prepareNetns(netns: string, rt: RtNetlink, options: { readonly ipv6: boolean }): void {
  if (!options.ipv6) setWhereKnown(netns, NO_IPV6);
  rt.setLink("lo", { up: true });
}

/** Whether a cable's far end is as it should be. */
export function isPlugged(link: Link | undefined, mac: string, mtu: number): boolean {
  return link?.kind === "veth" && link.up && link.mac === mac && link.mtu === mtu;
}

/** The next free "veth<n>": one more than the highest there. */
export function nextVeth(links: readonly Link[]): number {
  let next = 0;
  for (const { name } of links) {
    const n = /^veth(\d+)$/.exec(name)?.[1];
    if (n !== undefined) next = Math.max(next, Number(n) + 1);
  }
  return next;
}
