// The host's own firewall, of several makes, in the host's namespace of the laboratory: tasks still reach the world, and only what is ours is touched.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { exec } from "../kernel/index.ts";
import type { Log } from "../model/log.ts";
import { letGo, letThrough } from "./host-firewall-rules.ts";
import { aNetwork, Lab, OUTSIDE, PORT, type Task } from "./test-lab.ts";

const OURS = [
  "-N SKEP-FORWARD",
  "-A SKEP-FORWARD -i docker_gwbridge ! -o docker_gwbridge -j ACCEPT",
  "-A SKEP-FORWARD -o docker_gwbridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  "-A SKEP-FORWARD -o docker_gwbridge -m conntrack --ctstate DNAT -j ACCEPT",
];

interface Warning {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A laboratory whose host has these rules before skep comes, and what skep warns of. */
async function world(t: TestContext, setUp: (lab: Lab) => Promise<void>) {
  const warnings: Warning[] = [];
  const ignore = (): void => {};
  const log: Log = {
    trace: ignore,
    debug: ignore,
    info: ignore,
    warn: (facts: object, message: string) => void warnings.push({ facts: facts as Warning["facts"], message }),
    error: ignore,
    child: () => log,
  } as unknown as Log;
  const lab = await Lab.open(t, { log });
  await setUp(lab);
  await lab.serveAt(lab.outside, "world");
  const net = aNetwork(90);
  await lab.apply([net], [], true);
  const task = await lab.run(undefined, net, "10.90.1.5");
  const rules = async (kind = "nft"): Promise<string[]> =>
    (await lab.exec(lab.host, `iptables-${kind}`, "-S")).split("\n").filter((l) => l !== "");
  return { lab, task, warnings, rules };
}

async function iptables(lab: Lab, kind: "nft" | "legacy", ...rules: readonly string[]): Promise<void> {
  for (const rule of rules) await exec([`iptables-${kind}`, ...rule.split(" ")], { netns: lab.host });
}

async function answer(lab: Lab, task: Task): Promise<string> {
  const { line, error } = await lab.client(task.sandbox.netnsPath).ask(`tcp ${OUTSIDE} ${PORT} 1`);
  return line || error;
}

for (const kind of ["nft", "legacy"] as const) {
  test(`iptables-${kind} that drops what is forwarded: tasks are let through, and purge leaves it as it was`, async (t) => {
    let before: string[] = [];
    const { lab, task, rules } = await world(t, async (l) => {
      await iptables(l, kind, "-P FORWARD DROP", "-A FORWARD -s 203.0.113.9 -j ACCEPT");
      before = (await l.exec(l.host, `iptables-${kind}`, "-S")).split("\n").filter((x) => x !== "");
    });
    equal(await answer(lab, task), "world 198.51.100.1");
    const now = await rules(kind);
    deepEqual(now.filter((l) => l.includes("SKEP")).sort(), [...OURS, "-A FORWARD -j SKEP-FORWARD"].sort());
    await lab.killAll();
    await lab.network.purge();
    deepEqual(await rules(kind), before);
  });
}

test("next to a Docker: after its chains and the user's, in which nothing is changed, and before the policy", async (t) => {
  const { lab, task, rules } = await world(t, (l) =>
    iptables(
      l,
      "nft",
      "-P FORWARD DROP",
      "-N DOCKER-USER",
      "-N DOCKER-FORWARD",
      "-N DOCKER-BRIDGE",
      "-A DOCKER-USER -d 198.51.100.66 -j DROP",
      "-A DOCKER-FORWARD -j DOCKER-BRIDGE",
      "-A DOCKER-FORWARD -i docker0 -j ACCEPT",
      "-A DOCKER-BRIDGE -o docker0 -j DROP",
      "-A FORWARD -j DOCKER-USER",
      "-A FORWARD -j DOCKER-FORWARD",
    ),
  );
  equal(await answer(lab, task), "world 198.51.100.1");
  const forward = (await rules()).filter((l) => l.startsWith("-A FORWARD"));
  deepEqual(forward, ["-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-FORWARD", "-A FORWARD -j SKEP-FORWARD"]);
  deepEqual(
    (await rules()).filter((l) => l.startsWith("-A DOCKER-USER")),
    ["-A DOCKER-USER -d 198.51.100.66/32 -j DROP"],
  );
  // Docker starts again, and puts a rule behind ours
  await iptables(lab, "nft", "-A FORWARD -i docker0 -o docker0 -j DROP");
  await lab.until(
    async () => (await rules()).findLast((l) => l.startsWith("-A FORWARD")) === "-A FORWARD -j SKEP-FORWARD",
  );
  equal(await answer(lab, task), "world 198.51.100.1");
});

test("a firewall that comes later, or is flushed and loaded anew, is seen without a restart; and at a restart too", async (t) => {
  const { lab, task, rules } = await world(t, async () => {});
  const there = (): Promise<boolean> => rules().then((all) => OURS.every((l) => all.includes(l)));
  equal(await there(), false);
  await iptables(lab, "nft", "-P FORWARD DROP");
  await lab.until(there);
  equal(await answer(lab, task), "world 198.51.100.1");
  await lab.exec(lab.host, "nft", "flush ruleset");
  await iptables(lab, "nft", "-P FORWARD DROP");
  await lab.until(there);
  await lab.until(async () => (await answer(lab, task)) === "world 198.51.100.1"); // masquerading has come back as well
  await lab.network.stop();
  await lab.exec(lab.host, "nft", "flush ruleset");
  await iptables(lab, "nft", "-P FORWARD DROP");
  await lab.restart();
  equal(await there(), true);
  equal(await answer(lab, task), "world 198.51.100.1");
});

test("where nothing stops tasks, nothing is added", async (t) => {
  const { lab, task, rules, warnings } = await world(t, (l) =>
    iptables(l, "nft", "-N NETAVARK_FORWARD", "-A FORWARD -j NETAVARK_FORWARD"),
  );
  equal(await answer(lab, task), "world 198.51.100.1");
  equal((await rules()).join().includes("SKEP"), false);
  deepEqual(warnings, []);
});

test("an nftables chain that drops cannot be overridden: people are told which, once, and what to do, and not any more when they have done it", async (t) => {
  const { lab, task, warnings } = await world(t, async (l) => {
    await l.exec(l.host, "nft", "add table inet strict");
    await l.exec(
      l.host,
      "nft",
      "add chain inet strict fence { type filter hook forward priority filter; policy drop; }",
    );
  });
  equal(await answer(lab, task), "SILENCE");
  equal(warnings.length, 1);
  equal(warnings[0]!.facts["firewall.chain"], "inet strict fence");
  const remedy = String(warnings[0]!.facts.remedy);
  match(remedy, /^nft insert rule inet strict fence iifname docker_gwbridge accept; /);
  for (const command of remedy.split("; ")) await lab.exec(lab.host, "nft", command.replace(/^nft /, ""));
  equal(await answer(lab, task), "world 198.51.100.1");
  await lab.crash();
  equal(warnings.length, 1);
});

test("a chain that ends by rejecting, as firewalld's, is one that drops", async (t) => {
  const { warnings } = await world(t, async (l) => {
    await l.exec(l.host, "nft", "add table inet firewalld");
    await l.exec(
      l.host,
      "nft",
      "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }",
    );
    await l.exec(l.host, "nft", "add rule inet firewalld filter_FORWARD ct state established,related accept");
    await l.exec(l.host, "nft", "add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited");
  });
  equal(warnings.length, 1);
  ok(
    String(warnings[0]!.facts.remedy).startsWith(
      "firewall-cmd --permanent --zone=trusted --add-interface=docker_gwbridge",
    ),
  );
});

test("the rules as text: what is in place is left alone, what is not is put right, ours are found by the bridge's name", () => {
  const saved = (...lines: string[]): string => ["*filter", ":INPUT ACCEPT [0:0]", ...lines, "COMMIT", ""].join("\n");
  const chain = [":SKEP-FORWARD - [0:0]", ...OURS.slice(1)];
  const good = saved(":FORWARD DROP [0:0]", "-A FORWARD -j SKEP-FORWARD", ...chain);
  equal(letThrough(good, "docker_gwbridge"), undefined);
  equal(letThrough(saved(":FORWARD ACCEPT [1:2]"), "docker_gwbridge"), undefined);
  const reject = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited";
  const late = saved(
    ":FORWARD ACCEPT [0:0]",
    "-A FORWARD -s 192.0.2.1 -j DROP",
    reject,
    "-A FORWARD -j SKEP-FORWARD",
    ...chain,
  );
  match(letThrough(late, "docker_gwbridge")!, /-D FORWARD -j SKEP-FORWARD\n-I FORWARD 2 -j SKEP-FORWARD\nCOMMIT\n$/);
  const ufw = saved(
    ":FORWARD ACCEPT [0:0]",
    ":ufw-before-forward - [0:0]",
    ":ufw-reject-forward - [0:0]",
    "-A FORWARD -j ufw-before-forward",
    "-A FORWARD -j ufw-reject-forward",
    "-A ufw-before-forward -p icmp -j DROP",
    "-A ufw-reject-forward -j REJECT",
  );
  match(letThrough(ufw, "docker_gwbridge")!, /-I FORWARD 2 -j SKEP-FORWARD\n/);
  match(letThrough(saved(":FORWARD DROP [0:0]"), "skep_gwbridge")!, /-I FORWARD 1 -j SKEP-FORWARD-skep_gwbridge\n/);
  equal(
    letGo(good, "docker_gwbridge"),
    "*filter\n-D FORWARD -j SKEP-FORWARD\n-F SKEP-FORWARD\n-X SKEP-FORWARD\nCOMMIT\n",
  );
  equal(letGo(good, "skep_gwbridge"), undefined);
});
