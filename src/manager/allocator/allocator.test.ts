// The allocator in its world: subnets, VXLAN ids, VIPs, ports, what happens when something runs out, and starting on what is stored.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { SkepError } from "../../model/errors.ts";
import { type NetworkId, newId, type TaskId } from "../../model/ids.ts";
import type { Prefix } from "../../model/ip.ts";
import { parseCidr } from "../../model/ip.ts";
import type { IpamConfig, PortConfig } from "../../model/spec.ts";
import { type Commit, MemoryBackend } from "../../store/index.ts";
import { aNetwork, World } from "../testing/world.ts";

const subnetOf = (n: { ipam?: { configs: readonly { subnet: string }[] } }) => n.ipam?.configs.map((c) => c.subnet);
const ipam = (...Config: IpamConfig[]) => ({ IPAM: { Config } });

test("networks get subnets and VXLAN ids one after the other, the ingress network the first", async () => {
  const w = await World.start();
  const [ingress] = w.store.view.byName("network", "ingress");
  deepEqual([subnetOf(ingress!), ingress?.driverState?.vni], [["10.0.0.0/24"], 4096]);
  const [a, b] = [await w.network("a"), await w.network("b")];
  deepEqual(
    [a, b].map((n) => [subnetOf(n)?.[0], n.driverState?.vni]),
    [
      ["10.0.1.0/24", 4097],
      ["10.0.2.0/24", 4098],
    ],
  );
  await w.store.update((tx) => tx.remove("network", a.id));
  await w.settled();
  const c = await w.network("c");
  deepEqual([subnetOf(c)?.[0], c.driverState?.vni], ["10.0.1.0/24", 4099]);
  await w.stop();
});

test("what the user gives is respected: subnet, gateway, range, reserved addresses, VXLAN id", async () => {
  const w = await World.start();
  const config = {
    Subnet: "172.30.0.0/16",
    Gateway: "172.30.9.9",
    IPRange: "172.30.5.0/29",
    AuxiliaryAddresses: { router: "172.30.5.1" },
  };
  const net = await w.network("net", {
    ...ipam(config),
    Options: { "com.docker.network.driver.overlay.vxlanid_list": "7000" },
  });
  deepEqual(net.ipam?.configs, [{ subnet: "172.30.0.0/16", gateway: "172.30.9.9", ipRange: "172.30.5.0/29" }]);
  equal(net.driverState?.vni, 7000);
  await w.create({ replicas: 2, networks: [net] });
  deepEqual(w.addresses(), ["172.30.5.2/16", "172.30.5.3/16"], "VIP .0, .1 is reserved");
  await w.stop();
});

test("automatic subnets keep clear of the host's routes, of other networks, and say so when nothing is left", async () => {
  let routes: Prefix[] = ["10.0.1.0/24", "10.0.2.128/25"].map((p) => parseCidr(p).prefix);
  const w = await World.start({ hostRoutes: () => [...routes, parseCidr("0.0.0.0/0").prefix] });
  await w.network("given", ipam({ Subnet: "10.0.3.0/25" }));
  deepEqual(subnetOf(await w.network("a")), ["10.0.4.0/24"]);
  routes = [parseCidr("10.0.0.0/8").prefix];
  const none = await w.network("none");
  equal(none.ipam, undefined);
  match(none.allocationError ?? "", /could not find an available, non-overlapping IPv4 address pool/);
  routes = [];
  await w.advance(10_000);
  const now = w.store.view.get("network", none.id)!;
  deepEqual([subnetOf(now), now.allocationError], [["10.0.1.0/24"], undefined]);
  await w.stop();
});

test("a given subnet in the way of another network waits until that is gone", async () => {
  const w = await World.start();
  const first = await w.network("first", ipam({ Subnet: "192.168.0.0/16" }));
  const second = await w.network("second", ipam({ Subnet: "192.168.7.0/24" }));
  match(second.allocationError ?? "", /192\.168\.7\.0\/24 overlaps/);
  const service = await w.create({ networks: [second] });
  match(w.tasks(service.id)[0]?.status.err ?? "", /overlaps/);
  await w.store.update((tx) => tx.remove("network", first.id));
  await w.settled();
  equal(w.running(service.id).length, 1);
  await w.stop();
});

test("on a full network tasks say so, and get their address when one is freed", async () => {
  const w = await World.start();
  const net = await w.network("small", ipam({ Subnet: "10.9.0.0/29" }));
  const service = await w.create({ replicas: 5, networks: [net] }); // .1 gateway, .2 VIP, three tasks, and one for the load balancer
  equal(w.running().length, 3);
  deepEqual(w.store.view.all("node")[0]?.attachments.at(-1)?.addresses, ["10.9.0.6/29"]);
  const waiting = w.tasks().filter((t) => t.status.state === "new");
  const reason = `no available IPv4 addresses on this network's address pools: small (${net.id})`;
  deepEqual(
    waiting.map((t) => t.status.err),
    [reason, reason],
  );
  const [first] = w.running();
  await w.agent.report(first!.id, "failed");
  await w.advance(10_000);
  deepEqual(
    w.running().map((t) => t.slot),
    [2, 3, 4],
    "who waited longest comes first",
  );
  await w.scale(service.id, 3);
  equal(w.running().length, 3);
  await w.stop();
});

test("a node that gets no load balancer address keeps its tasks waiting, with the reason, until it does", async () => {
  const w = await World.start({ nodes: 2 });
  const net = await w.network("small", ipam({ Subnet: "10.9.0.0/29" }));
  const service = await w.create({ replicas: 4, networks: [net] });
  equal(w.running().length, 2, "of the first node");
  const stuck = w.alive().filter((t) => t.status.state === "assigned");
  match(stuck[0]?.status.err ?? "", /no available IPv4 addresses/);
  await w.scale(service.id, 2);
  equal(w.running().length, 2);
  await w.stop();
});

test("published ports without a number come from 30000 on, stay over updates, and are free when the service is gone", async () => {
  const w = await World.start();
  const auto: PortConfig = { Protocol: "tcp", TargetPort: 80, PublishMode: "ingress" };
  const published = (id: Parameters<World["service"]>[0]) => w.service(id).endpoint?.ports.map((p) => p.PublishedPort);
  const a = await w.create({ name: "a", spec: { EndpointSpec: { Ports: [auto, { ...auto, Protocol: "udp" }] } } });
  deepEqual(published(a.id), [30_000, 30_001]);
  const b = await w.create({ name: "b", spec: { EndpointSpec: { Ports: [auto] } } });
  deepEqual(published(b.id), [30_002]);
  await w.update(a.id, (s) => ({ ...s, EndpointSpec: { Ports: [{ ...auto, TargetPort: 443 }, auto] } }));
  deepEqual(published(a.id), [30_003, 30_000]);
  await w.restart();
  const fixed = { ...auto, PublishedPort: 30_000 };
  const c = await w.create({ name: "c", spec: { EndpointSpec: { Ports: [fixed] } } });
  equal(c.endpoint, undefined);
  match(w.tasks(c.id)[0]?.status.err ?? "", /port '30000' is already in use/);
  await w.remove(a.id);
  deepEqual(published(c.id), [30_000]);
  equal(w.running(c.id).length, 1);
  await w.stop();
});

test("a manager that starts on stored objects hands out nothing that is held, and goes on where the last one stopped", async () => {
  const w = await World.start();
  const net = await w.network("net");
  const a = await w.create({ name: "a", replicas: 3, networks: [net] });
  await w.scale(a.id, 1);
  const before = new Set(w.tasks().flatMap((t) => t.networks.flatMap((n) => n.addresses)));
  await w.restart();
  await w.create({ name: "b", replicas: 3, networks: [net] });
  const all = [
    ...w.tasks().flatMap((t) => t.networks.flatMap((n) => n.addresses)),
    ...w.store.view.all("service").flatMap((s) => s.endpoint?.virtualIPs.map((v) => v.addr) ?? []),
    ...w.store.view.all("node").flatMap((n) => n.attachments.flatMap((x) => x.addresses)),
  ];
  equal(new Set(all).size, all.length);
  equal(before.size, 1);
  await w.stop();
});

test("an attachment gets the address it asks for, further networks while it runs, and gives them back", async () => {
  const w = await World.start();
  const [a, b] = [await w.network("a"), await w.network("b")];
  const nodeId = w.store.view.all("node")[0]!.id;
  const at = (id: NetworkId, ...addresses: string[]) => ({ networkId: id, addresses, aliases: ["x"] });
  const id = newId<TaskId>();
  await w.store.update((tx) =>
    tx.create<"task">({
      kind: "task",
      id,
      nodeId,
      serviceName: "c",
      serviceLabels: {},
      spec: { NetworkAttachmentSpec: { ContainerID: "c" }, Runtime: "attachment" },
      specVersion: 0,
      networks: [at(a.id, "10.0.1.77")],
      status: { timestamp: tx.now, state: "new", message: "created" },
      desiredState: "running",
    }),
  );
  await w.settled();
  const task = () => w.store.view.get("task", id)!;
  deepEqual([task().status.state, task().networks[0]?.addresses], ["running", ["10.0.1.77/24"]]);
  await w.store.update((tx) => tx.update<"task">({ ...tx.get("task", id)!, networks: [...task().networks, at(b.id)] }));
  await w.settled();
  deepEqual(task().networks[1]?.addresses, ["10.0.2.2/24"]);
  deepEqual(
    w.agent.tasks.get(id)?.networks.map((n) => n.addresses[0]),
    ["10.0.1.77/24", "10.0.2.2/24"],
  );
  await w.store.update((tx) => tx.update<"task">({ ...tx.get("task", id)!, networks: task().networks.slice(1) }));
  await w.settled();
  deepEqual(
    w.store.view.all("node")[0]?.attachments.map((x) => x.networkId === a.id),
    [false, false],
    "left network a",
  );
  await w.store.update((tx) => tx.update<"task">({ ...tx.get("task", id)!, desiredState: "remove" }));
  await w.settled();
  equal(w.store.view.get("task", id), undefined, "no history of attachments");
  await w.stop();
});

test("two families: a service, its tasks and the load balancer have an address of each", async () => {
  const w = await World.start();
  const net = await w.network("dual", { EnableIPv6: true, ...ipam({ Subnet: "fd00:9::/64" }) });
  deepEqual(subnetOf(net), ["10.0.1.0/24", "fd00:9::/64"]);
  const service = await w.create({ networks: [net] });
  deepEqual(service.endpoint?.virtualIPs, [{ networkId: net.id, addr: "10.0.1.2/24", addr6: "fd00:9::2/64" }]);
  deepEqual(w.tasks()[0]?.networks[0]?.addresses, ["10.0.1.3/24", "fd00:9::3/64"]);
  await w.stop();
});

test("a service that names a network which is not there says so, and goes on when it is", async () => {
  const w = await World.start();
  const net = aNetwork("later");
  const service = await w.create({ networks: [net] });
  equal(w.tasks(service.id)[0]?.status.err, `network ${net.id} not found`);
  await w.store.update((tx) => tx.create<"network">(net));
  await w.settled();
  equal(w.running(service.id).length, 1);
  await w.stop();
});

test("a network that is removed takes the nodes' endpoints on it along", async () => {
  const w = await World.start();
  const [ingress] = w.store.view.byName("network", "ingress");
  await w.store.update((tx) => tx.remove("network", ingress!.id));
  await w.settled();
  deepEqual(w.store.view.all("node")[0]?.attachments, []);
  await w.network("ingress", { Ingress: true });
  equal(w.store.view.all("node")[0]?.attachments[0]?.addresses[0], "10.0.0.2/24");
  await w.stop();
});

test("when the backend fails, what was to be handed out is not lost, and comes when it works again", async () => {
  class Flaky extends MemoryBackend {
    failures = 0;
    override async commit(commit: Commit): Promise<void> {
      if (this.failures > 0 && commit.changes.some((c) => c.action === "update")) {
        this.failures--;
        throw new SkepError("unavailable", "disk full");
      }
      return super.commit(commit);
    }
  }
  const backend = new Flaky();
  const w = await World.start({ backend });
  const net = await w.network("net");
  backend.failures = 3;
  const service = await w.create({ replicas: 3, networks: [net] });
  equal(w.running(service.id).length, 0);
  await w.advance(60_000);
  equal(backend.failures, 0);
  deepEqual(w.service(service.id).endpoint?.virtualIPs[0]?.addr, "10.0.1.2/24");
  deepEqual(w.addresses(service.id), ["10.0.1.3/24", "10.0.1.4/24", "10.0.1.5/24"]);
  equal(w.running(service.id).length, 3);
  ok(w.warnings.length > 0);
  await w.stop();
});
