// The walk of seed/: how Swarm balances load inside the cluster, as steps. Each has the command that a person would type, one sentence on
// what it shows, and the check that it did. `skep demo` runs and tells them; test/e2e/walk.test.ts runs the same ones as tests.
// How a step is run is in walk-run.ts.

import { deepEqual, equal, match, ok } from "node:assert/strict";

/** What earlier steps have found out and later ones need. */
export interface Facts {
  /** Where the daemon keeps its network namespaces. */
  readonly netnsDir: string;
  clientContainer?: string;
  /** The virtual IP of `web`. */
  vip?: string;
  /** Host names of the replicas that answered, in order. */
  answeredBy: string[];
  /** The address of each answering replica on the overlay network. */
  replicas: Set<string>;
  networkId?: string;
  /** The address of the load balancer's own endpoint, `lb-my-swarm-net`. */
  lbAddress?: string;
  /** The firewall mark of `web`, in hexadecimal. */
  mark?: string;
}

/** One command of the walk. */
export interface Step {
  /** The words of the command, once the earlier steps have run. */
  readonly command: (facts: Facts) => readonly string[];
  /** One plain sentence: what the output shows. */
  readonly shows: string;
  /** What the check makes sure of, for the list at the end and the name of the test. */
  readonly checks: string;
  /** Throws an AssertionError if the output does not show it. Notes what later steps need. */
  readonly check: (output: string, facts: Facts) => void;
  /** Only on hosts whose balancer is this one. */
  readonly balancer?: Balancer;
}

/** What chooses the replica inside `lb_…`: the kernel's IPVS where it has it, else nftables. */
export type Balancer = "ipvs" | "nft";

export const NETWORK = "my-swarm-net";
const WHOAMI = "containous/whoami";
const NET_BOX = "xiaopeng163/net-box:latest";

/** Facts as they are before the first step. */
export function noFacts(netnsDir: string): Facts {
  return { netnsDir, answeredBy: [], replicas: new Set() };
}

/** The path of the load balancer's namespace, once the network's id is known. Swarm's name for it has nine letters of the id. */
export function lbNamespace(facts: Facts): string {
  return `${facts.netnsDir}/lb_${known(facts, "networkId").slice(0, 9)}`;
}

const IPV4 = "\\d+\\.\\d+\\.\\d+\\.\\d+";

const SET_UP: readonly Step[] = [
  {
    command: () => ["docker", "swarm", "init"],
    shows: "This machine is now a swarm of one node.",
    checks: "the swarm is initialised",
    check: (output) => match(output, /Swarm initialized: current node \(\w{25}\) is now a manager\./),
  },
  {
    command: () => ["docker", "network", "create", "-d", "overlay", NETWORK],
    shows: "An overlay network: the printed line is its id, and namespaces will be named after it.",
    checks: "the overlay network is created",
    check: (output) => match(output.trim(), /^\w{25}$/m),
  },
  {
    command: () => ["docker", "service", "create", "--name", "web", "--replicas", "2", "--network", NETWORK, WHOAMI],
    shows: "Service web: two replicas of a small web server that says who it is.",
    checks: "service web converges with 2 replicas",
    check: (output) => match(output, /converged/),
  },
  {
    command: () => [
      "docker",
      "service",
      "create",
      "--name",
      "client",
      "--network",
      NETWORK,
      NET_BOX,
      "ping",
      "8.8.8.8",
    ],
    shows: "Service client: one container on the same network, to make requests from.",
    checks: "service client converges",
    check: (output) => match(output, /converged/),
  },
  {
    command: () => ["docker", "service", "ls"],
    shows: "Both services have all the replicas that they should have.",
    checks: "service ls counts 2/2 and 1/1",
    check: (output) => {
      match(output, /\bweb\s+replicated\s+2\/2\s/);
      match(output, /\bclient\s+replicated\s+1\/1\s/);
    },
  },
  {
    command: () => ["docker", "service", "ps", "web"],
    shows: "Each replica is a task in a slot of its own, web.1 and web.2.",
    checks: "both tasks of web run",
    check: (output) => {
      for (const slot of [1, 2]) match(output, new RegExp(`\\bweb\\.${slot}\\s.*\\sRunning\\s+Running `));
    },
  },
  {
    command: () => ["docker", "ps", "--format", "table {{.ID}}\t{{.Image}}\t{{.Names}}"],
    shows: "Tasks are ordinary containers, run by Podman, under the names that Swarm gives.",
    checks: "the tasks' containers are web.1.<task>, web.2.<task> and client.1.<task>",
    check: (output, facts) => {
      for (const slot of ["web.1", "web.2"]) match(output, new RegExp(`\\s${slot.replace(".", "\\.")}\\.\\w{25}\\b`));
      facts.clientContainer = found(output, /\s(client\.1\.\w{25})\b/);
    },
  },
];

const INSIDE_CLIENT: readonly Step[] = [
  {
    command: (facts) => inClient(facts, "ping", "-c", "3", "web"),
    shows: "The name web has one address, which answers, and which is no replica's own: the service's virtual IP.",
    checks: "ping web: three answers, none lost",
    check: (output, facts) => {
      facts.vip = found(output, new RegExp(`PING web \\((${IPV4})\\)`));
      match(output, /3 packets transmitted, 3 (packets )?received, 0% packet loss/);
    },
  },
  curl("A request to that address is answered by a replica.", "curl web: a replica answers"),
  curl("The next one by the other replica: connections are balanced.", "the second curl reaches the other replica"),
  curl("Then it is the first one's turn again: round robin.", "the third curl reaches the first replica again"),
  curl("And so on.", "four curls: two for each replica"),
  {
    command: (facts) => inClient(facts, "nslookup", "web"),
    shows: "DNS at 127.0.0.11 in every container: the service's name gives its virtual IP.",
    checks: "DNS: web is the virtual IP, and no replica's address",
    check: (output, facts) => {
      deepEqual(addressesIn(output), [known(facts, "vip")]);
      ok(!facts.replicas.has(known(facts, "vip")));
    },
  },
  {
    command: (facts) => inClient(facts, "nslookup", "tasks.web"),
    shows: "And tasks.web gives the replicas themselves.",
    checks: "DNS: tasks.web is the two replicas that answered",
    check: (output, facts) => deepEqual(addressesIn(output).sort(), [...facts.replicas].sort()),
  },
];

const ON_THE_HOST: readonly Step[] = [
  {
    command: () => ["docker", "network", "inspect", NETWORK],
    shows: `The network lists its tasks' containers, and lb-${NETWORK}, which is none: it is the load balancer's endpoint.`,
    checks: `network inspect shows both replicas and lb-${NETWORK}`,
    check: (output, facts) => {
      const [network] = JSON.parse(output) as [InspectedNetwork];
      facts.networkId = network.Id;
      const lb = network.Containers[`lb-${NETWORK}`];
      ok(lb, `no lb-${NETWORK} among ${Object.keys(network.Containers).join(", ")}`);
      equal(lb.Name, `${NETWORK}-endpoint`);
      facts.lbAddress = bare(lb.IPv4Address);
      const addresses = new Set(Object.values(network.Containers).map((container) => bare(container.IPv4Address)));
      for (const replica of facts.replicas) ok(addresses.has(replica), `${replica} is not in the network's list`);
    },
  },
  {
    command: (facts) => ["ls", facts.netnsDir],
    shows:
      "The network namespaces: 1-… is the network's bridge and VXLAN, lb_… its load balancer, the others are the containers'.",
    checks: "the namespaces 1-<network> and lb_<network> are there",
    check: (output, facts) => {
      const names = output.split(/\s+/);
      const id = known(facts, "networkId");
      for (const name of [`1-${id.slice(0, 10)}`, `lb_${id.slice(0, 9)}`])
        ok(names.includes(name), `no namespace ${name}`);
    },
  },
  {
    command: (facts) => inLb(facts, "ip", "address"),
    shows: "Inside lb_…: eth0 has the endpoint's address, and every service's virtual IP as a /32 beside it.",
    checks: "the virtual IP is a /32 on eth0 of the load balancer's namespace",
    check: (output, facts) => {
      match(output, new RegExp(`inet ${escaped(known(facts, "lbAddress"))}/24 .*scope global eth0`));
      match(output, new RegExp(`inet ${escaped(known(facts, "vip"))}/32 .*scope global eth0`));
    },
  },
  {
    balancer: "ipvs",
    command: (facts) => inLb(facts, "iptables", "-nvL", "-t", "mangle"),
    shows: "What is sent to a virtual IP gets a mark of its service's own.",
    checks: "packets to the virtual IP are marked",
    check: (output, facts) => match(output, new RegExp(`\\s${escaped(known(facts, "vip"))}\\s+MARK set 0x1`)),
  },
  {
    balancer: "ipvs",
    command: (facts) => inLb(facts, "ipvsadm", "-Ln"),
    shows: "And IPVS takes each mark's connections to the replicas in turn.",
    checks: "the balancer's table holds both replicas",
    check: (output, facts) => {
      match(output, /FWM\s+\d+ rr/);
      holdsReplicas(output, facts);
    },
  },
  {
    balancer: "nft",
    command: (facts) => inLb(facts, "nft", "list", "map", "ip", "skep", "marks"),
    shows: "What is sent to a virtual IP gets a mark of its service's own.",
    checks: "packets to the virtual IP are marked",
    check: (output, facts) => {
      facts.mark = found(output, new RegExp(`${escaped(known(facts, "vip"))}\\b[^,]* : 0x0*(1[0-9a-f]{2})\\b`));
    },
  },
  {
    balancer: "nft",
    command: (facts) => inLb(facts, "nft", "list", "table", "ip", "skep"),
    shows: "And nftables takes each mark's connections to the replicas in turn: this kernel needs no IPVS.",
    checks: "the balancer's table holds both replicas, in turn",
    check: (output, facts) => {
      const chain = `service-${Number.parseInt(known(facts, "mark"), 16)}`;
      match(output, new RegExp(`0x0*${known(facts, "mark")}\\b[^,]* : goto ${chain}\\b`));
      const rules = output.slice(output.indexOf(`chain ${chain} {`)).split("}\n")[0] ?? "";
      match(rules, /numgen inc mod 2\b/);
      holdsReplicas(rules, facts);
    },
  },
];

/** The whole walk, in order. */
export const WALK: readonly Step[] = [...SET_UP, ...INSIDE_CLIENT, ...ON_THE_HOST];

interface InspectedNetwork {
  readonly Id: string;
  readonly Containers: Readonly<Record<string, { readonly Name: string; readonly IPv4Address: string }>>;
}

function curl(shows: string, checks: string): Step {
  return {
    command: (facts) => inClient(facts, "curl", "-s", "web"),
    shows,
    checks,
    check: (output, facts) => {
      const before = facts.answeredBy;
      const host = found(output, /^Hostname: (\w+)$/m);
      if (before.length === 1) ok(host !== before[0], "the same replica answered twice running");
      if (before.length > 1) equal(host, before.at(-2), "the replicas do not take turns");
      before.push(host);
      facts.replicas.add(overlayAddressIn(output, known(facts, "vip")));
    },
  };
}

/** The one of whoami's `IP:` lines that is on the virtual IP's network, a /24 as Swarm hands them out. */
function overlayAddressIn(output: string, vip: string): string {
  const prefix = vip.slice(0, vip.lastIndexOf(".") + 1);
  return found(output, new RegExp(`^IP: (${escaped(prefix)}\\d+)$`, "m"));
}

/** The addresses that nslookup found, without the server's own. */
function addressesIn(output: string): string[] {
  const answer = output.slice(output.search(/^Name:/m));
  return [...answer.matchAll(new RegExp(`^Address(?: \\d+)?:\\s*(${IPV4})`, "gm"))].map(([, address]) => address ?? "");
}

function holdsReplicas(output: string, facts: Facts): void {
  equal(facts.replicas.size, 2);
  for (const replica of facts.replicas) match(output, new RegExp(`\\b${escaped(replica)}\\b`));
}

function inClient(facts: Facts, ...command: string[]): string[] {
  return ["docker", "exec", known(facts, "clientContainer"), ...command];
}

function inLb(facts: Facts, ...command: string[]): string[] {
  return ["nsenter", `--net=${lbNamespace(facts)}`, ...command];
}

function known(facts: Facts, name: "clientContainer" | "vip" | "networkId" | "lbAddress" | "mark"): string {
  const value = facts[name];
  ok(value !== undefined, `an earlier step should have found the ${name}`);
  return value;
}

function found(output: string, pattern: RegExp): string {
  const [, value] = pattern.exec(output) ?? [];
  ok(value !== undefined, `the output has nothing like ${pattern}`);
  return value;
}

function bare(addressWithPrefix: string): string {
  return addressWithPrefix.split("/")[0] ?? "";
}

function escaped(text: string): string {
  return text.replaceAll(".", "\\.");
}
