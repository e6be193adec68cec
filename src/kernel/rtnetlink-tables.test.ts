// Addresses, routes, neighbours and forwarding entries. Links are in rtnetlink.test.ts.
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { isErrno } from "./errno.ts";
import type { Cleanup } from "./fixture.ts";
import { freshNetns, witness, witnessJson } from "./fixture.ts";
import { RtNetlink } from "./rtnetlink.ts";

interface IpAddress {
  readonly family: string;
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
  readonly broadcast?: string;
  readonly noprefixroute?: boolean;
  readonly nodad?: boolean;
}
function ipAddresses(ns: string, dev: string): IpAddress[] {
  const links = witnessJson<{ ifname?: string; addr_info: IpAddress[] }[]>(ns, "ip", "-j", "addr", "show", "dev", dev);
  return links.find((l) => l.ifname === dev)?.addr_info ?? [];
}
const cidrs = (ns: string, dev: string): string[] =>
  ipAddresses(ns, dev)
    .filter((a) => a.scope !== "link")
    .map((a) => `${a.local}/${a.prefixlen}`)
    .sort();

function aLink(t: Cleanup): { ns: string; rt: RtNetlink } {
  const [ns] = freshNetns(t) as [string];
  const rt = RtNetlink.open(ns);
  t.after(() => rt.close());
  rt.addVeth({ name: "d0", peer: "far", up: true, peerUp: true });
  return { ns, rt };
}

test("an address gets the broadcast address that Docker gives, and no duplicate detection", (t) => {
  const { ns, rt } = aLink(t);
  rt.addAddress("d0", "10.0.1.4/24");
  rt.addAddress("d0", "10.0.1.2/32");
  rt.addAddress("d0", "10.8.0.1/30", { broadcast: null });
  rt.addAddress("d0", "10.9.0.1/16", { broadcast: "10.9.1.1", scope: "link", noPrefixRoute: true });
  rt.addAddress("d0", "fd00::4/64");
  const seen = new Map(ipAddresses(ns, "d0").map((a) => [a.local, a]));
  equal(seen.get("10.0.1.4")?.broadcast, "10.0.1.255");
  equal(seen.get("10.0.1.2")?.broadcast, undefined);
  equal(seen.get("10.8.0.1")?.broadcast, undefined);
  deepEqual(
    [seen.get("10.9.0.1")?.broadcast, seen.get("10.9.0.1")?.scope, seen.get("10.9.0.1")?.noprefixroute],
    ["10.9.1.1", "link", true],
  );
  equal(seen.get("fd00::4")?.nodad, true);
  deepEqual(
    rt
      .addresses("d0")
      .filter((a) => a.family === 4)
      .map((a) => [a.cidr, a.ifname, a.scope, a.broadcast, a.noPrefixRoute, a.permanent]),
    // in the kernel's order: narrower scopes first
    [
      ["10.9.0.1/16", "d0", "link", "10.9.1.1", true, true],
      ["10.0.1.4/24", "d0", "global", "10.0.1.255", false, true],
      ["10.0.1.2/32", "d0", "global", undefined, false, true],
      ["10.8.0.1/30", "d0", "global", undefined, false, true],
    ],
  );
  const six = rt.addresses().find((a) => a.ip === "fd00::4")!;
  deepEqual([six.family, six.prefix, six.ifname, six.tentative], [6, 64, "d0", false]);
});

test("an address is added once and deleted once", (t) => {
  const { ns, rt } = aLink(t);
  for (const cidr of ["10.0.1.4/24", "fd00::4/64"]) {
    rt.addAddress("d0", cidr);
    throws(
      () => rt.addAddress("d0", cidr),
      (e) => isErrno(e, "EEXIST"),
    );
    equal(rt.ensureAddress("d0", cidr), false);
    equal(rt.deleteAddress("d0", cidr), true);
    equal(rt.deleteAddress("d0", cidr), false);
    equal(rt.ensureAddress("d0", cidr), true);
  }
  deepEqual(cidrs(ns, "d0"), ["10.0.1.4/24", "fd00::4/64"]);
  throws(() => rt.addAddress("d0", "10.0.0/24"), TypeError);
  throws(() => rt.addAddress("d0", "10.0.0.1/33"), TypeError);
});

test("wanted addresses are made so with no more changes than it takes", (t) => {
  const { ns, rt } = aLink(t);
  deepEqual(rt.ensureAddresses("d0", ["10.0.1.4/24", "10.0.1.2/32", "fd00:0:0::4/64"]), {
    added: ["10.0.1.4/24", "10.0.1.2/32", "fd00::4/64"],
    removed: [],
  });
  deepEqual(rt.ensureAddresses("d0", ["fd00::4/64", "10.0.1.2/32", "10.0.1.4/24"]), { added: [], removed: [] });
  deepEqual(rt.ensureAddresses("d0", ["10.0.1.3/32", "10.0.1.4/24"]), {
    added: ["10.0.1.3/32"],
    removed: ["10.0.1.2/32", "fd00::4/64"],
  });
  deepEqual(cidrs(ns, "d0"), ["10.0.1.3/32", "10.0.1.4/24"]);
  ok(ipAddresses(ns, "d0").some((a) => a.scope === "link")); // the kernel's own stays
  deepEqual(rt.ensureAddresses("d0", []).removed.length, 2);
  deepEqual(cidrs(ns, "d0"), []);
});

test("a secondary address survives the removal of its primary", (t) => {
  const { ns, rt } = aLink(t);
  rt.ensureAddresses("d0", ["10.0.1.4/24", "10.0.1.5/24"]);
  rt.ensureAddresses("d0", ["10.0.1.5/24"]);
  deepEqual(cidrs(ns, "d0"), ["10.0.1.5/24"]);
});

interface IpRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly prefsrc?: string;
  readonly scope?: string;
  readonly metric?: number;
  readonly type?: string;
}

test("routes are added, found, replaced and deleted, in both families and other tables", (t) => {
  const { ns, rt } = aLink(t);
  rt.ensureAddresses("d0", ["10.0.1.4/24", "fd00::4/64"]);
  rt.addRoute({ dst: "default", via: "10.0.1.1" });
  rt.addRoute({ dst: "default", via: "fd00::1", dev: "d0" });
  rt.addRoute({ dst: "10.7.0.0/16", dev: "d0", src: "10.0.1.4", metric: 50 });
  rt.addRoute({ dst: "10.8.0.0/16", via: "192.0.2.1", dev: "d0", onlink: true });
  rt.addRoute({ dst: "10.9.0.1", type: "blackhole", table: 1000 });
  rt.addRoute({ dst: "fd01::/64", dev: "d0", table: 300 });
  const four = witnessJson<IpRoute[]>(ns, "ip", "-j", "route");
  equal(four.find((r) => r.dst === "default")?.gateway, "10.0.1.1");
  const seven = four.find((r) => r.dst === "10.7.0.0/16");
  deepEqual([seven?.scope, seven?.prefsrc, seven?.metric, seven?.dev], ["link", "10.0.1.4", 50, "d0"]);
  equal(four.find((r) => r.dst === "10.8.0.0/16")?.gateway, "192.0.2.1");
  equal(witnessJson<IpRoute[]>(ns, "ip", "-j", "route", "show", "table", "1000")[0]?.type, "blackhole");
  equal(witnessJson<IpRoute[]>(ns, "ip", "-6", "-j", "route", "show", "table", "300")[0]?.dst, "fd01::/64");
  equal(witnessJson<IpRoute[]>(ns, "ip", "-6", "-j", "route").find((r) => r.dst === "default")?.gateway, "fd00::1");

  const mine = rt.routes();
  deepEqual(
    mine.filter((r) => r.family === 4).map((r) => r.dst),
    ["default", "10.0.1.0/24", "10.7.0.0/16", "10.8.0.0/16"],
  );
  deepEqual(
    mine.filter((r) => r.dst === "default").map((r) => [r.family, r.via, r.dev]),
    [
      [4, "10.0.1.1", "d0"],
      [6, "fd00::1", "d0"],
    ],
  );
  deepEqual(
    rt.routes(1000).map((r) => [r.dst, r.type, r.table]),
    [["10.9.0.1/32", "blackhole", 1000]],
  );
  ok(rt.routes("all").some((r) => r.table === 255 && r.type === "local" && r.dst === "10.0.1.4/32"));

  throws(
    () => rt.addRoute({ dst: "default", via: "10.0.1.1" }),
    (e) => isErrno(e, "EEXIST"),
  );
  rt.ensureRoute({ dst: "default", via: "10.0.1.9" });
  rt.ensureRoute({ dst: "default", via: "10.0.1.9" });
  deepEqual(
    witnessJson<IpRoute[]>(ns, "ip", "-j", "route", "show", "default").map((r) => r.gateway),
    ["10.0.1.9"],
  );
  equal(rt.deleteRoute({ dst: "default" }), true);
  equal(rt.deleteRoute({ dst: "default" }), false);
  equal(rt.deleteRoute({ dst: "default", family: 6 }), true);
  equal(rt.deleteRoute({ dst: "10.9.0.1", type: "blackhole", table: 1000 }), true);
  equal(rt.deleteRoute({ dst: "10.9.0.1", table: 1000 }), false);
  equal(rt.deleteRoute({ dst: "10.7.0.0/16" }), true);
  throws(
    () => rt.addRoute({ dst: "10.77.0.0/16", via: "192.0.2.200" }),
    (e) => isErrno(e, "ENETUNREACH"),
  );
});

test("neighbours are set, changed and deleted", (t) => {
  const { ns, rt } = aLink(t);
  rt.setNeighbour({ dev: "d0", ip: "10.0.1.5", mac: "02:42:0a:00:01:05" });
  rt.setNeighbour({ dev: "d0", ip: "fd00::5", mac: "02:42:0a:00:01:05" });
  rt.setNeighbour({ dev: "d0", ip: "10.0.1.6", mac: "02:42:0a:00:01:06", permanent: false });
  rt.setNeighbour({ dev: "d0", ip: "10.0.1.5", mac: "02:42:0a:00:01:55" });
  const seen = witnessJson<{ dst: string; lladdr: string; state: string[] }[]>(
    ns,
    "ip",
    "-j",
    "neigh",
    "show",
    "dev",
    "d0",
  );
  deepEqual(seen.map((n) => [n.dst, n.lladdr, n.state[0]]).sort(), [
    ["10.0.1.5", "02:42:0a:00:01:55", "PERMANENT"],
    ["10.0.1.6", "02:42:0a:00:01:06", "REACHABLE"],
    ["fd00::5", "02:42:0a:00:01:05", "PERMANENT"],
  ]);
  const mine = rt.neighbours("d0").filter((n) => n.state !== "noarp");
  deepEqual(mine.map((n) => [n.ip, n.mac, n.state, n.dev]).sort(), [
    ["10.0.1.5", "02:42:0a:00:01:55", "permanent", "d0"],
    ["10.0.1.6", "02:42:0a:00:01:06", "reachable", "d0"],
    ["fd00::5", "02:42:0a:00:01:05", "permanent", "d0"],
  ]);
  equal(rt.deleteNeighbour({ dev: "d0", ip: "10.0.1.5" }), true);
  // Linux keeps a deleted entry as failed until nobody refers to it
  ok(!rt.neighbours().some((n) => n.ip === "10.0.1.5" && n.state === "permanent"));
  ok(!witness(ns, "ip", "neigh").includes("10.0.1.5 dev d0 lladdr"));
});

test("forwarding entries lead a MAC to a remote host, or to a port of the bridge", (t) => {
  const [ns] = freshNetns(t) as [string];
  using rt = RtNetlink.open(ns);
  rt.addBridge("br0", { up: true });
  rt.addVxlan("vxlan0", { id: 4097, port: 4789, up: true });
  rt.setLink("vxlan0", { master: "br0" });
  const mac = "02:42:0a:00:01:05";
  rt.setFdb({ dev: "vxlan0", mac, dst: "192.0.2.2" });
  rt.setFdb({ dev: "vxlan0", mac, dst: "192.0.2.3" }); // moved
  rt.setFdb({ dev: "vxlan0", mac });
  rt.setFdb({ dev: "vxlan0", mac: "00:00:00:00:00:00", dst: "192.0.2.2", append: true });
  rt.setFdb({ dev: "vxlan0", mac: "00:00:00:00:00:00", dst: "192.0.2.3", append: true });
  const seen = witnessJson<{ mac: string; ifname: string; dst?: string; master?: string; state: string }[]>(
    ns,
    ...(["bridge", "-j", "fdb", "show", "dev", "vxlan0"] as const),
  );
  const own = rt.link("vxlan0")!.mac;
  const relevant = seen.filter((f) => f.mac !== own).map((f) => [f.mac, f.dst, f.master, f.state]);
  deepEqual(relevant.sort(), [
    ["00:00:00:00:00:00", "192.0.2.2", undefined, "permanent"],
    ["00:00:00:00:00:00", "192.0.2.3", undefined, "permanent"],
    [mac, undefined, "br0", "static"],
    [mac, "192.0.2.3", undefined, "permanent"],
  ]);
  const br0 = rt.link("br0")!.ifindex;
  const mine = rt.fdb("vxlan0").filter((f) => f.mac === mac);
  deepEqual(
    mine.map((f) => [f.dst, f.masterIndex, f.dev]),
    [
      [undefined, br0, "vxlan0"],
      ["192.0.2.3", undefined, "vxlan0"],
    ],
  );
  equal(rt.deleteFdb({ dev: "vxlan0", mac, dst: "192.0.2.3" }), true);
  equal(rt.deleteFdb({ dev: "vxlan0", mac, dst: "192.0.2.3" }), false);
  equal(rt.deleteFdb({ dev: "vxlan0", mac }), true);
  equal(rt.deleteFdb({ dev: "vxlan0", mac }), false);
  equal(rt.fdb("vxlan0").filter((f) => f.mac === mac).length, 0);
  ok(rt.fdb().length >= rt.fdb("vxlan0").length);
});
