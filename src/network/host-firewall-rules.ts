// What has to be said to the host's own firewall so that it lets tasks out: pure text, read from iptables-save and written for
// iptables-restore. Only chains of ours are filled, and only the jump to one is put into another's. host-firewall.ts runs it.

const FORWARD = "FORWARD";
/** Where Docker lets people put rules that come before its own, and so before ours. */
const DOCKER_USER = "DOCKER-USER";

/** Ours, in iptables' filter table; with the bridge's name where that is not Swarm's (28 characters are what iptables allows). */
export function chainFor(bridge: string): string {
  return bridge === "docker_gwbridge" ? "SKEP-FORWARD" : `SKEP-FORWARD-${bridge}`;
}

/** Everything of the filter table that concerns us. */
interface Filter {
  readonly policy: string | undefined;
  /** Rules of FORWARD, without `-A FORWARD`. */
  readonly forward: readonly string[];
  /** Rules of our chain; undefined when there is no such chain. */
  readonly ours: readonly string[] | undefined;
}

function parse(saved: string, chain: string): Filter {
  const lines = saved.split("\n");
  const rulesOf = (name: string): string[] =>
    lines.filter((l) => l.startsWith(`-A ${name} `)).map((l) => l.slice(`-A ${name} `.length).trim());
  const declared = (name: string): string[] | undefined => lines.find((l) => l.startsWith(`:${name} `))?.split(" ");
  return {
    policy: declared(FORWARD)?.[1],
    forward: rulesOf(FORWARD),
    ours: declared(chain) === undefined ? undefined : rulesOf(chain),
  };
}

function stops(rule: string): boolean {
  return /(^| )-j (DROP|REJECT)\b/.test(rule);
}

/** What is let through: from tasks to the world; back to them, what belongs to that, and published ports. The rest is others' to decide. */
function accepted(bridge: string): string[] {
  return [
    `-i ${bridge} ! -o ${bridge} -j ACCEPT`,
    `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    `-o ${bridge} -m conntrack --ctstate DNAT -j ACCEPT`,
  ];
}

/**
 * The change that lets tasks through iptables, for `iptables-restore --noflush`; undefined when there is nothing to do: nothing there stops
 * them, or all is in place already. The jump comes first in FORWARD, but after Docker's chain for the user's own rules.
 * @param saved what iptables-save said of the filter table
 */
export function letThrough(saved: string, bridge: string): string | undefined {
  const chain = chainFor(bridge);
  const { policy, forward, ours } = parse(saved, chain);
  const jump = `-j ${chain}`;
  const others = forward.filter((rule) => rule !== jump);
  if (policy !== "DROP" && !others.some(stops)) return undefined;
  const wanted = accepted(bridge);
  const at = forward.indexOf(jump);
  const position = others.indexOf(`-j ${DOCKER_USER}`) + 1;
  const early = forward.slice(0, at).some(stops);
  const inPlace = at >= position && !early && forward.length === others.length + 1;
  if (inPlace && ours?.join("\n") === wanted.join("\n")) return undefined;
  return restore([
    `:${chain} - [0:0]`,
    ...wanted.map((rule) => `-A ${chain} ${rule}`),
    ...forward.filter((rule) => rule === jump).map(() => `-D ${FORWARD} ${jump}`),
    `-I ${FORWARD} ${position + 1} ${jump}`,
  ]);
}

/** The change that takes us out again; undefined when nothing of ours is there. */
export function letGo(saved: string, bridge: string): string | undefined {
  const chain = chainFor(bridge);
  const { forward, ours } = parse(saved, chain);
  if (ours === undefined) return undefined;
  const jumps = forward.filter((rule) => rule === `-j ${chain}`);
  return restore([...jumps.map((jump) => `-D ${FORWARD} ${jump}`), `-F ${chain}`, `-X ${chain}`]);
}

/** Whether a base chain, as nft lists it, stops what no rule of it names: by its policy, or by a last word without conditions. */
export function stopsAll(listing: string): boolean {
  const lines = listing.split("\n").map((l) => l.trim());
  return lines.some(
    (l) => /^type .* policy drop;/.test(l) || /^(counter (packets \d+ bytes \d+ )?)?(drop|reject\b.*)$/.test(l),
  );
}

/** What a person has to do where a drop is final. */
export function remedyFor(chain: { family: string; table: string; name: string }, bridge: string): string {
  if (chain.table === "firewalld") {
    return `firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && firewall-cmd --reload`;
  }
  const insert = `nft insert rule ${chain.family} ${chain.table} ${chain.name}`;
  return `${insert} iifname ${bridge} accept; ${insert} oifname ${bridge} ct state established,related accept`;
}

function restore(lines: readonly string[]): string {
  return ["*filter", ...lines, "COMMIT", ""].join("\n");
}
