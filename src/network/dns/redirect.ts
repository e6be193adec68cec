// The nft rules in a task's namespace that lead 127.0.0.11:53 to the port where skep listens, so that the task may bind 0.0.0.0:53
// itself. Text only: server.ts runs it. Replies need no rule: conntrack turns their source back into 127.0.0.11:53.

/** The resolver's address in every task's namespace: Docker's. */
export const RESOLVER_ADDRESS = "127.0.0.11";
/** Our own table, so that nothing of the task's is touched. */
export const REDIRECT_TABLE = "skep_dns";

const CHAIN = "output";

/**
 * The batch that leads to `port`, in one transaction. With `replace` what was there is taken away first: no query meets a moment without
 * rules, but the kernel takes some 10 ms over freeing the old ones. Without, it fails (EEXIST) where the table is there already.
 */
export function redirectRules(port: number, options: { replace: boolean }): string {
  const before = options.replace ? `table ip ${REDIRECT_TABLE}\ndelete table ip ${REDIRECT_TABLE}\n` : "";
  return `${before}create table ip ${REDIRECT_TABLE}
add chain ip ${REDIRECT_TABLE} ${CHAIN} { type nat hook output priority -100; policy accept; }
add rule ip ${REDIRECT_TABLE} ${CHAIN} ip daddr ${RESOLVER_ADDRESS} udp dport 53 dnat to ${RESOLVER_ADDRESS}:${port}
add rule ip ${REDIRECT_TABLE} ${CHAIN} ip daddr ${RESOLVER_ADDRESS} tcp dport 53 dnat to ${RESOLVER_ADDRESS}:${port}
`;
}

/** The port that both rules of an earlier daemon lead to, read from the listing of our table; undefined when they are not as we make them. */
export function portOfRedirect(listing: string): number | undefined {
  const port = (proto: string): string | undefined =>
    new RegExp(`${proto} dport 53 dnat to ${RESOLVER_ADDRESS}:(\\d{1,5})`).exec(listing)?.[1];
  const [udp, tcp] = [port("udp"), port("tcp")];
  return udp === undefined || udp !== tcp || !listing.includes("type nat hook output") ? undefined : Number(udp);
}
