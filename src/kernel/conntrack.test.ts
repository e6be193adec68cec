import { deepEqual, equal, ok } from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { test } from "node:test";
import { connections, flushConntrack } from "./conntrack.ts";
import type { Cleanup } from "./fixture.ts";
import { freshNetns, openFds, witness } from "./fixture.ts";
import { Nft } from "./nft.ts";
import { RtNetlink } from "./rtnetlink.ts";
import { udpSocketIn } from "./sockets.ts";

const VIP = "10.0.1.2";

// One client that speaks to a VIP, which nftables leads to one of two backends by the port: all on the loopback of one namespace.
function balanced(t: Cleanup): { ns: string; say(port: number): Promise<void> } {
  const [ns] = freshNetns(t) as [string];
  using rt = RtNetlink.open(ns);
  rt.setLink("lo", { up: true });
  rt.ensureAddresses("lo", ["127.0.0.1/8", "10.0.1.2/32", "10.0.1.4/32", "10.0.1.5/32", "fd00::1/128"]);
  using nft = Nft.open(ns);
  nft.run(`
    table ip nat {
      chain out {
        type nat hook output priority -100
        ip daddr ${VIP} udp dport 1001 dnat to 10.0.1.4
        ip daddr ${VIP} udp dport 1002 dnat to 10.0.1.5
      }
    }
    table ip6 track {
      chain out {
        type filter hook output priority 0
        ct state new accept
      }
    }`);
  const client = socket(t, "udp4", ns, "127.0.0.1");
  const client6 = socket(t, "udp6", ns, "fd00::1");
  const say = (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const [from, to] = port === 1006 ? [client6, "fd00::1"] : [client, VIP];
      from.send("x", port, to, (e) => (e === null ? resolve() : reject(e)));
    });
  return { ns, say };
}

function socket(t: Cleanup, type: "udp4" | "udp6", ns: string, ip: string): Socket {
  const s = createSocket(type);
  t.after(() => void s.close());
  s.on("error", () => {}); // nobody listens at the other end, and Linux says so
  s.bind({ fd: udpSocketIn(ns, ip, 0) });
  return s;
}

test("connections show both directions, as conntrack -L does", async (t) => {
  const { ns, say } = balanced(t);
  await say(1001);
  await say(1006);
  const [four] = connections(ns, { dst: VIP });
  deepEqual(
    [four?.original.dst, four?.original.dstPort, four?.original.protocol, four?.reply.src, four?.reply.srcPort],
    [VIP, 1001, 17, "10.0.1.4", 1001],
  );
  const [six] = connections(ns, { dst: "fd00:0::1" });
  deepEqual([six?.original.src, six?.original.dstPort], ["fd00::1", 1006]);
  const said = witness(ns, "conntrack", "-L", "-d", VIP);
  ok(said.includes(`dst=${VIP}`) && said.includes("src=10.0.1.4"), said);
  equal(connections(undefined, { dst: VIP }).length, 0);
});

test("those that lead to one backend are deleted, the others stay", async (t) => {
  const { ns, say } = balanced(t);
  for (const port of [1001, 1002, 1006]) await say(port);
  const before = openFds();
  equal(flushConntrack(ns, { replySrc: "10.0.1.4", protocol: "tcp" }), 0);
  equal(flushConntrack(ns, { replySrc: "10.0.1.4", replySrcPort: 999 }), 0);
  equal(flushConntrack(ns, { replySrc: "10.0.1.4", protocol: "udp" }), 1);
  equal(flushConntrack(ns, { replySrc: "10.0.1.4" }), 0);
  deepEqual(
    connections(ns, { dst: VIP }).map((c) => c.reply.src),
    ["10.0.1.5"],
  );
  ok(!witness(ns, "conntrack", "-L").includes("src=10.0.1.4"));
  equal(flushConntrack(ns, { dst: VIP, dstPort: 1002 }), 1);
  equal(connections(ns, { dst: "fd00::1" }).length, 1);
  ok(flushConntrack(ns, {}) >= 1);
  equal(openFds(), before);
});
