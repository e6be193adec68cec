import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hasCode } from "../../model/errors.ts";
import { packAddress, reverseName } from "./addresses.ts";
import { type EndpointNames, NameTable, type ServiceNames, TYPE } from "./names.ts";

const NET = "net1";
const TASK1 = "web.1.ucbfvclfddubr69qk0b7k4cq8";

function aService(part: Partial<ServiceNames> = {}): ServiceNames {
  return { serviceId: "s-web", name: "web", mode: "vip", vip: ["10.0.1.2/24"], ...part };
}

function aTask(part: Partial<EndpointNames> = {}): EndpointNames {
  const base = {
    id: "e1",
    serviceId: "s-web",
    names: [TASK1, "c1ffca9a9ada"],
    addresses: ["10.0.1.4"],
    ptrName: TASK1,
  };
  return { ...base, ...part };
}

function aTable(): NameTable {
  const table = new NameTable();
  table.setNetwork(NET, "my-swarm-net");
  return table;
}

/** An answer in short: sorted addresses, a pointer's name, or the kind. */
function ask(table: NameTable, name: string, qtype: number = TYPE.A, scope: readonly string[] = [NET]): string {
  const found = table.lookup(scope, name, qtype);
  if (found.kind === "pointer") return found.name;
  if (found.kind !== "answers") return found.kind;
  return found.addresses
    .map((address) => address.join("."))
    .sort()
    .join(" ");
}

test("a service's name is its VIP, tasks.<name> its tasks", () => {
  const table = aTable();
  table.setService(NET, aService());
  table.setEndpoint(NET, aTask());
  table.setEndpoint(NET, aTask({ id: "e2", names: ["web.2.x"], addresses: ["10.0.1.3"], ptrName: "web.2.x" }));
  const cases: [name: string, qtype: number, answer: string][] = [
    ["web", TYPE.A, "10.0.1.2"],
    ["WEB.", TYPE.A, "10.0.1.2"],
    ["web.my-swarm-net", TYPE.A, "10.0.1.2"],
    ["tasks.web", TYPE.A, "10.0.1.3 10.0.1.4"],
    ["tasks.web.my-swarm-net", TYPE.A, "10.0.1.3 10.0.1.4"],
    ["web", TYPE.AAAA, "nodata"],
    ["web", 15, "nodata"],
    ["web", 16, "nodata"],
    ["web.1", TYPE.A, "unknown"],
    [TASK1, TYPE.A, "10.0.1.4"],
    ["c1ffca9a9ada", TYPE.A, "10.0.1.4"],
    ["my-swarm-net", TYPE.A, "unknown"],
    ["", TYPE.A, "unknown"],
    ["_http._tcp.web", 33, "unknown"],
    ["4.1.0.10.in-addr.arpa", TYPE.PTR, `${TASK1}.my-swarm-net`],
    ["4.1.0.10.IN-ADDR.arpa.", TYPE.PTR, `${TASK1}.my-swarm-net`],
    ["2.1.0.10.in-addr.arpa", TYPE.PTR, "unknown"],
    ["web", TYPE.PTR, "nodata"],
  ];
  for (const [name, qtype, answer] of cases) equal(ask(table, name, qtype), answer, `${name} ${qtype}`);
});

test("a dnsrr service's name is its tasks", () => {
  const table = aTable();
  table.setService(NET, { serviceId: "s-web", name: "dnsrr", mode: "dnsrr" });
  table.setEndpoint(NET, aTask());
  table.setEndpoint(NET, aTask({ id: "e2", names: [], addresses: ["10.0.1.3"] }));
  equal(ask(table, "dnsrr"), "10.0.1.3 10.0.1.4");
  equal(ask(table, "tasks.dnsrr"), "10.0.1.3 10.0.1.4");
});

test("a service keeps its VIP while tasks come and go, and its tasks name is absent without one", () => {
  const table = aTable();
  table.setService(NET, aService());
  equal(ask(table, "tasks.web"), "absent");
  table.setEndpoint(NET, aTask());
  equal(ask(table, "tasks.web"), "10.0.1.4");
  table.deleteEndpoint(NET, "e1");
  equal(ask(table, "tasks.web"), "absent");
  equal(ask(table, "tasks.web", TYPE.AAAA), "absent");
  equal(ask(table, TASK1), "unknown");
  equal(ask(table, "web"), "10.0.1.2");
  table.deleteService(NET, "s-web");
  equal(ask(table, "web"), "unknown");
  equal(ask(table, "tasks.web"), "unknown");
});

test("an endpoint may come before its service, and stay after it", () => {
  const table = aTable();
  table.setEndpoint(NET, aTask());
  equal(ask(table, "tasks.web"), "unknown");
  table.setService(NET, aService());
  equal(ask(table, "tasks.web"), "10.0.1.4");
  table.deleteService(NET, "s-web");
  equal(ask(table, "tasks.web"), "unknown");
  equal(ask(table, TASK1), "10.0.1.4");
});

test("an alias that several share is answered with all of them", () => {
  const table = aTable();
  table.setService(NET, aService({ aliases: ["www"] }));
  table.setService(NET, aService({ serviceId: "s-api", name: "api", aliases: ["www"], vip: ["10.0.1.9"] }));
  table.setEndpoint(NET, aTask({ id: "e7", serviceId: "s-api", names: ["www"], addresses: ["10.0.1.7"] }));
  equal(ask(table, "www"), "10.0.1.2 10.0.1.7 10.0.1.9");
  equal(ask(table, "tasks.www"), "10.0.1.7");
  table.deleteService(NET, "s-api");
  equal(ask(table, "www"), "10.0.1.2 10.0.1.7");
});

test("a service that changes its mode or aliases leaves nothing of before", () => {
  const table = aTable();
  table.setService(NET, aService({ aliases: ["old"] }));
  table.setEndpoint(NET, aTask());
  table.setService(NET, { serviceId: "s-web", name: "web", aliases: ["new"], mode: "dnsrr" });
  equal(ask(table, "web"), "10.0.1.4");
  equal(ask(table, "new"), "10.0.1.4");
  equal(ask(table, "old"), "unknown");
  table.setService(NET, aService());
  equal(ask(table, "web"), "10.0.1.2");
});

test("names of a network that the asker is not on are unknown, and the first of its networks wins", () => {
  const table = aTable();
  table.setNetwork("net2", "back");
  table.setService(NET, aService());
  table.setService("net2", aService({ vip: ["10.0.2.2"] }));
  equal(ask(table, "web", TYPE.A, []), "unknown");
  equal(ask(table, "web", TYPE.A, ["net2", NET]), "10.0.2.2");
  equal(ask(table, "web", TYPE.A, [NET, "net2"]), "10.0.1.2");
  equal(ask(table, "web.back", TYPE.A, [NET, "net2"]), "10.0.2.2");
  equal(ask(table, "web.back", TYPE.A, [NET]), "unknown");
  table.deleteNetwork(NET);
  equal(ask(table, "web", TYPE.A, [NET]), "unknown");
});

test("the ingress network has no names", () => {
  const table = aTable();
  table.setNetwork("ing", "ingress", { ingress: true });
  table.setService("ing", aService({ vip: ["10.0.0.3"] }));
  table.setEndpoint("ing", aTask({ addresses: ["10.0.0.5"] }));
  for (const name of ["web", "web.ingress", "tasks.web"]) equal(ask(table, name, TYPE.A, ["ing"]), "unknown");
  equal(ask(table, "5.0.0.10.in-addr.arpa", TYPE.PTR, ["ing"]), "unknown");
});

test("an address that moved to a newer endpoint keeps the newer pointer", () => {
  const table = aTable();
  table.setEndpoint(NET, aTask());
  table.setEndpoint(NET, aTask({ id: "e2", names: ["web.1.new"], ptrName: "web.1.new" }));
  table.deleteEndpoint(NET, "e1");
  equal(ask(table, "4.1.0.10.in-addr.arpa", TYPE.PTR), "web.1.new.my-swarm-net");
});

test("IPv6 addresses are AAAA, and their names ip6.arpa", () => {
  const table = aTable();
  table.setEndpoint(NET, aTask({ addresses: ["10.0.1.4", "fd00::1:4"] }));
  equal(ask(table, TASK1), "10.0.1.4");
  equal(ask(table, TASK1, TYPE.AAAA), "253.0.0.0.0.0.0.0.0.0.0.0.0.1.0.4");
  equal(ask(table, reverseName("fd00::1:4"), TYPE.PTR), `${TASK1}.my-swarm-net`);
});

test("what is no address is refused, and nothing is changed", () => {
  const table = aTable();
  table.setService(NET, aService());
  for (const bad of ["", "10.0.1", "10.0.1.256", "10.0.1.2.3", "fd00::1::2", "1:2:3", "web", "fd00::g", "1.2.3.4x"]) {
    throws(
      () => packAddress(bad),
      (e) => hasCode(e, "invalid"),
      bad,
    );
    throws(
      () => table.setService(NET, aService({ vip: [bad] })),
      (e) => hasCode(e, "invalid"),
      bad,
    );
    throws(
      () => table.setEndpoint(NET, aTask({ addresses: [bad] })),
      (e) => hasCode(e, "invalid"),
      bad,
    );
  }
  equal(ask(table, "web"), "10.0.1.2");
  equal(ask(table, TASK1), "unknown");
  deepEqual([...packAddress("::ffff:10.0.0.1")].slice(-6), [255, 255, 10, 0, 0, 1]);
});

test("after any changes the table answers as one that was told only the last word on each thing", () => {
  const serviceId = fc.constantFrom("s1", "s2");
  const endpointId = fc.constantFrom("e1", "e2", "e3");
  const name = fc.constantFrom("a", "b", "c", "tasks.a");
  const address = fc.constantFrom("10.0.0.1", "10.0.0.2", "10.0.0.3");
  const change = fc.oneof(
    fc.record({ kind: fc.constant("service"), serviceId, name, aliases: fc.array(name), vip: fc.array(address) }),
    fc.record({ kind: fc.constant("service gone"), serviceId }),
    fc.record({
      kind: fc.constant("endpoint"),
      id: endpointId,
      serviceId,
      names: fc.array(name),
      addresses: fc.array(address),
    }),
    fc.record({ kind: fc.constant("endpoint gone"), id: endpointId }),
  );
  type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;
  const apply = (table: NameTable, c: Change): void => {
    if ("vip" in c) table.setService(NET, { ...c, mode: c.vip.length > 0 ? "vip" : "dnsrr" });
    else if ("names" in c) table.setEndpoint(NET, { ...c, ptrName: c.id });
    else if ("id" in c) table.deleteEndpoint(NET, c.id);
    else table.deleteService(NET, c.serviceId);
  };
  const subject = (c: Change): string => ("id" in c ? c.id : c.serviceId);
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const lived = aTable();
      for (const c of changes) apply(lived, c);
      const told = aTable();
      const last = new Map(changes.map((c) => [subject(c), c]));
      for (const c of last.values()) apply(told, c);
      for (const n of ["a", "b", "c", "tasks.a", "tasks.b", "tasks.tasks.a"]) equal(ask(lived, n), ask(told, n), n);
    }),
  );
});

test("a reverse name in a network's own subnet is never the world's to answer", () => {
  const table = aTable();
  table.setNetwork(NET, "my-swarm-net", { subnets: ["10.0.1.0/24", "fd00:1::/64"] });
  table.setService(NET, aService());
  table.setEndpoint(NET, aTask());
  equal(ask(table, reverseName("10.0.1.4"), TYPE.PTR), `${TASK1}.my-swarm-net`);
  equal(ask(table, reverseName("10.0.1.2"), TYPE.PTR), "absent", "a VIP has no name, and ping need not wait for it");
  equal(ask(table, reverseName("fd00:1::7"), TYPE.PTR), "absent");
  equal(ask(table, reverseName("10.0.2.2"), TYPE.PTR), "unknown");
  equal(ask(table, "1.0.10.in-addr.arpa", TYPE.PTR), "unknown", "not an address");
  throws(() => table.setNetwork(NET, "my-swarm-net", { subnets: ["10.0.1.0"] }));
});
