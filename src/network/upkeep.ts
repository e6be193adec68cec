// Taking over what an earlier daemon left, removing what nothing names, and leaving the host as it was found. node-network.ts calls this, one
// at a time.
import { rmdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { isErrno, isNetns, removeNetnsDir } from "../kernel/index.ts";
import { messageOf } from "../model/errors.ts";
import type { AssignedFile } from "./assigned-file.ts";
import { netnsDir, sandboxNetns } from "./names.ts";
import { removeOverlay } from "./overlay.ts";
import type { Plane } from "./plane.ts";

/** Learns from files and kernel what an earlier daemon had, opens DNS for it, and repairs what a crash left half done. Removes nothing. */
export async function restore(plane: Plane, file: AssignedFile): Promise<void> {
  const { desired, sandboxes, naming, sites, bridge, log } = plane;
  plane.view?.start(plane.namespaces.all().filter(isNetns));
  const assigned = file.read();
  const removed = { networks: [], services: [], tasks: [] };
  if (assigned !== undefined) desired.note({ full: true, ...assigned, removed });
  await setImmediate();
  const records = sandboxes.load().filter((r) => isNetns(sandboxNetns(plane.execRoot, r.spec.id)));
  for (const record of records) {
    // A network that is unknown by now is one that `sweep` will take away with its sandbox.
    if (!record.spec.attachments.every((a) => desired.networks.has(a.networkId))) continue;
    desired.setSandbox(record);
    if (record.gatewayAddress !== undefined) bridge.claim(record.gatewayAddress);
  }
  for (const network of desired.networks.values()) {
    naming.setNetwork(network);
    if (network.ingress) await sites.renew(network.id);
    else if (desired.on(network.id).length > 0) await sites.ensure(network.id);
  }
  await setImmediate(); // with many services each part takes some milliseconds
  for (const service of desired.services.values()) naming.setService(service);
  await setImmediate();
  for (const record of desired.sandboxes.values()) {
    naming.setSandbox(record);
    try {
      if (record.gatewayAddress !== undefined) await bridge.ensure();
      await sandboxes.plumb(record, (id) => sites.of(id).overlay);
      await plane.life.listen(record);
    } catch (e) {
      // One sandbox that cannot be taken over must not keep the others from it: the agent asks for it again, and hears the error then.
      log.warn({ "sandbox.id": record.spec.id, "error.message": messageOf(e) }, "cannot take over a sandbox");
    }
  }
  if (desired.sandboxes.size > 0) log.info({ sandboxes: desired.sandboxes.size }, "took over the sandboxes that run");
}

/** Removes every sandbox that is not known, and every namespace, service and VIP of ours that no assignment and no sandbox names. */
export async function sweepStrays(plane: Plane, known: ReadonlySet<string>): Promise<void> {
  const { desired, sandboxes, sites } = plane;
  for (const id of [...desired.sandboxes.keys()]) if (!known.has(id)) await plane.life.forget(id);
  for (const site of sites.all()) sites.removeIdle(site.network.id);
  const wanted = new Set([...desired.sandboxes.keys()].map((id) => sandboxNetns(plane.execRoot, id)));
  for (const { overlay, balancer } of sites.all()) wanted.add(overlay.netns).add(balancer.netns);
  for (const path of plane.namespaces.all()) {
    if (wanted.has(path)) continue;
    removeNamespace(plane, path);
    plane.log.info({ "netns.path": path }, "removed a stray namespace");
  }
  sandboxes.removeStrayFiles(new Set(desired.sandboxes.keys()));
  for (const site of sites.ready()) await site.balancer.prune(sites.servicesOn(site.network.id));
}

/** Everything that is ours, whoever of us made it: works from what is on file and there, not from what is remembered. */
export async function removeEverything(plane: Plane): Promise<void> {
  const { desired, execRoot, sites, bridge } = plane;
  for (const id of [...desired.sandboxes.keys()]) desired.deleteSandbox(id);
  sites.removeAll();
  for (const path of plane.namespaces.all()) removeNamespace(plane, path);
  await plane.chores.close();
  plane.driver.close();
  await bridge.remove();
  plane.view?.stop();
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
  if (basename(path).startsWith("1-")) removeOverlay(path, plane);
  else plane.namespaces.delete(path);
}
