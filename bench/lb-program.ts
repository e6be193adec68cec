// What it costs to program a balancer: 1,000 services of 10 replicas from nothing, then one endpoint's change with 10, 100 and 1,000
// services there, and taking over. Run as root: node bench/lb-program.ts. Prints JSON.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNetns, deleteNetns, removeNetnsDir } from "../src/kernel/index.ts";
import type { VirtualService } from "../src/network/lb/driver.ts";
import { NftDriver } from "../src/network/lb/nft.ts";

const REPEATS = 21;
const sources = ["10.255.0.1"];

function service(n: number, replicas: number): VirtualService {
  const byte = (i: number): string => `${(i >> 8) & 255}.${i & 255}`;
  const servers = Array.from({ length: replicas }, (_, i) => ({
    address: `10.${100 + i}.${byte(n)}`,
    weight: 1,
    name: `s${n}.${i}`,
  }));
  return { mark: 256 + n, name: `s${n}`, vips: [`10.1.${byte(n)}`], scheduler: "rr", servers };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

const dir = mkdtempSync(join(tmpdir(), "skep-bench-"));
const results: Record<string, number> = {};
try {
  for (const count of [10, 100, 1000]) {
    const netns = join(dir, `lb${count}`);
    createNetns(netns);
    const driver = new NftDriver({ probePath: join(dir, "probe") });
    const services = Array.from({ length: count }, (_, n) => service(n, 10));
    results[`all_${count}_ms`] = await timed(() => driver.ensure(netns, { sources, services }));
    const changes: number[] = [];
    for (let i = 0; i < REPEATS; i++) {
      changes.push(await timed(() => driver.ensureServices(netns, [service(count >> 1, 9 + (i % 2))])));
    }
    results[`change_at_${count}_ms`] = median(changes.slice(1));
    driver.close();
    const next = new NftDriver({ probePath: join(dir, "probe") });
    results[`takeover_${count}_ms`] = await timed(() =>
      next.ensure(netns, { sources, services }, { keepOthers: true }),
    );
    next.close();
    deleteNetns(netns);
  }
} finally {
  removeNetnsDir(dir);
  rmSync(dir, { recursive: true, force: true });
}
console.log(JSON.stringify(results, (_, v) => (typeof v === "number" ? Math.round(v * 100) / 100 : v), 2));
