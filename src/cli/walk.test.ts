import { deepEqual, match, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { type Balancer, type Facts, lbNamespace, noFacts, WALK } from "./walk.ts";

// What real Swarm printed at each step (reference: a node with IPVS), and what nft prints where there is none.
const TASK = "ucbfvclfddubr69qk0b7k4cq8";
const whoami = (host: string, address: string): string => `Hostname: ${host}
IP: 127.0.0.1
IP: 172.18.0.4
IP: ${address}
RemoteAddr: 10.0.1.5:38940
GET / HTTP/1.1
Host: web
User-Agent: curl/7.88.1
Accept: */*
`;
const FIRST = whoami("c1ffca9a9ada", "10.0.1.4");
const SECOND = whoami("cd7ec81f0a8b", "10.0.1.3");
const NETWORK = JSON.stringify([
  {
    Id: "p7us0wjv38zhl6xkbm6s7l9dd",
    Containers: {
      c1ffca9a9ada: { Name: `web.1.${TASK}`, IPv4Address: "10.0.1.4/24" },
      cd7ec81f0a8b: { Name: "web.2.oc0mya33ti41hc2kvo7ov40ev", IPv4Address: "10.0.1.3/24" },
      "lb-my-swarm-net": { Name: "my-swarm-net-endpoint", IPv4Address: "10.0.1.5/24" },
    },
  },
]);
const nslookup = (name: string, ...addresses: string[]): string =>
  `Server:\t\t127.0.0.11\nAddress:\t127.0.0.11:53\n\nNon-authoritative answer:\n${addresses
    .map((address) => `Name:\t${name}\nAddress: ${address}\n`)
    .join("")}`;

const OUTPUT: readonly (readonly [command: string, output: string, balancer?: Balancer])[] = [
  [
    "docker swarm init",
    "Swarm initialized: current node (zk1bq0bq2rw8nqv1z0h6d3g5u) is now a manager.\n\nTo add a worker to this swarm, run ...\n",
  ],
  ["docker network create -d overlay my-swarm-net", "p7us0wjv38zhl6xkbm6s7l9dd\n"],
  [
    "docker service create --name web --replicas 2 --network my-swarm-net containous/whoami",
    "kov4n4ckh2baawplnc8fw1u6l\noverall progress: 2 out of 2 tasks\nverify: Service kov4n4ckh2baawplnc8fw1u6l converged\n",
  ],
  [
    "docker service create --name client --network my-swarm-net xiaopeng163/net-box:latest ping 8.8.8.8",
    "ccslwfzcntsm10b0tg83ljh1a\nverify: Service ccslwfzcntsm10b0tg83ljh1a converged\n",
  ],
  [
    "docker service ls",
    "ID             NAME      MODE         REPLICAS   IMAGE                        PORTS\n" +
      "ccslwfzcntsm   client    replicated   1/1        xiaopeng163/net-box:latest   \n" +
      "kov4n4ckh2ba   web       replicated   2/2        containous/whoami:latest     *:8080->80/tcp\n",
  ],
  [
    "docker service ps web",
    "ID             NAME      IMAGE                      NODE      DESIRED STATE   CURRENT STATE            ERROR     PORTS\n" +
      "ucbfvclfddub   web.1     containous/whoami:latest   node1     Running         Running 45 seconds ago             \n" +
      "oc0mya33ti41   web.2     containous/whoami:latest   node1     Running         Running 45 seconds ago             \n",
  ],
  [
    "docker ps --format table {{.ID}}\t{{.Image}}\t{{.Names}}",
    "CONTAINER ID   IMAGE                        NAMES\n" +
      "94fb5e52b0a1   xiaopeng163/net-box:latest   client.1.vb8fh7opr69pxq6y8z3y7j2n1\n" +
      "cd7ec81f0a8b   containous/whoami:latest     web.2.oc0mya33ti41hc2kvo7ov40ev\n" +
      `c1ffca9a9ada   containous/whoami:latest     web.1.${TASK}\n`,
  ],
  [
    "docker exec client.1.vb8fh7opr69pxq6y8z3y7j2n1 ping -c 3 web",
    "PING web (10.0.1.2): 56 data bytes\n64 bytes from 10.0.1.2: seq=0 ttl=64 time=1.047 ms\n\n" +
      "--- web ping statistics ---\n3 packets transmitted, 3 packets received, 0% packet loss\n",
  ],
  ["docker exec client.1.vb8fh7opr69pxq6y8z3y7j2n1 curl -s web", FIRST],
  ["docker exec client.1.vb8fh7opr69pxq6y8z3y7j2n1 curl -s web", SECOND],
  ["docker exec client.1.vb8fh7opr69pxq6y8z3y7j2n1 curl -s web", FIRST],
  ["docker exec client.1.vb8fh7opr69pxq6y8z3y7j2n1 curl -s web", SECOND],
  ["docker exec client.1.vb8fh7opr69pxq6y8z3y7j2n1 nslookup web", nslookup("web", "10.0.1.2")],
  ["docker exec client.1.vb8fh7opr69pxq6y8z3y7j2n1 nslookup tasks.web", nslookup("tasks.web", "10.0.1.3", "10.0.1.4")],
  ["docker network inspect my-swarm-net", NETWORK],
  ["ls /run/skep/netns", "1-p7us0wjv38  249aabbb8411  ingress_sbox  lb_p7us0wjv3\n"],
  [
    "nsenter --net=/run/skep/netns/lb_p7us0wjv3 ip address",
    "12: eth0@if13: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP group default\n" +
      "    inet 10.0.1.5/24 brd 10.0.1.255 scope global eth0\n    inet 10.0.1.2/32 scope global eth0\n",
  ],
  [
    "nsenter --net=/run/skep/netns/lb_p7us0wjv3 iptables -nvL -t mangle",
    "   25  1692 MARK       0    --  *      *       0.0.0.0/0            10.0.1.2             MARK set 0x101\n",
    "ipvs",
  ],
  [
    "nsenter --net=/run/skep/netns/lb_p7us0wjv3 ipvsadm -Ln",
    "FWM  257 rr\n  -> 10.0.1.3:0                   Masq    1      0          0\n  -> 10.0.1.4:0                   Masq    1      0          0\n",
    "ipvs",
  ],
  [
    "nsenter --net=/run/skep/netns/lb_p7us0wjv3 nft list map ip skep marks",
    "table ip skep {\n\tmap marks {\n\t\ttype ipv4_addr : mark\n" +
      '\t\telements = { 10.0.1.2 comment "web" : 0x00000101, 10.0.1.6 comment "client" : 0x00000102 }\n\t}\n}\n',
    "nft",
  ],
  [
    "nsenter --net=/run/skep/netns/lb_p7us0wjv3 nft list table ip skep",
    "table ip skep {\n\tmap services {\n" +
      '\t\telements = { 0x00000101 comment "web" : goto service-257, 0x00000102 comment "client" : goto service-258 }\n\t}\n\n' +
      "\tchain service-257 {\n\t\tcounter packets 4 bytes 240 dnat to numgen inc mod 2 " +
      'map { 0 comment "web.1" : 10.0.1.3, 1 comment "web.2" : 10.0.1.4 } comment "web, VIP 10.0.1.2"\n\t}\n}\n',
    "nft",
  ],
];

test("every step types the command of the seed, and accepts what real Swarm prints", () => {
  const facts = noFacts("/run/skep/netns");
  deepEqual(
    play(facts, OUTPUT),
    OUTPUT.map(([command]) => command),
  );
  deepEqual([...facts.replicas], ["10.0.1.4", "10.0.1.3"]);
  match(lbNamespace(facts), /lb_p7us0wjv3$/);
});

const BROKEN: readonly (readonly [what: string, index: number, output: string])[] = [
  ["a service that did not converge", 2, "kov4n4ckh2baawplnc8fw1u6l\noverall progress: 1 out of 2 tasks\n"],
  ["a replica too few", 4, OUTPUT[4]![1].replace("2/2", "1/2")],
  ["a task that failed", 5, OUTPUT[5]![1].replace("Running 45", "Failed 45")],
  ["a container without its task's name", 6, OUTPUT[6]![1].replace("web.2.", "web_2_")],
  ["a lost ping", 7, OUTPUT[7]![1].replace("3 packets received, 0%", "2 packets received, 33%")],
  ["one replica that answers always", 9, FIRST],
  ["a third replica out of nowhere", 10, whoami("aaaaaaaaaaaa", "10.0.1.9")],
  ["a web server that knows no overlay address", 8, FIRST.replace("IP: 10.0.1.4\n", "")],
  ["a service's name that gives its replicas", 12, nslookup("web", "10.0.1.3", "10.0.1.4")],
  ["tasks.web without a replica", 13, nslookup("tasks.web", "10.0.1.3")],
  ["a network without its balancer's endpoint", 14, NETWORK.replace("lb-my-swarm-net", "x")],
  ["a network without a replica", 14, NETWORK.replace("10.0.1.3/24", "10.0.1.33/24")],
  ["a missing namespace", 15, "1-p7us0wjv38\n"],
  ["a virtual IP that is no alias", 16, OUTPUT[16]![1].replace("10.0.1.2/32", "10.0.1.22/32")],
  ["an unmarked virtual IP", 17, OUTPUT[17]![1].replace("10.0.1.2 ", "10.0.1.22")],
  ["a table that lacks a replica (ipvs)", 18, OUTPUT[18]![1].replace("10.0.1.4:", "10.0.1.44:")],
  ["a virtual IP with no mark of its own", 19, OUTPUT[19]![1].replace("10.0.1.2 ", "10.0.1.22 ")],
  ["a table that lacks a replica (nft)", 20, OUTPUT[20]![1].replace("10.0.1.4 ", "10.0.1.44 ")],
  ["a table that does not take turns", 20, OUTPUT[20]![1].replace("numgen inc", "numgen random")],
];

for (const [what, index, output] of BROKEN) {
  test(`not accepted: ${what}`, () => {
    const facts = noFacts("/run/skep/netns");
    play(facts, OUTPUT.slice(0, index));
    throws(() => WALK[index]!.check(output, facts), { code: "ERR_ASSERTION" });
  });
}

test("every step says what it shows in one sentence", () => {
  for (const step of WALK) {
    match(step.shows, /^[A-Z].*\.$/);
    ok(step.checks.length > 0);
  }
});

/** Runs the checks on canned output. Returns the commands. */
function play(facts: Facts, output: typeof OUTPUT): string[] {
  return output.map(([, text], index) => {
    const command = WALK[index]!.command(facts).join(" ");
    WALK[index]!.check(text, facts);
    return command;
  });
}
