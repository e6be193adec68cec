// Everything the allocator remembers beside the store: who holds which address and port. A cache: `openBooks` writes it anew from the store.
import { FIRST_VNI } from "../../model/address-pool.ts";
import type { NetworkId, ServiceId } from "../../model/ids.ts";
import type { Log } from "../../model/log.ts";
import type { Cidr, Task } from "../../model/objects.ts";
import type { View } from "../../store/index.ts";
import { isFinished, isGiven } from "../task-life.ts";
import { NetworkPools } from "./network-pools.ts";
import { PortBook } from "./port-book.ts";

export interface Books {
  readonly pools: NetworkPools;
  readonly ports: PortBook;
  /** Where to look for the next VXLAN id. */
  nextVni: number;
}

/**
 * The first of the two passes at the start: what stored objects hold is reclaimed before anything is handed out. The newest holder comes
 * last, so that each subnet goes on where it had stopped.
 */
export function openBooks(view: View, log: Log): Books {
  const books: Books = { pools: new NetworkPools(), ports: new PortBook(), nextVni: FIRST_VNI };
  for (const network of view.all("network")) {
    books.pools.open(network);
    books.nextVni = Math.max(books.nextVni, (network.driverState?.vni ?? 0) + 1);
  }
  const reclaim = (id: NetworkId, addr: Cidr, owner: string) => {
    if (!books.pools.reclaim(id, addr, owner))
      log.error({ "network.id": id, address: addr, owner }, "address is not this owner's to have: left to the other");
  };
  for (const node of view.all("node")) {
    for (const a of node.attachments) for (const addr of a.addresses) reclaim(a.networkId, addr, node.id);
  }
  for (const holder of [...view.all("service"), ...view.all("task")].sort(byAge)) {
    if (holder.kind === "service") {
      for (const vip of holder.endpoint?.virtualIPs ?? []) {
        for (const addr of [vip.addr, ...(vip.addr6 ? [vip.addr6] : [])]) reclaim(vip.networkId, addr, holder.id);
      }
      books.ports.reclaim(holder.endpoint?.ports ?? [], holder.id as ServiceId);
    } else if (holdsAddresses(holder)) {
      for (const a of holder.networks.filter(isGiven)) {
        for (const addr of a.addresses) reclaim(a.networkId, addr, holder.id);
      }
    }
  }
  return books;
}

/** Until the task has really stopped. A new task's addresses are only asked for, not given yet. */
export function holdsAddresses(task: Task): boolean {
  return task.status.state !== "new" && !isFinished(task);
}

/** Oldest first; tasks made in one go, by slot. */
export function byAge(a: Aged, b: Aged): number {
  return (
    compare(a.createdAt, b.createdAt) ||
    compare(a.serviceName ?? "", b.serviceName ?? "") ||
    (a.slot ?? 0) - (b.slot ?? 0) ||
    compare(a.id, b.id)
  );
}

interface Aged {
  readonly id: string;
  readonly createdAt: string;
  readonly serviceName?: string;
  readonly slot?: number;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
