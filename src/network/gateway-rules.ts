// What the host's firewall is told about the gateway bridge: a table of our own. Pure text; gateway-bridge.ts runs it.
import { createHash } from "node:crypto";

/** The table's name: "skep", or the bridge's own where another's bridge has Swarm's name (and maybe another daemon that table). */
export function tableOf(bridge: string): string {
  return bridge === "docker_gwbridge" ? "skep" : bridge;
}

/** The whole table, in one step, in place of what is there. */
export function gatewayRules(bridge: string, subnet: string, { replace }: { readonly replace: boolean }): string {
  // not deleted for nothing: the kernel makes whoever closes the socket soon after a deletion wait until it has freed what was there
  return `${replace ? `delete table ip ${tableOf(bridge)}\n` : ""}${rules(bridge, subnet, rulesVersion(bridge, subnet))}`;
}

/** Stands in a comment of the rules, and tells whether those in the kernel are these. */
export function rulesVersion(bridge: string, subnet: string): string {
  return `rules ${createHash("sha256")
    .update(rules(bridge, subnet, ""))
    .digest("hex")
    .slice(0, 8)}`;
}

function rules(bridge: string, subnet: string, version: string): string {
  const table = `table ip ${tableOf(bridge)}`;
  return `${table} {
  chain to_tasks {
    ct state established,related accept
    ct status dnat accept comment "published ports"
    drop comment "the world reaches tasks by published ports only, and tasks reach each other by their networks"
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname "${bridge}" goto to_tasks
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} oifname != "${bridge}" masquerade comment "${version}"
  }
}
`;
}
