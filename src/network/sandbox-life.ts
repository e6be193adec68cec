// The life of a sandbox, from the first wish for it to its end: what is done in which order in the kernel, the balancers and DNS. Its parts
// are made in sandbox.ts; who may do what at which time is node-network.ts's business, which calls this one at a time.
import type { NetworkId } from "../model/ids.ts";
import type { Desired, SandboxRecord, Stage } from "./desired.ts";
import { type DnsServer, userNdots } from "./dns/index.ts";
import type { GatewayBridge } from "./gateway-bridge.ts";
import type { Naming } from "./naming.ts";
import type { SandboxSpec } from "./port.ts";
import type { Sandboxes } from "./sandbox.ts";
import type { Sites } from "./sites.ts";

export interface SandboxLifeNeeds {
  readonly desired: Desired;
  readonly sandboxes: Sandboxes;
  readonly sites: Sites;
  readonly bridge: GatewayBridge;
  readonly naming: Naming;
  readonly dns: DnsServer;
}

export class SandboxLife {
  readonly #needs: SandboxLifeNeeds;

  constructor(needs: SandboxLifeNeeds) {
    this.#needs = needs;
  }

  /** Namespace, interfaces and files, on networks that are built if need be. One that fails at the first time leaves nothing. */
  async plumb(spec: SandboxSpec): Promise<SandboxRecord> {
    const { desired, sandboxes, sites, bridge } = this.#needs;
    const before = desired.sandboxes.get(spec.id);
    const ids = spec.attachments.map((a) => a.networkId);
    for (const id of ids) await sites.ensure(id);
    const isolated = ids.length > 0 && ids.every((id) => sites.of(id).network.internal);
    if (!isolated) await bridge.ensure();
    const gatewayAddress = isolated ? undefined : (before?.gatewayAddress ?? bridge.take());
    const record: SandboxRecord = { stage: "made", ...before, spec, gatewayAddress };
    this.#note(record);
    try {
      await sandboxes.plumb(record, (id) => sites.of(id).overlay);
      this.#writeFiles(record);
    } catch (e) {
      if (before === undefined) await this.forget(spec.id);
      throw e;
    }
    if (before !== undefined) this.#left(before, ids);
    return record;
  }

  /** The sandbox is on these networks only: what it was on besides forgets it. */
  #left(before: SandboxRecord, ids: readonly NetworkId[]): void {
    const { sites, naming } = this.#needs;
    const attachments = before.spec.attachments.filter((a) => !ids.includes(a.networkId));
    if (attachments.length === 0) return;
    const gone = { ...before, spec: { ...before.spec, attachments } };
    naming.deleteSandbox(gone);
    sites.forgetFlows(gone, { streams: true });
    for (const { networkId } of attachments) sites.removeIdle(networkId);
  }

  /** Opens its DNS. */
  async listen(record: SandboxRecord): Promise<void> {
    const { desired, sandboxes, dns } = this.#needs;
    const { id, attachments, dns: own } = record.spec;
    await dns.listen({
      sandboxId: id,
      netnsPath: sandboxes.describe(record).netnsPath,
      networks: attachments.map((a) => a.networkId),
      keepsShortNames: userNdots(own.options),
      ...(own.nameservers && { nameservers: own.nameservers }),
    });
    // It may have been removed while the sockets were opened.
    if (!desired.sandboxes.has(id)) await dns.close(id);
  }

  /** @throws SkepError "not_found" */
  setContainer(id: string, container: NonNullable<SandboxRecord["container"]>): void {
    const record = { ...this.#needs.desired.sandbox(id), container };
    this.#note(record);
    this.#writeFiles(record);
    if (record.stage !== "made") this.#needs.naming.setSandbox(record);
  }

  /**
   * Brings its endpoints to a stage, in balancers first and then in DNS; the other way round when they leave. @throws SkepError "not_found"
   */
  async move(id: string, stage: Stage): Promise<void> {
    const { desired, sites, naming, dns } = this.#needs;
    const before = desired.sandbox(id);
    const record = { ...before, stage };
    // What leaves does so even where its file cannot be written; what joins must be found again after a crash.
    if (stage === "joined") this.#note(record);
    else desired.setSandbox(record);
    const { serviceId } = record.spec;
    if (stage !== "joined") naming.setSandbox(record);
    if (serviceId !== undefined) await sites.rebalance([serviceId]);
    if (stage === "joined") {
      naming.setSandbox(record);
      const service = serviceId === undefined ? undefined : desired.services.get(serviceId);
      if (service !== undefined && service.mode === "dnsrr") naming.setService(service);
    }
    if (stage === "made" && before.stage !== "made") sites.forgetFlows(record, {});
    await dns.flush();
    if (stage !== "joined") this.#note(record);
  }

  /** Takes it away altogether; gone already is success. One that fails may be repeated: the record goes last. */
  async forget(id: string): Promise<void> {
    const { desired, sandboxes, sites, bridge, naming, dns } = this.#needs;
    const record = desired.sandboxes.get(id);
    if (record === undefined) return;
    await dns.close(id);
    naming.deleteSandbox(record);
    desired.setSandbox({ ...record, stage: "made" });
    await sites.rebalance(record.spec.serviceId === undefined ? [] : [record.spec.serviceId]);
    sites.forgetFlows(record, { streams: true });
    sandboxes.remove(id);
    if (record.gatewayAddress !== undefined) bridge.release(record.gatewayAddress);
    desired.deleteSandbox(id);
    this.#renameService(record);
    for (const { networkId } of record.spec.attachments) sites.removeIdle(networkId);
  }

  /** A service that has left a network has its names there no longer than its last task. */
  #renameService({ spec }: SandboxRecord): void {
    const { desired, naming } = this.#needs;
    const service = spec.serviceId === undefined ? undefined : desired.services.get(spec.serviceId);
    if (service === undefined) return;
    const balanced = desired.balancedOn(service);
    if (spec.attachments.some((a) => !balanced.includes(a.networkId))) naming.setService(service);
  }

  #writeFiles(record: SandboxRecord): void {
    const { sandboxes, sites } = this.#needs;
    sandboxes.writeFiles(record, (id: NetworkId) => sites.of(id).network.ingress);
  }

  #note(record: SandboxRecord): void {
    this.#needs.sandboxes.save(record);
    this.#needs.desired.setSandbox(record);
  }
}
