// A task's sandbox: its network namespace with every interface in place, its hosts and resolv.conf, and the record from which a later
// daemon knows it again. What it should be is in desired.ts; when it is made and removed is decided in node-network.ts.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { RtNetlink, writeSysctl } from "../kernel/index.ts";
import { messageOf, SkepError } from "../model/errors.ts";
import type { NetworkId } from "../model/ids.ts";
import { macOf } from "../model/ip.ts";
import type { SandboxRecord } from "./desired.ts";
import { hostsText, parseResolvConf, resolvConfText } from "./dns/index.ts";
import type { GatewayBridge } from "./gateway-bridge.ts";
import { prepareNetns } from "./links.ts";
import { endpointIdOf, sandboxKey, sandboxNetns } from "./names.ts";
import type { Namespaces } from "./namespaces.ts";
import type { Overlay } from "./overlay.ts";
import type { Sandbox } from "./port.ts";
import { readJson, writeJson } from "./state-file.ts";

/** What Docker sets in every container: programs need no capability to ping, nor for ports below 1024. */
const DEFAULT_SYSCTLS = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
} as const;

export class Sandboxes {
  readonly #execRoot: string;
  readonly #resolvConfPath: string;
  readonly #namespaces: Namespaces;
  readonly #bridge: GatewayBridge;

  constructor(needs: {
    readonly execRoot: string;
    readonly resolvConfPath: string;
    readonly namespaces: Namespaces;
    readonly bridge: GatewayBridge;
  }) {
    this.#execRoot = needs.execRoot;
    this.#namespaces = needs.namespaces;
    this.#resolvConfPath = needs.resolvConfPath;
    this.#bridge = needs.bridge;
  }

  /** What callers get to know of a sandbox. */
  describe(record: SandboxRecord): Sandbox {
    const { id, attachments } = record.spec;
    const dir = this.#dir(id);
    return {
      id,
      netnsPath: sandboxNetns(this.#execRoot, id),
      endpoints: attachments.map(({ networkId, addresses }, i) => ({
        networkId,
        endpointId: endpointIdOf(id, networkId),
        interfaceName: `eth${i}`,
        mac: macOf(addresses[0] ?? "0.0.0.0"),
        addresses,
      })),
      gatewayAddress: record.gatewayAddress,
      gatewayEndpointId: record.gatewayAddress === undefined ? undefined : endpointIdOf(id, "gateway"),
      files: { hosts: join(dir, "hosts"), resolvConf: join(dir, "resolv.conf") },
    };
  }

  /**
   * Makes namespace and interfaces as far as they are missing. The networks come first, in order, the gateway bridge last, with the default
   * route. @throws KernelError; SkepError "invalid" for a sysctl that the kernel refuses
   */
  async plumb(record: SandboxRecord, overlayOf: (id: NetworkId) => Overlay): Promise<void> {
    const { id, attachments, sysctls } = record.spec;
    const netns = sandboxNetns(this.#execRoot, id);
    this.#namespaces.create(netns);
    using rt = RtNetlink.open(netns);
    if (rt.link("lo")?.up !== true) {
      prepareNetns(netns, rt, { ipv6: attachments.some((a) => a.addresses.some((cidr) => cidr.includes(":"))) });
      setSysctls(netns, { ...DEFAULT_SYSCTLS, ...sysctls });
    }
    for (const [i, { networkId, addresses }] of attachments.entries()) {
      await setImmediate(); // each part takes a millisecond or more
      overlayOf(networkId).plug(rt, { netns, name: `eth${i}`, addresses });
    }
    if (record.gatewayAddress === undefined) return;
    await setImmediate();
    this.#bridge.plug(rt, { owner: id, netns, name: `eth${attachments.length}`, address: record.gatewayAddress });
  }

  /** Puts hosts and resolv.conf where the container will see them. They may be mounted already, so they are written in place. */
  writeFiles(record: SandboxRecord, ingress: (id: NetworkId) => boolean): void {
    const { hosts, resolvConf } = this.describe(record).files;
    const { spec, container } = record;
    const overlay = spec.attachments.find((a) => !ingress(a.networkId));
    const address = overlay?.addresses[0] ?? record.gatewayAddress;
    const self = container && address !== undefined ? { address, hostname: container.hostname } : undefined;
    mkdirSync(this.#dir(spec.id), { recursive: true });
    rewrite(hosts, hostsText(spec.hosts, self));
    const { search, options } = spec.dns;
    const service = { ...(search && { search }), ...(options && { options }) };
    rewrite(resolvConf, resolvConfText(service, this.#hostResolver()));
  }

  /** On file before the kernel has it, so that nothing is ever in the kernel that no record names. */
  save(record: SandboxRecord): void {
    writeJson(join(this.#dir(record.spec.id), "sandbox.json"), record);
  }

  /** The records of an earlier daemon. */
  load(): SandboxRecord[] {
    return this.#dirs().flatMap((dir) => readJson<SandboxRecord>(join(dir, "sandbox.json")) ?? []);
  }

  /** Takes away the namespace (its interfaces go with it) and the files. */
  remove(id: string): void {
    this.#namespaces.delete(sandboxNetns(this.#execRoot, id));
    rmSync(this.#dir(id), { recursive: true, force: true });
  }

  /** Removes directories that belong to none of these sandboxes. */
  removeStrayFiles(known: ReadonlySet<string>): void {
    const keep = new Set([...known].map((id) => this.#dir(id)));
    for (const dir of this.#dirs()) if (!keep.has(dir)) rmSync(dir, { recursive: true, force: true });
  }

  #dir(id: string): string {
    return join(this.#execRoot, "sandboxes", sandboxKey(id));
  }

  #dirs(): string[] {
    try {
      return readdirSync(join(this.#execRoot, "sandboxes")).map((name) => join(this.#execRoot, "sandboxes", name));
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw e;
    }
  }

  #hostResolver(): { readonly search: readonly string[]; readonly options: readonly string[] } {
    try {
      return parseResolvConf(readFileSync(this.#resolvConfPath, "utf8"));
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return { search: [], options: [] };
      throw e;
    }
  }
}

function setSysctls(netns: string, sysctls: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(sysctls)) {
    if (!name.startsWith("net.")) continue; // not the network's: the engine's to set
    try {
      writeSysctl(netns, name, value);
    } catch (e) {
      throw new SkepError("invalid", `cannot set sysctl ${name} to "${value}": ${messageOf(e)}`, {}, e);
    }
  }
}

function rewrite(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o644 });
}
