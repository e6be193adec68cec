// What has to be said to the host's own firewall so that it lets tasks out: pure text, read from iptables-save and written for
// iptables-restore. Only chains of ours are filled, and only the jump to one is put into another's. host-firewall.ts runs it.

const FORWARD = "FORWARD";
/** Chains that go to chains that go to chains: nobody needs more, and loops end. */
const MAX_DEPTH = 8;

/** Ours, in iptables' filter table; with the bridge's name where that is not Swarm's (28 characters are what iptables allows). */
export function chainFor(bridge: string): string {
  return bridge === "docker_gwbridge" ? "SKEP-FORWARD" : `SKEP-FORWARD-${bridge}`;
}

/** iptables' filter table: its chains' rules, without `-A <chain>`. */
interface Filter {
  readonly policy: string | undefined;
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

function parse(saved: string): Filter {
  const chains = new Map<string, string[]>();
  let policy: string | undefined;
  for (const line of saved.split("\n")) {
    const [, name = "", first = ""] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (name !== "") chains.set(name, []);
    if (name === FORWARD) policy = first;
    const [, chain = "", rule = ""] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain !== "") chains.get(chain)?.push(rule.trim());
  }
  return { policy, chains };
}

/** Whether nothing comes past a rule: it drops or rejects without conditions, or goes to a chain that does so (ufw-reject-forward). */
function isLastWord(rule: string, chains: Filter["chains"], depth = 0): boolean {
  const target = /^-[jg] (\S+)/.exec(rule)?.[1];
  if (target === undefined) return false;
  if (target === "DROP" || target === "REJECT") return true;
  return depth < MAX_DEPTH && (chains.get(target) ?? []).some((r) => isLastWord(r, chains, depth + 1));
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
 * them, or all is in place already. The jump comes after everybody who has something to say of particular packets (Docker and its chain for
 * users, ufw's rules), and before the last word that stops all others: so it bypasses nobody's rule.
 * @param saved what iptables-save said of the filter table
 */
export function letThrough(saved: string, bridge: string): string | undefined {
  const chain = chainFor(bridge);
  const { policy, chains } = parse(saved);
  const forward = chains.get(FORWARD) ?? [];
  const jump = `-j ${chain}`;
  const others = forward.filter((rule) => rule !== jump);
  const last = others.findIndex((rule) => isLastWord(rule, chains));
  if (policy !== "DROP" && last === -1) return undefined;
  const position = last === -1 ? others.length : last;
  const wanted = accepted(bridge);
  const inPlace = forward.indexOf(jump) === position && forward.length === others.length + 1;
  if (inPlace && chains.get(chain)?.join("\n") === wanted.join("\n")) return undefined;
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
  const { chains } = parse(saved);
  if (!chains.has(chain)) return undefined;
  const jumps = (chains.get(FORWARD) ?? []).filter((rule) => rule === `-j ${chain}`);
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
