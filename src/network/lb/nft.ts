// The driver for kernels without ip_vs (and as good with it): nftables maps. The rules' text is in nft-rules.ts. This file decides what to
// run, and remembers of each namespace what the kernel has, so that a change costs its own size only.
import { setImmediate } from "node:timers/promises";
import { bytesToIp, createNetns, deleteNetns, ipToBytes, isErrno, KernelError, Nft } from "../../kernel/index.ts";
import type { Clock, Timer } from "../../model/clock.ts";
import { messageOf, SkepError } from "../../model/errors.ts";
import type { BalancerState, LbDriver, VirtualService } from "./driver.ts";
import { fits, readComments, readVips, replacePick } from "./nft-direct.ts";
import { NftSocket } from "./nft-netlink.ts";
import { readTable } from "./nft-read.ts";
import {
  baseRules,
  baseVersion,
  chainOf,
  digestIn,
  digestOf,
  FAMILIES,
  type Family,
  familyOf,
  hasFamily,
  markOfChain,
  type Pick,
  pickOf,
  removeServiceRules,
  serviceRules,
  TABLE,
  versionIn,
} from "./nft-rules.ts";

/** Services in one transaction when there are many to program: about a millisecond's work. */
const BATCH = 16;
/** By then the kernel has freed what transactions removed, for which it would make whoever closes a socket wait. */
const CLOSE_AFTER_MS = 1000;

/** What the kernel has of a service, by its rule's comment and its elements. */
interface KnownService {
  readonly digest: string;
  readonly vips: readonly string[];
}

interface Known {
  readonly services: Map<number, KnownService>;
  /** Version of the base rules; "" when there are none. */
  base: string;
}

interface Context {
  readonly nft: Nft;
  readonly socket: NftSocket;
  readonly known: Map<Family, Known>;
}

/** One service's change in one family: a script, or its chain's new rule, which goes a quicker way. */
interface Step {
  readonly script: string;
  readonly direct?: { readonly family: Family; readonly chain: string; readonly pick: Pick };
  done(): void;
}

export class NftDriver implements LbDriver {
  readonly name = "nft";
  readonly #contexts = new Map<string, Context>();
  readonly #closing = new Map<Context, Timer>();
  readonly #probePath: string;
  readonly #clock: Clock | undefined;

  /**
   * @param needs.probePath a file that may be used for a moment to hold a namespace for `check`
   * @param needs.clock with it, namespaces are let go of a second after `close`, when that costs nothing
   */
  constructor(needs: { readonly probePath: string; readonly clock?: Clock }) {
    this.#probePath = needs.probePath;
    this.#clock = needs.clock;
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
      this.close(probe);
      deleteNetns(probe);
    }
  }

  async ensure(netns: string, desired: BalancerState, options: { readonly keepOthers?: boolean } = {}): Promise<void> {
    const { nft, known } = await this.#context(netns);
    for (const source of desired.sources) {
      const family = familyOf(source);
      const have = known.get(family)!;
      const version = baseVersion(family, source);
      if (have.base !== version) nft.run(baseRules(family, source));
      have.base = version;
    }
    await this.ensureServices(netns, desired.services);
    if (options.keepOthers) return;
    const wanted = new Set(desired.services.map((s) => s.mark));
    await this.removeServices(
      netns,
      (await this.marks(netns)).filter((mark) => !wanted.has(mark)),
    );
  }

  async ensureServices(netns: string, services: readonly VirtualService[]): Promise<void> {
    await this.#run(netns, services, (service, family, have) => this.#step(family, have, service));
  }

  async removeServices(netns: string, marks: readonly number[]): Promise<void> {
    await this.#run(netns, marks, (mark, family, have) => {
      const old = have.services.get(mark);
      return old && this.#removal(family, have, mark, old.vips);
    });
  }

  async marks(netns: string): Promise<readonly number[]> {
    const { known } = await this.#context(netns);
    return [...new Set([...known.values()].flatMap((have) => [...have.services.keys()]))];
  }

  async list(netns: string): Promise<BalancerState | undefined> {
    const { nft } = await this.#context(netns);
    const tables = FAMILIES.flatMap((family) => {
      try {
        return [readTable(family, nft.json(`list table ${family} ${TABLE}`))];
      } catch (e) {
        if (isErrno(e, "ENOENT")) return []; // no table, no balancer of that family
        throw e;
      }
    });
    if (tables.length === 0) return undefined;
    const services = new Map<number, VirtualService>();
    for (const one of tables.flatMap((t) => t.services)) {
      const other = services.get(one.mark);
      const both = other && {
        ...one,
        vips: [...other.vips, ...one.vips],
        servers: [...other.servers, ...one.servers],
      };
      services.set(one.mark, both ?? one);
    }
    const sources = tables.flatMap((t) => (t.source === undefined ? [] : [t.source]));
    return { sources, services: [...services.values()] };
  }

  close(netns?: string): void {
    if (netns !== undefined) {
      this.#close(netns, this.#clock);
      return;
    }
    for (const path of [...this.#contexts.keys()]) this.#close(path);
    for (const [context, timer] of this.#closing) {
      timer.cancel();
      release(context);
    }
    this.#closing.clear();
  }

  /** What there is to be done for a service in a family, if anything. */
  #step(family: Family, have: Known, service: VirtualService): Step | undefined {
    const old = have.services.get(service.mark);
    if (!hasFamily(service, family)) return old && this.#removal(family, have, service.mark, old.vips);
    const digest = digestOf(family, service);
    const vips = service.vips.filter((vip) => familyOf(vip) === family).map(canonical);
    const sameVips = old !== undefined && [...old.vips].sort().join() === [...vips].sort().join();
    if (sameVips && old.digest === digest) return undefined;
    const pick = pickOf(family, service);
    return {
      script: serviceRules(family, service, old?.vips),
      ...(sameVips && fits(pick) && { direct: { family, chain: chainOf(service.mark), pick } }),
      done: () => have.services.set(service.mark, { digest, vips }),
    };
  }

  #removal(family: Family, have: Known, mark: number, vips: readonly string[]): Step {
    return { script: removeServiceRules(family, mark, vips), done: () => have.services.delete(mark) };
  }

  /** A few services at a time. A batch that fails changed nothing, and what is known of the kernel is dropped. */
  async #run<T>(
    netns: string,
    items: readonly T[],
    stepFor: (item: T, family: Family, have: Known) => Step | undefined,
  ): Promise<void> {
    for (let i = 0; i < items.length; i += BATCH) {
      if (i > 0) await setImmediate();
      const { nft, socket, known } = await this.#context(netns);
      const batch = items
        .slice(i, i + BATCH)
        .flatMap((item) => FAMILIES.flatMap((family) => stepFor(item, family, known.get(family)!) ?? []));
      try {
        const rest = batch.filter((step) => !this.#direct(socket, step));
        if (rest.length > 0) nft.run(rest.map((s) => s.script).join(""));
      } catch (e) {
        this.#close(netns, this.#clock);
        throw e;
      }
      for (const step of batch) step.done();
    }
  }

  /** Whether the quicker way was open, and has been gone. Where the kernel refuses, libnftables tries, and says what is wrong. */
  #direct(socket: NftSocket, { direct }: Step): boolean {
    if (direct === undefined) return false;
    try {
      replacePick(socket, direct.family, direct.chain, direct.pick);
      return true;
    } catch (e) {
      if (e instanceof KernelError) return false;
      throw e;
    }
  }

  async #context(netns: string): Promise<Context> {
    const open = this.#contexts.get(netns);
    if (open !== undefined) return open;
    const known = new Map<Family, Known>();
    for (const family of FAMILIES) known.set(family, await readKnown(netns, family));
    const nft = Nft.open(netns);
    try {
      const context = { nft, socket: new NftSocket(netns), known };
      this.#contexts.set(netns, context);
      return context;
    } catch (e) {
      nft.close();
      throw e;
    }
  }

  #close(netns: string, clock?: Clock): void {
    const context = this.#contexts.get(netns);
    this.#contexts.delete(netns);
    if (context === undefined) return;
    const timer = clock?.after(CLOSE_AFTER_MS, () => {
      this.#closing.delete(context);
      release(context);
    });
    if (timer === undefined) release(context);
    else this.#closing.set(context, timer);
  }
}

/** Reads what the kernel has; with a thousand services each part takes some milliseconds. */
async function readKnown(netns: string, family: Family): Promise<Known> {
  const comments = readComments(netns, family);
  await setImmediate();
  const vips = readVips(netns, family);
  await setImmediate();
  const services = new Map<number, KnownService>();
  for (const [chain, comment] of comments) {
    const mark = markOfChain(chain);
    if (mark !== undefined) services.set(mark, { digest: digestIn(comment), vips: vips.get(mark) ?? [] });
  }
  return { services, base: versionIn(comments.get("postrouting") ?? "") };
}

function release({ nft, socket }: Context): void {
  nft.close();
  socket.close();
}

function canonical(address: string): string {
  return bytesToIp(ipToBytes(address));
}
