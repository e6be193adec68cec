// The addresses of a task: one a family on each of its networks. Services' are in service-endpoint.ts, nodes' in node-attachments.ts.
import { SkepError } from "../../model/errors.ts";
import type { NetworkId } from "../../model/ids.ts";
import type { Cidr, Network, NetworkAttachment, Service, Task } from "../../model/objects.ts";
import { networkConfigs } from "../../model/outdated.ts";
import { usesIngress } from "../../model/published-ports.ts";
import type { NetworkAttachmentConfig } from "../../model/spec.ts";
import type { View } from "../../store/index.ts";
import { isGiven } from "../task-life.ts";
import type { Books } from "./books.ts";
import { allocatedNetwork, ingressOf } from "./service-endpoint.ts";

/**
 * Gives a service's task its addresses, on the ingress network first.
 * @throws SkepError when they cannot be had: nothing is taken then
 */
export function allocateTask(view: View, books: Books, task: Task, service: Service): NetworkAttachment[] {
  const wanted = wantedNetworks(view, task, service);
  try {
    return wanted.map(({ network, config }) => ({
      networkId: network.id,
      addresses: books.pools.take(network, task.id, isOnNoNode(view, network) ? 1 : 0),
      aliases: config.Aliases ?? [],
      ...(config.DriverOpts ? { driverOpts: config.DriverOpts } : {}),
    }));
  } catch (e) {
    books.pools.release(task.id);
    throw e;
  }
}

/**
 * Gives a container of `docker run` its addresses on the networks that its task names, also when one came or went while it ran.
 * @throws SkepError when one cannot be had: nothing has changed then
 */
export function allocateAttachment(view: View, books: Books, task: Task): NetworkAttachment[] {
  const fresh = new Set<NetworkId>();
  try {
    const networks = task.networks.map((attachment) => {
      if (isGiven(attachment)) return attachment;
      const network = allocatedNetwork(view, attachment.networkId);
      fresh.add(network.id);
      const asked = attachment.addresses;
      return {
        ...attachment,
        addresses: asked.length > 0 ? claim(books, network, task, asked) : books.pools.take(network, task.id),
      };
    });
    const wanted = new Set(networks.map((n) => n.networkId));
    books.pools.release(task.id, (id) => !wanted.has(id));
    return networks;
  } catch (e) {
    books.pools.release(task.id, (id) => fresh.has(id));
    throw e;
  }
}

/** The network's first load balancer endpoint needs an address too: without it none of the tasks could start. */
function isOnNoNode(view: View, network: Network): boolean {
  return !view.all("node").some((node) => node.attachments.some((a) => a.networkId === network.id));
}

interface Wanted {
  readonly network: Network;
  readonly config: NetworkAttachmentConfig;
}

function wantedNetworks(view: View, task: Task, service: Service): Wanted[] {
  const configs = task.spec.Networks ?? networkConfigs(service);
  const wanted = new Map<string, Wanted>();
  if (usesIngress(service)) {
    const ingress = ingressOf(view);
    if (!ingress)
      throw new SkepError("unavailable", "service needs ingress network, but no ingress network is present");
    wanted.set(ingress.id, { network: allocatedNetwork(view, ingress.id), config: {} });
  }
  for (const config of configs) {
    const network = allocatedNetwork(view, config.Target ?? "");
    wanted.set(network.id, { network, config });
  }
  return [...wanted.values()];
}

function claim(books: Books, network: Network, task: Task, addresses: readonly string[]): Cidr[] {
  return addresses.map((address) => {
    const given = books.pools.claim(network.id, address, task.id);
    if (given === undefined)
      throw new SkepError("unavailable", `address ${address} is in use on network ${network.spec.Name}, or not of it`);
    return given;
  });
}
