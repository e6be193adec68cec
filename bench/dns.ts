// How many queries a second the embedded DNS answers, asked by dnsperf from inside a sandbox, as issue 2 wants it measured: 4 clients, daemon
// and dnsperf on the same machine; and what such a flood does to another sandbox and to the daemon's own thread.
// Run: node bench/dns.ts [seconds]. What was found is in dns.md.

import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { promisify } from "node:util";
import { DnsServer } from "../src/network/dns/index.ts";

const SECONDS = Number(process.argv[2] ?? 5);
const QUERIES = ["web A", "tasks.web A", "client A", "web.my-swarm-net A", "web AAAA", "3.1.0.10.in-addr.arpa PTR"];
const SANDBOXES = [`skep-bench-dns-a-${process.pid}`, `skep-bench-dns-b-${process.pid}`] as const;
const [FLOODED, OTHER] = SANDBOXES;

const run = promisify(execFile);
const dir = mkdtempSync(join(tmpdir(), "skep-bench-dns-"));
const file = join(dir, "queries");
writeFileSync(file, `${QUERIES.join("\n")}\n`);
const dns = new DnsServer({ log: { warn: (facts, message) => console.error(message, facts) } });
try {
  await setUp();
  for (const mode of ["udp", "tcp"]) await rate(mode);
  await flood();
} finally {
  await dns.stop();
  for (const netns of SANDBOXES) execFileSync("ip", ["netns", "del", netns]);
  rmSync(dir, { recursive: true });
}

async function setUp(): Promise<void> {
  dns.setNetwork("net1", "my-swarm-net");
  dns.setService("net1", { serviceId: "s1", name: "web", mode: "vip", vip: ["10.0.1.2"] });
  dns.setService("net1", { serviceId: "s2", name: "client", mode: "vip", vip: ["10.0.1.6"] });
  for (const slot of [1, 2]) {
    const name = `web.${slot}.ucbfvclfddubr69qk0b7k4cq${slot}`;
    const addresses = [`10.0.1.${slot + 2}`];
    dns.setEndpoint("net1", { id: `e${slot}`, serviceId: "s1", names: [name], addresses, ptrName: name });
  }
  const before = mib(process.memoryUsage().rss);
  await dns.start();
  for (const netns of SANDBOXES) {
    execFileSync("ip", ["netns", "add", netns]);
    execFileSync("ip", ["-n", netns, "link", "set", "lo", "up"]);
    await dns.listen({ sandboxId: netns, netnsPath: `/run/netns/${netns}`, networks: ["net1"] });
  }
  console.log(`resident with the thread: ${mib(process.memoryUsage().rss)}, before: ${before}`);
}

async function rate(mode: string): Promise<void> {
  const cpu = process.cpuUsage();
  const { qps, lost, latency } = await dnsperf(FLOODED, "-m", mode, "-c", "4");
  const used = process.cpuUsage(cpu);
  const cores = ((used.user + used.system) / 1e6 / SECONDS).toFixed(2);
  console.log(
    `${mode}: ${qps} queries/s, lost ${lost}, latency ${latency}; our CPU ${cores} cores, ${mib(process.memoryUsage().rss)}`,
  );
}

async function flood(): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const [, other] = await Promise.all([dnsperf(FLOODED, "-c", "4"), dnsperf(OTHER, "-c", "1", "-Q", "200")]);
  delay.disable();
  const ms = (ns: number): string => `${(ns / 1e6).toFixed(2)} ms`;
  console.log(`beside a flood: other sandbox lost ${other.lost}, latency ${other.latency}`);
  console.log(
    `beside a flood: daemon's loop late by ${ms(delay.percentile(50))} (median), ${ms(delay.percentile(99))} (99 %)`,
  );
}

async function dnsperf(netns: string, ...options: string[]): Promise<{ qps: string; lost: string; latency: string }> {
  const argv = ["netns", "exec", netns, "dnsperf", "-s", "127.0.0.11", "-d", file, "-l", `${SECONDS}`, ...options];
  const { stdout } = await run("ip", argv);
  const field = (name: string): string => new RegExp(`${name}:\\s*(.*)`).exec(stdout)?.[1] ?? "?";
  const qps = Number.parseFloat(field("Queries per second")).toFixed(0);
  return { qps, lost: field("Queries lost"), latency: field("Average Latency \\(s\\)") };
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
