// Taking over what an earlier daemon left, removing what nothing names, and leaving the host as it was found. node-network.ts calls this, one
// at a time.
import { rmdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { deleteNetns, isErrno, isNetns, listNetns, removeNetnsDir } from "../kernel/index.ts";
import type { NetworkAssignment, ServiceAssignment } from "../model/assignment.ts";
import { messageOf } from "../model/errors.ts";
import { linkDockerNetns, unlinkDockerNetns } from "./docker-netns.ts";
import { kindOfNetns, netnsDir, sandboxNetns } from "./names.ts";
import { removeOverlay } from "./overlay.ts";
import type { Plane } from "./plane.ts";
import { readJson } from "./state-file.ts";

/** The exec root of a host's one daemon: only that one's namespaces are shown where Docker's would be. */
const DEFAULT_EXEC_ROOT = "/run/skep";

/** Learns from files and kernel what an earlier daemon had, opens DNS for it, and repairs what a crash left half done. Removes nothing. */
export async function restore(plane: Plane, assignedPath: string): Promise<void> {
  const { desired, sandboxes, naming, marks, driver, bridge, log } = plane;
  if (plane.execRoot === DEFAULT_EXEC_ROOT) linkDockerNetns(netnsDir(plane.execRoot));
  const assigned = readJson<{ networks: NetworkAssignment[]; services: ServiceAssignment[] }>(assignedPath);
  const removed = { networks: [], services: [], tasks: [] };
  if (assigned !== undefined) desired.note({ full: true, ...assigned, removed });
  const records = sandboxes.load().filter((r) => isNetns(sandboxNetns(plane.execRoot, r.spec.id)));
  for (const record of records) {
    // A network that is unknown by now is one that `sweep` will take away with its sandbox.
    if (!record.spec.attachments.every((a) => desired.networks.has(a.networkId))) continue;
    desired.setSandbox(record);
    if (record.gatewayAddress !== undefined) bridge.claim(record.gatewayAddress);
  }
  for (const network of desired.networks.values()) {
    naming.setNetwork(network);
    if (desired.on(network.id).length === 0) continue;
    const site = plane.siteOf(network.id);
    if (site.balancer.built) {
      const there = await driver.list(site.balancer.netns);
      for (const { mark } of there?.services ?? []) marks.notBefore(mark);
    }
    await site.ensure(() => plane.servicesOn(network.id));
  }
  for (const service of desired.services.values()) naming.setService(service);
  for (const record of desired.sandboxes.values()) {
    naming.setSandbox(record);
    try {
      sandboxes.plumb(record, (id) => plane.siteOf(id).overlay);
      await plane.listen(record);
    } catch (e) {
      // One sandbox that cannot be taken over must not keep the others from it: the agent asks for it again, and hears the error then.
      log.warn({ "sandbox.id": record.spec.id, "error.message": messageOf(e) }, "cannot take over a sandbox");
    }
  }
  if (desired.sandboxes.size > 0) log.info({ sandboxes: desired.sandboxes.size }, "took over the sandboxes that run");
}

/** Removes every sandbox that is not known, and every namespace, service and VIP that no assignment and no sandbox names. */
export async function sweepStrays(plane: Plane, known: ReadonlySet<string>): Promise<void> {
  const { desired, sandboxes, sites } = plane;
  for (const id of [...desired.sandboxes.keys()]) if (!known.has(id)) await plane.forget(id);
  for (const [id, site] of [...sites]) {
    if (desired.on(id).length > 0 || desired.networks.has(id)) continue;
    sites.delete(id);
    await site.remove();
  }
  const wanted = new Set([...desired.sandboxes.keys()].map((id) => sandboxNetns(plane.execRoot, id)));
  for (const { overlay, balancer } of sites.values()) wanted.add(overlay.netns).add(balancer.netns);
  for (const path of listNetns(netnsDir(plane.execRoot))) {
    if (wanted.has(path) || kindOfNetns(basename(path)) === undefined) continue;
    removeNamespace(plane, path);
    plane.log.info({ "netns.path": path }, "removed a stray namespace");
  }
  sandboxes.removeStrayFiles(new Set(desired.sandboxes.keys()));
  for (const site of sites.values()) {
    if (site.ready) await site.balancer.prune(plane.servicesOn(site.network.id));
  }
}

/** Everything that is ours, whoever of us made it: works from what is there, not from what is remembered. */
export async function removeEverything(plane: Plane): Promise<void> {
  const { desired, execRoot, sites, bridge } = plane;
  for (const id of [...desired.sandboxes.keys()]) desired.deleteSandbox(id);
  for (const site of sites.values()) await site.remove();
  sites.clear();
  plane.driver.close();
  for (const path of listNetns(netnsDir(execRoot))) {
    if (kindOfNetns(basename(path)) !== undefined) removeNamespace(plane, path);
  }
  bridge.remove();
  unlinkDockerNetns(netnsDir(execRoot));
  try {
    removeNetnsDir(netnsDir(execRoot));
  } catch (e) {
    if (!isErrno(e, "ENOTEMPTY")) throw e; // somebody else put a namespace there: it stays, and the directory with it
    plane.log.warn({ "netns.dir": netnsDir(execRoot) }, "left a directory that holds namespaces of others");
  }
  for (const name of ["sandboxes", "network"]) rmSync(join(execRoot, name), { recursive: true, force: true });
  try {
    rmdirSync(execRoot);
  } catch (e) {
    if (!isErrno(e, "ENOENT", "ENOTEMPTY")) throw e; // other parts of the daemon have files there
  }
}

function removeNamespace(plane: Plane, path: string): void {
  plane.driver.close(path);
  if (basename(path).startsWith("1-")) removeOverlay(path);
  else deleteNetns(path);
}
