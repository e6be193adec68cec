// The nft rules in a task's namespace that lead 127.0.0.11:53 to the port where skep listens, so that the task may bind 0.0.0.0:53
// itself. Text only: server.ts runs it. Replies need no rule: conntrack turns their source back into 127.0.0.11:53.

/** The resolver's address in every task's namespace: Docker's. */
export const RESOLVER_ADDRESS = "127.0.0.11";
/** Our own table, so that nothing of the task's is touched. */
export const REDIRECT_TABLE = "skep_dns";

/**
 * The batch that makes the rules lead to `port`, whatever was there before, in one transaction: no query meets a moment without rules.
 * Connections that conntrack already follows keep the port they have.
 */
export function redirectRules(port: number): string {
  return `table ip ${REDIRECT_TABLE}
delete table ip ${REDIRECT_TABLE}
table ip ${REDIRECT_TABLE} {
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr ${RESOLVER_ADDRESS} udp dport 53 dnat to ${RESOLVER_ADDRESS}:${port}
    ip daddr ${RESOLVER_ADDRESS} tcp dport 53 dnat to ${RESOLVER_ADDRESS}:${port}
  }
}
`;
}

/** The batch that takes the rules away; may be run when there are none. */
export function removeRedirect(): string {
  return `table ip ${REDIRECT_TABLE}\ndelete table ip ${REDIRECT_TABLE}\n`;
}

/** The port that rules of an earlier daemon lead to, read from the listing of our table; undefined when it says none. */
export function portOfRedirect(listing: string): number | undefined {
  const port = /udp dport 53 dnat to 127\.0\.0\.11:(\d{1,5})/.exec(listing)?.[1];
  return port === undefined ? undefined : Number(port);
}
