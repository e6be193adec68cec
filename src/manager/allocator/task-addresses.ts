// The addresses of a task: one a family on each of its networks. Services' are in service-endpoint.ts, nodes' in node-attachments.ts.
import { SkepError } from "../../model/errors.ts";
import type { Network, NetworkAttachment, Service, Task } from "../../model/objects.ts";
import { usesIngress } from "../../model/published-ports.ts";
import type { NetworkAttachmentConfig } from "../../model/spec.ts";
import type { View } from "../../store/index.ts";
import { networkConfigs } from "../task-life.ts";
import type { Books } from "./books.ts";
import { allocatedNetwork, ingressOf } from "./service-endpoint.ts";

interface Wanted {
  readonly network: Network;
  readonly config: NetworkAttachmentConfig;
  /** Addresses that the user asked for by name (`docker run --ip`). */
  readonly addresses: readonly string[];
}

/**
 * Gives the task its addresses, on the ingress network first.
 * @param service absent for a container of `docker run`: its networks are in the task
 * @throws SkepError when they cannot be had: nothing is taken then
 */
export function allocateTask(view: View, books: Books, task: Task, service: Service | undefined): NetworkAttachment[] {
  const wanted = wantedNetworks(view, task, service);
  try {
    return wanted.map(({ network, config, addresses }) => ({
      networkId: network.id,
      addresses: addresses.length > 0 ? claim(books, network, task, addresses) : books.pools.take(network, task.id),
      aliases: config.Aliases ?? [],
      ...(config.DriverOpts ? { driverOpts: config.DriverOpts } : {}),
    }));
  } catch (e) {
    books.pools.release(task.id);
    throw e;
  }
}

function wantedNetworks(view: View, task: Task, service: Service | undefined): Wanted[] {
  if (!service && task.networks.length > 0) {
    return task.networks.map((n) => ({
      network: allocatedNetwork(view, n.networkId),
      config: { Aliases: n.aliases, ...(n.driverOpts ? { DriverOpts: n.driverOpts } : {}) },
      addresses: n.addresses,
    }));
  }
  const configs = task.spec.Networks ?? (service ? networkConfigs(service) : []);
  const wanted = new Map<string, Wanted>();
  if (service && usesIngress(service)) {
    const ingress = ingressOf(view);
    if (!ingress)
      throw new SkepError("unavailable", "service needs ingress network, but no ingress network is present");
    wanted.set(ingress.id, { network: allocatedNetwork(view, ingress.id), config: {}, addresses: [] });
  }
  for (const config of configs) {
    const network = allocatedNetwork(view, config.Target ?? "");
    wanted.set(network.id, { network, config, addresses: [] });
  }
  return [...wanted.values()];
}

function claim(books: Books, network: Network, task: Task, addresses: readonly string[]): readonly string[] {
  for (const addr of addresses) {
    if (!books.pools.reclaim(network.id, addr, task.id))
      throw new SkepError("unavailable", `address ${addr} on network ${network.spec.Name} is in use or outside of it`);
  }
  return addresses;
}
