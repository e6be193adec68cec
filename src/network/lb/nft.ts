// The driver for kernels without ip_vs (and as good with it): nftables maps. The rules' text is in nft-rules.ts. This file decides what to
// run, and remembers of each namespace what the kernel has, so that a change costs its own size only.

import { createNetns, deleteNetns, isErrno, Nft } from "../../kernel/index.ts";
import { messageOf, SkepError } from "../../model/errors.ts";
import type { BalancerState, LbDriver, VirtualService } from "./driver.ts";
import { readTable } from "./nft-read.ts";
import {
  baseRules,
  baseVersion,
  FAMILIES,
  type Family,
  familyOf,
  hasFamily,
  removeServiceRules,
  serviceRules,
  shapeOf,
  TABLE,
} from "./nft-rules.ts";

/** Services in one transaction when there are many to program: about a millisecond's work. */
const BATCH = 16;

interface Known {
  /** The rules' shape and VIPs of each service, by mark. */
  readonly services: Map<number, { readonly shape: string; readonly vips: readonly string[] }>;
  base: boolean;
}

interface Context {
  readonly nft: Nft;
  readonly known: Map<Family, Known>;
}

export class NftDriver implements LbDriver {
  readonly name = "nft";
  readonly #contexts = new Map<string, Context>();
  readonly #probePath: string;
  readonly #pause: () => Promise<void>;

  /**
   * @param needs.probePath a file that may be used for a moment to hold a namespace for `check`
   * @param needs.pause lets others run between two batches
   */
  constructor(needs: { readonly probePath: string; readonly pause?: () => Promise<void> }) {
    this.#probePath = needs.probePath;
    this.#pause = needs.pause ?? (() => new Promise((resolve) => setImmediate(resolve)));
  }

  async check(): Promise<void> {
    const probe = this.#probePath;
    try {
      createNetns(probe);
      const service: VirtualService = {
        mark: 256,
        name: "probe",
        vips: ["192.0.2.1"],
        scheduler: "rr",
        servers: [{ address: "192.0.2.2", weight: 1, name: "probe.1" }],
      };
      await this.ensure(probe, { sources: ["192.0.2.3"], services: [service] });
    } catch (e) {
      const why = messageOf(e);
      throw new SkepError("unavailable", `cannot balance with nftables on this kernel: ${why}`, {}, e);
    } finally {
      this.#close(probe);
      deleteNetns(probe);
    }
  }

  async ensure(netns: string, desired: BalancerState, options: { readonly keepOthers?: boolean } = {}): Promise<void> {
    const { nft, known } = this.#context(netns);
    for (const source of desired.sources) {
      const family = familyOf(source);
      const have = known.get(family)!;
      if (!have.base || this.#baseOf(nft, family) !== baseVersion(family, source)) nft.run(baseRules(family, source));
      have.base = true;
    }
    await this.ensureServices(netns, desired.services);
    if (options.keepOthers) return;
    const wanted = new Set(desired.services.map((s) => s.mark));
    const stray = [...known.values()].flatMap((k) => [...k.services.keys()]).filter((mark) => !wanted.has(mark));
    await this.removeServices(netns, [...new Set(stray)]);
  }

  async ensureServices(netns: string, services: readonly VirtualService[]): Promise<void> {
    const { nft, known } = this.#context(netns);
    const steps: { script: string; done: () => void }[] = [];
    for (const service of services) {
      for (const family of FAMILIES) {
        const have = known.get(family)!;
        const old = have.services.get(service.mark);
        if (!hasFamily(service, family)) {
          if (old !== undefined) steps.push(this.#removal(family, have, service.mark, old.vips));
          continue;
        }
        const shape = shapeOf(family, service);
        if (old?.shape === shape) continue;
        const vips = service.vips.filter((vip) => familyOf(vip) === family);
        const script = serviceRules(family, service, old?.vips);
        steps.push({ script, done: () => have.services.set(service.mark, { shape, vips }) });
      }
    }
    await this.#run(nft, steps);
  }

  async removeServices(netns: string, marks: readonly number[]): Promise<void> {
    const { nft, known } = this.#context(netns);
    const steps = marks.flatMap((mark) =>
      FAMILIES.flatMap((family) => {
        const have = known.get(family)!;
        const old = have.services.get(mark);
        return old === undefined ? [] : [this.#removal(family, have, mark, old.vips)];
      }),
    );
    await this.#run(nft, steps);
  }

  async list(netns: string): Promise<BalancerState | undefined> {
    const tables = this.#read(this.#context(netns).nft);
    if (tables.size === 0) return undefined;
    const services = new Map<number, VirtualService>();
    for (const { services: found } of tables.values()) {
      for (const one of found) {
        const other = services.get(one.mark);
        const both = other && {
          ...one,
          vips: [...other.vips, ...one.vips],
          servers: [...other.servers, ...one.servers],
        };
        services.set(one.mark, both ?? one);
      }
    }
    const sources = [...tables.values()].flatMap((t) => (t.source === undefined ? [] : [t.source]));
    return { sources, services: [...services.values()] };
  }

  async remove(netns: string): Promise<void> {
    try {
      const { nft } = this.#context(netns);
      for (const family of FAMILIES) nft.run(`table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\n`);
    } catch (e) {
      if (!isErrno(e, "ENOENT")) throw e; // the namespace is gone, and its rules with it
    } finally {
      this.#close(netns);
    }
  }

  /** Lets go of a namespace (or all), which an open context would keep alive. */
  close(netns?: string): void {
    for (const path of netns === undefined ? [...this.#contexts.keys()] : [netns]) this.#close(path);
  }

  #removal(family: Family, have: Known, mark: number, vips: readonly string[]): { script: string; done: () => void } {
    return { script: removeServiceRules(family, mark, vips), done: () => have.services.delete(mark) };
  }

  /** A few services at a time, each batch one transaction. A batch that fails changed nothing, and what is known of the kernel is dropped. */
  async #run(nft: Nft, steps: readonly { script: string; done: () => void }[]): Promise<void> {
    for (let i = 0; i < steps.length; i += BATCH) {
      if (i > 0) await this.#pause();
      const batch = steps.slice(i, i + BATCH);
      try {
        nft.run(batch.map((s) => s.script).join(""));
      } catch (e) {
        for (const [path, context] of this.#contexts) if (context.nft === nft) this.#close(path);
        throw e;
      }
      for (const step of batch) step.done();
    }
  }

  #context(netns: string): Context {
    const open = this.#contexts.get(netns);
    if (open !== undefined) return open;
    const nft = Nft.open(netns);
    try {
      const tables = this.#read(nft);
      const known = new Map<Family, Known>();
      for (const family of FAMILIES) {
        const table = tables.get(family);
        const services = (table?.services ?? []).map(
          (s) => [s.mark, { shape: shapeOf(family, s), vips: s.vips }] as const,
        );
        known.set(family, { services: new Map(services), base: table !== undefined });
      }
      const context = { nft, known };
      this.#contexts.set(netns, context);
      return context;
    } catch (e) {
      nft.close();
      throw e;
    }
  }

  #read(nft: Nft): Map<Family, ReturnType<typeof readTable>> {
    const tables = new Map<Family, ReturnType<typeof readTable>>();
    for (const family of FAMILIES) {
      try {
        tables.set(family, readTable(family, nft.json(`list table ${family} ${TABLE}`)));
      } catch (e) {
        if (!isErrno(e, "ENOENT")) throw e; // no table, no balancer of that family
      }
    }
    return tables;
  }

  #baseOf(nft: Nft, family: Family): string {
    return (
      /base [0-9a-f]{8}/.exec(
        readTable(family, nft.json(`list chain ${family} ${TABLE} postrouting`)).baseComment,
      )?.[0] ?? ""
    );
  }

  #close(netns: string): void {
    this.#contexts.get(netns)?.nft.close();
    this.#contexts.delete(netns);
  }
}
