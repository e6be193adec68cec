// How many queries a second the embedded DNS answers, asked by dnsperf from inside a sandbox, as issue 2 wants it measured: 4 clients, daemon
// and dnsperf on the same machine. Run: node bench/dns.ts [seconds]. What was found is in dns.md.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DnsServer } from "../src/network/dns/index.ts";

const SECONDS = Number(process.argv[2] ?? 5);
const NETNS = `skep-bench-dns-${process.pid}`;
const QUERIES = ["web A", "tasks.web A", "client A", "web.my-swarm-net A", "web AAAA", "3.1.0.10.in-addr.arpa PTR"];

const dir = mkdtempSync(join(tmpdir(), "skep-bench-dns-"));
const dns = new DnsServer({ log: { warn: (facts, message) => console.error(message, facts) } });
execFileSync("ip", ["netns", "add", NETNS]);
try {
  execFileSync("ip", ["-n", NETNS, "link", "set", "lo", "up"]);
  dns.setNetwork("net1", "my-swarm-net");
  dns.setService("net1", { serviceId: "s1", name: "web", mode: "vip", vip: ["10.0.1.2"] });
  dns.setService("net1", { serviceId: "s2", name: "client", mode: "vip", vip: ["10.0.1.6"] });
  for (const slot of [1, 2]) {
    const names = [`web.${slot}.ucbfvclfddubr69qk0b7k4cq${slot}`];
    dns.setEndpoint("net1", {
      id: `e${slot}`,
      serviceId: "s1",
      names,
      addresses: [`10.0.1.${slot + 2}`],
      ptrName: names[0]!,
    });
  }
  const rssBefore = process.memoryUsage().rss;
  await dns.start();
  await dns.listen({ sandboxId: "bench", netnsPath: `/run/netns/${NETNS}`, networks: ["net1"], fresh: true });
  console.log(`resident with the thread: ${mib(process.memoryUsage().rss)} (${mib(rssBefore)} before)`);
  const file = join(dir, "queries");
  writeFileSync(file, `${QUERIES.join("\n")}\n`);
  for (const mode of ["udp", "tcp"]) {
    const cpu = process.cpuUsage();
    const argv = [
      "netns",
      "exec",
      NETNS,
      "dnsperf",
      "-s",
      "127.0.0.11",
      "-m",
      mode,
      "-d",
      file,
      "-c",
      "4",
      "-l",
      `${SECONDS}`,
    ];
    const { stdout } = spawnSync("ip", argv, { encoding: "utf8" });
    const used = process.cpuUsage(cpu);
    const line = (name: string): string => new RegExp(`${name}.*`).exec(stdout)?.[0] ?? `no "${name}"`;
    console.log(`${mode}: ${line("Queries per second")}; ${line("Queries lost")}; ${line("Average Latency")}`);
    console.log(
      `${mode}: our CPU ${((used.user + used.system) / 1e6 / SECONDS).toFixed(2)} cores, resident ${mib(process.memoryUsage().rss)}`,
    );
  }
} finally {
  await dns.stop();
  execFileSync("ip", ["netns", "del", NETNS]);
  rmSync(dir, { recursive: true });
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
