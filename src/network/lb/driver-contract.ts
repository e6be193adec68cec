// What every balancer driver promises (driver.ts), as tests that each of them runs: see nft.test.ts. They look at the kernel through the
// driver's `list` by a second instance, which has nothing to remember.
import { deepEqual, equal } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { createNetns, deleteNetns, removeNetnsDir } from "../../kernel/index.ts";
import type { BalancerState, LbDriver, VirtualService } from "./driver.ts";

const SOURCES = ["10.9.0.254"];

/** A service with replicas 10.9.1.1… of the weights given. */
export function aVirtualService(
  n: number,
  weights: readonly number[],
  more: Partial<VirtualService> = {},
): VirtualService {
  const servers = weights.map((weight, i) => ({ address: `10.9.1.${i + 1}`, weight, name: `s${n}.${i + 1}` }));
  return { mark: 256 + n, name: `s${n}`, vips: [`10.9.0.${n + 1}`], scheduler: "rr", servers, ...more };
}

export function driverContract(name: string, make: (probePath: string) => LbDriver): void {
  const world = (t: TestContext) => {
    const dir = mkdtempSync(join(tmpdir(), "skep-lb-"));
    const netns = join(dir, "ns", "lb");
    createNetns(netns);
    const made: LbDriver[] = [];
    const driver = (): LbDriver => {
      const d = make(join(dir, "ns", "probe"));
      made.push(d);
      return d;
    };
    t.after(() => {
      for (const d of made) d.close();
      deleteNetns(netns);
      removeNetnsDir(join(dir, "ns"));
      rmSync(dir, { recursive: true });
    });
    const inKernel = async (): Promise<BalancerState | undefined> => sorted(await driver().list(netns));
    return { netns, driver: driver(), another: driver, inKernel };
  };

  test(`${name}: works on this kernel`, async (t) => {
    await world(t).driver.check();
  });

  test(`${name}: what is desired is what the kernel has; nothing before`, async (t) => {
    const { driver, netns, inKernel } = world(t);
    equal(await inKernel(), undefined);
    const services = [aVirtualService(0, [1, 1]), aVirtualService(1, [2, 1]), aVirtualService(2, [])];
    await driver.ensure(netns, { sources: SOURCES, services });
    deepEqual(await inKernel(), { sources: SOURCES, services });
  });

  test(`${name}: by difference: services change, come and go, others stay`, async (t) => {
    const { driver, netns, inKernel } = world(t);
    const [a, b, c] = [aVirtualService(0, [1]), aVirtualService(1, [1, 1]), aVirtualService(2, [1])];
    await driver.ensure(netns, { sources: SOURCES, services: [a, b] });
    await driver.ensureServices(netns, [aVirtualService(0, [1, 1, 1]), c]);
    deepEqual((await inKernel())?.services, [aVirtualService(0, [1, 1, 1]), b, c]);
    await driver.removeServices(netns, [b.mark, 999]);
    await driver.removeServices(netns, [b.mark]);
    deepEqual((await inKernel())?.services, [aVirtualService(0, [1, 1, 1]), c]);
    await driver.ensure(netns, { sources: SOURCES, services: [a] }, { keepOthers: true });
    deepEqual((await inKernel())?.services, [a, c]);
    await driver.ensure(netns, { sources: SOURCES, services: [c] });
    deepEqual((await inKernel())?.services, [c]);
  });

  test(`${name}: a server of weight 0 takes no new connections`, async (t) => {
    const { driver, netns, inKernel } = world(t);
    await driver.ensure(netns, { sources: SOURCES, services: [aVirtualService(0, [1, 0])] });
    deepEqual((await inKernel())?.services, [aVirtualService(0, [1])]);
  });

  test(`${name}: a service's VIP, scheduler and the source may change`, async (t) => {
    const { driver, netns, inKernel } = world(t);
    await driver.ensure(netns, { sources: SOURCES, services: [aVirtualService(0, [1, 1]), aVirtualService(1, [1])] });
    const moved = aVirtualService(0, [1, 1], { vips: ["10.9.0.77", "10.9.0.78"], scheduler: "sh" });
    await driver.ensureServices(netns, [moved]);
    deepEqual((await inKernel())?.services, [moved, aVirtualService(1, [1])]);
    await driver.ensure(netns, { sources: ["10.9.0.253"], services: [moved] });
    deepEqual(await inKernel(), { sources: ["10.9.0.253"], services: [moved] });
  });

  test(`${name}: a successor with nothing to remember works on what is there`, async (t) => {
    const { driver, another, netns, inKernel } = world(t);
    await driver.ensure(netns, { sources: SOURCES, services: [aVirtualService(0, [1]), aVirtualService(1, [1])] });
    driver.close();
    const next = another();
    await next.ensure(netns, { sources: SOURCES, services: [aVirtualService(1, [1, 1])] });
    deepEqual((await inKernel())?.services, [aVirtualService(1, [1, 1])]);
  });

  test(`${name}: a namespace that was let go of may be deleted, made again, and worked in`, async (t) => {
    const { driver, netns, inKernel } = world(t);
    await driver.ensure(netns, { sources: SOURCES, services: [aVirtualService(0, [1])] });
    driver.close(netns);
    driver.close(netns);
    deleteNetns(netns);
    createNetns(netns);
    deepEqual(await driver.marks(netns), []);
    await driver.ensure(netns, { sources: SOURCES, services: [aVirtualService(1, [1])] });
    deepEqual((await inKernel())?.services, [aVirtualService(1, [1])]);
    deepEqual(await driver.marks(netns), [257]);
  });
}

/** Drivers list in any order. */
function sorted(state: BalancerState | undefined): BalancerState | undefined {
  if (state === undefined) return undefined;
  const services = state.services
    .map((s) => ({
      ...s,
      vips: [...s.vips].sort(),
      servers: [...s.servers].sort((a, b) => a.address.localeCompare(b.address)),
    }))
    .sort((a, b) => a.mark - b.mark);
  return { sources: state.sources, services };
}
