// The ingress network stands from the moment that it is assigned, as right after `docker swarm init` (reference: swarm-ipvs.md, section 1).
import { deepEqual, equal, ok } from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { RtNetlink } from "../kernel/index.ts";
import { aNetwork, Lab, OUTSIDE, PORT } from "./test-lab.ts";

const SUBNET = { subnets: [{ subnet: "10.0.0.0/24", gateway: "10.0.0.1" }], lbAddresses: ["10.0.0.2/24"] };

test("assigned, it is built at once: both namespaces, the gateway bridge, and the sandbox's way out", async (t) => {
  const lab = await Lab.open(t);
  const ingress = aNetwork(0, { ...SUBNET, name: "ingress", ingress: true, vni: 4096 });
  equal(lab.network.gatewayBridge().built, false);
  await lab.apply([ingress, aNetwork(95)], [], true);
  deepEqual(lab.netnsFiles(), [`1-${ingress.id.slice(0, 10)}`, "ingress_sbox"]);
  const sandbox = join(lab.execRoot, "netns", "ingress_sbox");
  const routes = await lab.exec(sandbox, "ip", "route");
  deepEqual(
    routes
      .trim()
      .split("\n")
      .map((l) => l.trim()),
    [
      "default via 172.18.0.1 dev eth1",
      "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2",
      "172.18.0.0/16 dev eth1 proto kernel scope link src 172.18.0.2",
    ],
  );
  using rt = RtNetlink.open(sandbox);
  deepEqual(
    ["eth0", "eth1"].map((name) => [rt.link(name)?.mac, rt.link(name)?.mtu, ...rt.addresses(name).map((a) => a.cidr)]),
    [
      ["02:42:0a:00:00:02", 1450, "10.0.0.2/24"],
      ["02:42:ac:12:00:02", 1500, "172.18.0.2/16"],
    ],
  );
  const status = lab.network.inspectNetwork(ingress.id)!;
  equal(status.built, true);
  deepEqual(
    status.endpoints.map((e) => [e.key, e.name, e.mac, e.ipv4]),
    [["ingress-sbox", "ingress-endpoint", "02:42:0a:00:00:02", "10.0.0.2/24"]],
  );
  const bridge = lab.network.gatewayBridge();
  deepEqual([bridge.name, bridge.built], ["docker_gwbridge", true]);
  deepEqual(
    bridge.endpoints.map((e) => [e.key, e.name, e.mac, e.ipv4]),
    [["ingress-sbox", "gateway_ingress-sbox", "02:42:ac:12:00:02", "172.18.0.2/16"]],
  );
  await lab.serveAt(lab.outside, "world");
  equal((await lab.client(sandbox).ask(`tcp ${OUTSIDE} ${PORT} 1`)).line, "world 198.51.100.1");
});

test("it is taken over untouched after a crash, swept never, and goes when it is assigned no more", async (t) => {
  const lab = await Lab.open(t);
  const ingress = aNetwork(0, { ...SUBNET, name: "ingress", ingress: true, vni: 4096 });
  await lab.apply([ingress], [], true);
  const { lbNetns, overlayNetns } = lab.network.inspectNetwork(ingress.id)!;
  const dumps = () => Promise.all([lab.host, lbNetns, overlayNetns].map((netns) => lab.dump(netns)));
  const before = await dumps();
  await lab.crash();
  equal(lab.network.gatewayBridge().built, true);
  await lab.apply([ingress], [], true);
  await lab.network.sweep({ sandboxIds: [] });
  deepEqual(await dumps(), before);
  const removed = { networks: [ingress.id], services: [], tasks: [] };
  await lab.network.apply({ full: false, networks: [], services: [], removed });
  deepEqual(lab.netnsFiles(), []);
  // Its VXLAN's number is free at once.
  const next = aNetwork(0, { ...SUBNET, name: "ingress", ingress: true, vni: 4096 });
  await lab.apply([next], []);
  ok(lab.network.lbInfo().vxlan);
});
