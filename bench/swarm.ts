// What a swarm on this machine costs: time to run 50 replicas, memory, CPU when idle, and how soon a dead task gets no more traffic.
// `node bench/swarm.ts`: takes a minute or two, and needs root. Figures are of this machine in this run; docs/performance.md puts them in context.
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { inNetns, Nft } from "../src/kernel/index.ts";
import { Host, until } from "../test/e2e/host.ts";

const REPLICAS = 50;
const IDLE_S = 10;
const KILLS = 10;
const TICKS_PER_S = 100; // USER_HZ, proc(5)

const host = await Host.swarm();
try {
  await host.docker("network", "create", "-d", "overlay", "bench");
  const idleMb = await settledMemory();
  const idleRss = rssMb([host.pid(), ...pidsOf("podman")]);
  row(
    "daemon + podman service, idle",
    `${idleMb.toFixed(0)} MB (${idleRss.toFixed(0)} MB resident, shared pages counted twice)`,
  );

  const created = performance.now();
  await host.docker(
    "service",
    "create",
    "-d",
    "--name",
    "web",
    "--network",
    "bench",
    "--replicas",
    `${REPLICAS}`,
    "--no-resolve-image",
    "containous/whoami",
  );
  await running("web", REPLICAS);
  row(`service create, ${REPLICAS} replicas until all run`, `${((performance.now() - created) / 1000).toFixed(2)} s`);

  const loadedMb = await settledMemory();
  const conmonMb = pssMb(pidsOf("conmon"));
  row("each task adds (daemon, podman, conmon)", `${((loadedMb - idleMb + conmonMb) / REPLICAS).toFixed(2)} MB`);

  const before = cpuS();
  await delay(IDLE_S * 1000);
  row(`CPU with ${REPLICAS} tasks and nothing to do`, `${(((cpuS() - before) / IDLE_S) * 100).toFixed(2)} % of a core`);

  const times: number[] = [];
  for (let i = 0; i < KILLS; i++) times.push(await deathToBalancer());
  times.sort((a, b) => a - b);
  row(
    "from a task's death to its address out of the balancer",
    `median ${median(times).toFixed(1)} ms, worst ${times.at(-1)!.toFixed(1)} ms`,
  );

  const removed = performance.now();
  await host.docker("service", "rm", "web");
  await until(async () => (await host.docker("ps", "-aq")) === "", "no container is left");
  row(`service rm, ${REPLICAS} replicas until all are gone`, `${((performance.now() - removed) / 1000).toFixed(2)} s`);
} finally {
  await host.remove();
}

/** Kills the process of one task and looks at the balancer's table, over and over, until the address is not in it any more. */
async function deathToBalancer(): Promise<number> {
  await running("web", REPLICAS);
  const id = (await host.docker("ps", "-q", "--no-trunc", "--filter", "name=web.")).split("\n")[0]!;
  const format = '{{.State.Pid}} {{(index .NetworkSettings.Networks "bench").IPAddress}}';
  const [pid, address] = (await host.docker("inspect", "--format", format, id)).split(" ");
  const lb = readdirSync(host.netnsDir).find((name) => name.startsWith("lb_"))!;
  const nft = inNetns(`${host.netnsDir}/${lb}`, () => Nft.open());
  const pattern = new RegExp(`\\b${address!.replaceAll(".", "\\.")}\\b`);
  const table = () => nft.run("list table ip skep");
  if (!pattern.test(table())) throw new Error(`${address} is not in the balancer's table`);
  const start = performance.now();
  process.kill(Number(pid), "SIGKILL");
  while (pattern.test(table())) await delay(0.5);
  const ms = performance.now() - start;
  nft.close();
  return ms;
}

async function running(service: string, wanted: number): Promise<void> {
  await until(async () => {
    const { body } = await host.api("GET", `/services?status=true&filters={"name":["${service}"]}`);
    return (body as { ServiceStatus: { RunningTasks: number } }[])[0]?.ServiceStatus.RunningTasks === wanted;
  }, `${wanted} tasks of ${service} run`);
}

/** Resident memory of the daemon and its Podman service, once it has stopped falling. */
async function settledMemory(): Promise<number> {
  let last = Number.POSITIVE_INFINITY;
  for (;;) {
    await delay(3000);
    const now = pssMb([host.pid(), ...pidsOf("podman")]);
    if (now > last - 2) return now;
    last = now;
  }
}

/** Processes of that name that belong to this host: its directory is in their command line. */
function pidsOf(name: string): number[] {
  return readdirSync("/proc")
    .filter((p) => /^\d+$/.test(p))
    .map(Number)
    .filter((pid) => {
      const argv = read(`/proc/${pid}/cmdline`).split("\0");
      return argv[0]?.endsWith(name) === true && argv.some((a) => a.includes(host.dir));
    });
}

/** Resident set size, as ps shows it. */
function rssMb(pids: readonly number[]): number {
  const kb = pids.map((pid) => Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0));
  return kb.reduce((a, b) => a + b, 0) / 1024;
}

/** Proportional set size: what is shared among processes counts once. */
function pssMb(pids: readonly number[]): number {
  const kb = pids.map((pid) => Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0));
  return kb.reduce((a, b) => a + b, 0) / 1024;
}

function cpuS(): number {
  const ticks = [host.pid(), ...pidsOf("podman")].map((pid) => {
    const fields = read(`/proc/${pid}/stat`).split(") ")[1]?.split(" ") ?? [];
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0); // utime and stime, fields 14 and 15 of proc(5)
  });
  return ticks.reduce((a, b) => a + b, 0) / TICKS_PER_S;
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // the process went meanwhile
  }
}

function median(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length / 2)]!;
}

function row(what: string, value: string): void {
  console.log(`${what.padEnd(60)} ${value}`);
}
