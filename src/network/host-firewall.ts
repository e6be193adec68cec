// The host's own firewall, where it would keep tasks from the world: dockerd, ufw and others let nothing be forwarded that they did not ask
// for. In iptables (of either kind) a chain of ours, jumped to from FORWARD, accepts what tasks send. Where another nftables table drops, that
// is final, whatever we accept: then people are told what to do. The texts are in host-firewall-rules.ts.
import { readFileSync } from "node:fs";
import { ExecError, exec, inNetns, isErrno, type NetnsRef, Nft } from "../kernel/index.ts";
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";
import { letGo, letThrough, remedyFor, stopsAll } from "./host-firewall-rules.ts";

/** The two kinds of iptables, which know nothing of each other. */
type Kind = "nft" | "legacy";
/** iptables' lock is one for the host; others hold it for milliseconds. */
const LOCK_WAIT_S = "5";

interface BaseChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
}

export class HostFirewall {
  readonly #netns: NetnsRef;
  readonly #log: Log;
  /** Chains that people were told of. */
  #told: ReadonlySet<string> = new Set();

  constructor(needs: { readonly hostNetns: NetnsRef; readonly log: Log }) {
    this.#netns = needs.hostNetns;
    this.#log = needs.log;
  }

  /**
   * Lets tasks through as far as that is in our hands. May be repeated, and changes nothing where all is in place. A firewall that cannot be
   * read or changed is no reason not to run tasks: it is told in the log.
   */
  async ensure(bridge: string): Promise<void> {
    const chains = forwardChains(this.#netns);
    for (const kind of this.#kinds(chains)) {
      await this.#try(kind, async () => {
        const change = letThrough(await this.#save(kind), bridge);
        if (change === undefined) return;
        await this.#restore(kind, change);
        this.#log.info(
          { "firewall.kind": `iptables-${kind}`, "bridge.name": bridge },
          "let tasks through the host's firewall",
        );
      });
    }
    this.#tell(
      chains.filter((c) => !isIptables(c)),
      bridge,
    );
  }

  /** Takes everything of ours out again. */
  async remove(bridge: string): Promise<void> {
    for (const kind of this.#kinds(forwardChains(this.#netns))) {
      await this.#try(kind, async () => {
        const change = letGo(await this.#save(kind), bridge);
        if (change !== undefined) await this.#restore(kind, change);
      });
    }
  }

  /** The kinds of iptables in use. Asking the commands themselves would bring their tables about. */
  #kinds(chains: readonly BaseChain[]): Kind[] {
    return [
      ...(chains.some(isIptables) ? (["nft"] as const) : []),
      ...(hasLegacyFilter(this.#netns) ? (["legacy"] as const) : []),
    ];
  }

  #tell(chains: readonly BaseChain[], bridge: string): void {
    const final = chains.filter((c) => isFinal(this.#netns, c, bridge));
    for (const chain of final) {
      const name = `${chain.family} ${chain.table} ${chain.name}`;
      if (this.#told.has(name)) continue;
      const facts = { "firewall.chain": name, "bridge.name": bridge, remedy: remedyFor(chain, bridge) };
      this.#log.warn(facts, "an nftables chain drops what tasks send to the world, which nobody else can allow");
    }
    this.#told = new Set(final.map((c) => `${c.family} ${c.table} ${c.name}`));
  }

  async #save(kind: Kind): Promise<string> {
    return (await exec([`iptables-${kind}-save`, "-t", "filter"], { netns: this.#netns })).stdout;
  }

  async #restore(kind: Kind, rules: string): Promise<void> {
    await exec([`iptables-${kind}-restore`, "--wait", LOCK_WAIT_S, "--noflush"], { netns: this.#netns, stdin: rules });
  }

  async #try(kind: Kind, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (e) {
      if (!(e instanceof ExecError)) throw e;
      const facts = { "firewall.kind": `iptables-${kind}`, "error.message": messageOf(e) };
      this.#log.warn(facts, "cannot tell whether the host's firewall lets tasks through");
    }
  }
}

/** The base chains for forwarded IPv4 packets, of whatever table but ours. */
function forwardChains(netns: NetnsRef): BaseChain[] {
  using nft = Nft.open(netns);
  const listed = nft.json("list chains") as { nftables: { chain?: BaseChain & { hook?: string } }[] };
  return listed.nftables.flatMap(({ chain }) =>
    chain?.hook === "forward" && ["ip", "inet"].includes(chain.family) && !chain.table.startsWith("skep")
      ? [{ family: chain.family, table: chain.table, name: chain.name }]
      : [],
  );
}

function isIptables({ family, table, name }: BaseChain): boolean {
  return family === "ip" && table === "filter" && name === "FORWARD";
}

/** Whether a chain stops what tasks send, and nobody has told its table of the bridge. */
function isFinal(netns: NetnsRef, { family, table, name }: BaseChain, bridge: string): boolean {
  using nft = Nft.open(netns);
  try {
    if (!stopsAll(nft.run(`list chain ${family} ${table} ${name}`))) return false;
    return !nft.run(`list table ${family} ${table}`).includes(`"${bridge}"`);
  } catch (e) {
    if (isErrno(e, "ENOENT")) return false; // gone meanwhile
    throw e;
  }
}

function hasLegacyFilter(netns: NetnsRef): boolean {
  try {
    return inNetns(netns, () => readFileSync("/proc/thread-self/net/ip_tables_names", "utf8"))
      .split("\n")
      .includes("filter");
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return false; // no such iptables in this kernel
    throw e;
  }
}
