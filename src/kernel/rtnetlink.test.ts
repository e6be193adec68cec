import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { isErrno, KernelError } from "./errno.ts";
import { freshNetns, openFds, witness, witnessJson } from "./fixture.ts";
import { closeFd, deleteNetns, inNetns, openNetnsFd } from "./netns.ts";
import { RtNetlink } from "./rtnetlink.ts";

interface IpLink {
  readonly ifname: string;
  readonly ifindex: number;
  readonly link_index?: number;
  readonly mtu: number;
  readonly address: string;
  readonly master?: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind: string; readonly info_data?: Record<string, unknown> };
}
const ipLinks = (ns: string): IpLink[] => witnessJson(ns, "ip", "-d", "-j", "link");
const ipLink = (ns: string, name: string): IpLink | undefined => ipLinks(ns).find((l) => l.ifname === name);

test("a veth pair is born with each end in its place, up, under its final name", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  using rt = RtNetlink.open(a);
  rt.addVeth({
    name: "veth0",
    peer: "eth0",
    peerNetns: b,
    mtu: 1450,
    mac: "02:42:0a:00:01:03",
    peerMac: "02:42:0a:00:01:04",
    up: true,
    peerUp: true,
  });
  const [near, far] = [ipLink(a, "veth0")!, ipLink(b, "eth0")!];
  deepEqual([near.mtu, near.address, near.flags.includes("UP")], [1450, "02:42:0a:00:01:03", true]);
  deepEqual([far.mtu, far.address, far.flags.includes("UP")], [1450, "02:42:0a:00:01:04", true]);
  const seen = rt.link("veth0")!;
  deepEqual(
    [seen.kind, seen.mac, seen.mtu, seen.up, seen.operState, seen.linkIndex, seen.linkNetnsId],
    ["veth", "02:42:0a:00:01:03", 1450, true, "up", far.ifindex, 0],
  );
});

test("both ends can be elsewhere, by descriptor as by path, and a veth goes from anywhere with its peer", (t) => {
  const [a, b, c] = freshNetns(t, 3) as [string, string, string];
  using rt = RtNetlink.open(a);
  const fd = openNetnsFd(c);
  rt.addVeth({ name: "x", peer: "x", netns: b, peerNetns: fd, peerUp: true });
  closeFd(fd);
  ok(ipLink(b, "x"));
  ok(ipLink(c, "x")!.flags.includes("UP"));
  equal(rt.link("x"), undefined);
  using there = RtNetlink.open(c);
  equal(there.deleteLink("x"), true);
  equal(ipLink(b, "x"), undefined);
});

test("a bridge takes ports, lets them go, and reports both", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  using rt = RtNetlink.open(a);
  rt.addBridge("br0", { mac: "02:00:00:00:00:01", up: true, multicastSnooping: false, ageingSeconds: 100 });
  rt.addVeth({ name: "p1", peer: "eth0", peerNetns: b, master: "br0" });
  rt.addVeth({ name: "p2", peer: "eth1", peerNetns: b });
  rt.setLink("p2", { master: "br0", up: true });
  const bridge = ipLink(a, "br0")!;
  equal(bridge.address, "02:00:00:00:00:01");
  equal(bridge.linkinfo?.info_kind, "bridge");
  equal(bridge.linkinfo?.info_data?.mcast_snooping, 0);
  equal(bridge.linkinfo?.info_data?.ageing_time, 10_000);
  deepEqual([ipLink(a, "p1")!.master, ipLink(a, "p2")!.master], ["br0", "br0"]);
  equal(rt.link("p2")!.masterIndex, bridge.ifindex);
  rt.setLink("p2", { master: null });
  equal(ipLink(a, "p2")!.master, undefined);
  equal(rt.link("p2")!.masterIndex, undefined);
});

for (const way of ["netns", "linkNetns"] as const) {
  test(`a vxlan lives in one namespace with its underlay in another (${way})`, (t) => {
    const [host, overlay] = freshNetns(t, 2) as [string, string];
    using rt = RtNetlink.open(way === "netns" ? host : overlay);
    const where = way === "netns" ? { netns: overlay } : { linkNetns: host };
    rt.addVxlan("vxlan0", {
      id: 4097,
      port: 4789,
      ttl: 64,
      proxy: true,
      l2miss: true,
      l3miss: true,
      mtu: 1450,
      up: true,
      ...where,
    });
    equal(ipLink(host, "vxlan0"), undefined);
    const link = ipLink(overlay, "vxlan0")!;
    equal(link.mtu, 1450);
    const data = link.linkinfo?.info_data ?? {};
    deepEqual(
      [data.id, data.port, data.ttl, data.learning, data.proxy, data.l2miss, data.l3miss],
      [4097, 4789, 64, false, true, true, true],
    );
    // the UDP socket of the tunnel is where the underlay is
    match(witness(host, "ss", "-Hlun"), /:4789\b/);
    equal(witness(overlay, "ss", "-Hlun").trim(), "");

    using inside = RtNetlink.open(overlay);
    const seen = inside.link("vxlan0")!;
    equal(seen.kind, "vxlan");
    deepEqual(seen.vxlan, {
      id: 4097,
      port: 4789,
      ttl: 64,
      learning: false,
      proxy: true,
      l2miss: true,
      l3miss: true,
      local: undefined,
      group: undefined,
      linkIndex: undefined,
    });
    equal(typeof seen.linkNetnsId, "number");
  });
}

test("a vxlan can be tied to a source address and a device", (t) => {
  const [a] = freshNetns(t) as [string];
  using rt = RtNetlink.open(a);
  rt.addBridge("under", { up: true });
  rt.addAddress("under", "192.0.2.1/24");
  const { ifindex } = rt.link("under")!;
  rt.addVxlan("v4", { id: 1, port: 4789, local: "192.0.2.1", linkIndex: ifindex, learning: true });
  rt.addVxlan("v6", { id: 2, port: 4790, local: "fd00::1" });
  equal(ipLink(a, "v4")!.linkinfo?.info_data?.local, "192.0.2.1");
  deepEqual([rt.link("v4")!.vxlan?.local, rt.link("v4")!.vxlan?.linkIndex], ["192.0.2.1", ifindex]);
  equal(rt.link("v4")!.vxlan?.learning, true);
  equal(rt.link("v6")!.vxlan?.local, "fd00::1");
});

test("a link is changed, renamed, and moved, all in one message", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  using rt = RtNetlink.open(a);
  using there = RtNetlink.open(b);
  rt.addVeth({ name: "d0", peer: "far" });
  there.addBridge("d0"); // the name is taken where it goes
  there.addBridge("br0");
  rt.setLink("d0", { netns: b, name: "d1", mtu: 1400, mac: "02:00:00:00:00:09", master: "br0", up: true });
  equal(ipLink(a, "d0"), undefined);
  const moved = ipLink(b, "d1")!;
  deepEqual(
    [moved.mtu, moved.address, moved.master, moved.flags.includes("UP")],
    [1400, "02:00:00:00:00:09", "br0", true],
  );
  there.setLink(moved.ifindex, { up: false, name: "d2" });
  equal(ipLink(b, "d2")!.flags.includes("UP"), false);
  there.setLink("d2", {});
});

test("links come with what ip says of them", (t) => {
  const [a] = freshNetns(t) as [string];
  using rt = RtNetlink.open(a);
  for (let i = 0; i < 60; i++) rt.addBridge(`d${i}`, { up: i % 2 === 0, mtu: 1300 + i }); // more than one datagram's worth
  const mine = rt.links().map((l) => [l.ifindex, l.name, l.mtu, l.mac, l.up]);
  deepEqual(
    mine,
    ipLinks(a).map((l) => [l.ifindex, l.ifname, l.mtu, l.address, l.flags.includes("UP")]),
  );
  equal(mine.length, 61);
  equal(rt.link("lo")!.kind, undefined);
});

test("what is gone already is no error, and what is not there is undefined", (t) => {
  const [a] = freshNetns(t) as [string];
  using rt = RtNetlink.open(a);
  equal(rt.link("none"), undefined);
  equal(rt.link(4711), undefined);
  equal(rt.deleteLink("none"), false);
  equal(rt.deleteLink(4711), false);
  equal(rt.deleteAddress("none", "10.0.0.1/24"), false);
  equal(rt.deleteNeighbour({ dev: "none", ip: "10.0.0.1" }), false);
  equal(rt.deleteFdb({ dev: "none", mac: "02:00:00:00:00:01" }), false);
  equal(rt.deleteRoute({ dst: "10.0.0.0/8", dev: "none" }), false);
  rt.addBridge("d0");
  equal(rt.deleteAddress("d0", "10.0.0.1/24"), false);
  equal(rt.deleteNeighbour({ dev: "d0", ip: "10.0.0.1" }), false);
  equal(rt.deleteRoute({ dst: "10.0.0.0/8", dev: "d0" }), false);
  equal(rt.deleteLink("d0"), true);
  equal(rt.deleteLink("d0"), false);
});

test("a refusal carries errno, the kernel's words where it has some, and what was asked", (t) => {
  const [a] = freshNetns(t) as [string];
  using rt = RtNetlink.open(a);
  rt.addBridge("br0");
  throws(
    () => rt.addBridge("br0"),
    (e) => isErrno(e, "EEXIST") && /add bridge br0/.test((e as Error).message),
  );
  throws(
    () => rt.setLink("none", { up: true }),
    (e) => isErrno(e, "ENODEV"),
  );
  throws(
    () => rt.addAddress("none", "10.0.0.1/24"),
    (e) => isErrno(e, "ENODEV"),
  );
  throws(
    () => rt.addVeth({ name: "v0", peer: "br0" }),
    (e) => isErrno(e, "EEXIST"),
  );
  equal(rt.link("v0"), undefined);
  throws(
    () => rt.addRoute({ dst: "10.0.0.1/8", dev: "br0" }),
    (e) =>
      e instanceof KernelError &&
      e.errnoName === "EINVAL" &&
      /prefix/i.test(e.extAck ?? "") &&
      e.message.includes(e.extAck ?? "?"),
  );
  throws(
    () => rt.setLink("br0", { mtu: 1 << 24 }),
    (e) => e instanceof KernelError && isErrno(e, "EINVAL") && e.extAck !== undefined,
  );
  // an unknown index makes the kernel itself say ENODEV
  throws(
    () => rt.setLink(4711, { up: true }),
    (e) => isErrno(e, "ENODEV"),
  );
  throws(() => rt.addBridge("a-name-that-is-too-long"), TypeError);
  throws(() => rt.addBridge("a/b"), TypeError);
  throws(() => rt.setLink("br0", { mac: "02:00" }), TypeError);
});

test("a socket stays in its namespace, and keeps it", (t) => {
  const [a] = freshNetns(t) as [string];
  using rt = RtNetlink.open(a);
  rt.addBridge("d0");
  deleteNetns(a);
  rt.addBridge("d1");
  deepEqual(
    rt.links().map((l) => l.name),
    ["lo", "d0", "d1"],
  );
});

test("nothing is left open, whether it worked or not, and a closed socket says so", (t) => {
  const [a, b] = freshNetns(t, 2) as [string, string];
  const round = (): void => {
    using rt = RtNetlink.open(a);
    rt.addVeth({ name: "v0", peer: "v0", peerNetns: b, peerUp: true });
    throws(() => rt.addVeth({ name: "v0", peer: "v1", peerNetns: b }));
    throws(() => rt.addVeth({ name: "v2", peer: "v2", peerNetns: "/nowhere" }));
    rt.addVxlan("x0", { id: 9, port: 4789, netns: b });
    throws(() => rt.addVxlan("x0", { id: 9, port: 4789, linkNetns: "/nowhere" }));
    using there = RtNetlink.open(b);
    there.addVxlan("x1", { id: 10, port: 4789, linkNetns: a });
    for (const name of ["x0", "x1", "v0"]) there.deleteLink(name);
    throws(() => RtNetlink.open("/nowhere"));
  };
  round();
  const before = openFds();
  for (let i = 0; i < 5; i++) round();
  equal(openFds(), before);

  const closed = RtNetlink.open(a);
  closed.close();
  closed.close();
  throws(
    () => closed.links(),
    (e) => isErrno(e, "EBADF"),
  );
});

test("a dump of thousands is whole, also while another process changes the table", async (t) => {
  const [a] = freshNetns(t) as [string];
  using rt = RtNetlink.open(a);
  rt.addBridge("d0");
  rt.addBridge("d1");
  for (let i = 0; i < 1000; i++) rt.addAddress("d0", `10.${i >> 8}.${i & 255}.1/32`);
  const churn = "while ip addr add 10.99.0.1/32 dev d1 && ip addr del 10.99.0.1/32 dev d1; do echo; done";
  const other = inNetns(a, () => spawn("sh", ["-c", churn], { stdio: ["ignore", "pipe", "ignore"] }));
  t.after(() => other.kill("SIGKILL"));
  await once(other.stdout, "data");
  for (let round = 0; round < 100; round++) equal(rt.addresses().filter((x) => x.ifname === "d0").length, 1000);
  other.kill("SIGKILL");
  await once(other, "close");
  equal(rt.ensureAddresses("d0", ["10.0.0.1/32"]).removed.length, 999);
});
