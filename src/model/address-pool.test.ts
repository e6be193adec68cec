// What networks may be asked for, and which subnet comes next.
import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { checkNetworkSpec, nextSubnet, plannedSubnets } from "./address-pool.ts";
import { hasCode } from "./errors.ts";
import type { NetworkId } from "./ids.ts";
import { formatPrefix, type Prefix, parseCidr } from "./ip.ts";
import type { Network } from "./objects.ts";
import type { IpamConfig, NetworkSpec } from "./spec.ts";

const prefixes = (...texts: string[]): Prefix[] => texts.map((t) => parseCidr(t).prefix);
function spec(configs: readonly IpamConfig[], more: Partial<NetworkSpec> = {}): NetworkSpec {
  const flags = { EnableIPv6: false, Internal: false, Attachable: false, Ingress: false };
  return { Name: "net", Labels: {}, Driver: "overlay", Options: {}, IPAM: { Config: configs }, ...flags, ...more };
}
const network = (subnet: string, vni: number): Network => ({
  kind: "network",
  id: "n" as NetworkId,
  version: 1,
  createdAt: "",
  updatedAt: "",
  spec: spec([], { Name: "old" }),
  driverState: { vni },
  ipam: { configs: [{ subnet, gateway: "" }] },
});

const bad: readonly [string, IpamConfig[], RegExp][] = [
  ["no subnet", [{ Subnet: "hello" }], /invalid subnet hello/],
  ["a number out of range", [{ Subnet: "10.0.0.0/33" }], /invalid subnet/],
  ["bits set below the prefix", [{ Subnet: "10.0.0.5/24" }], /it should be 10\.0\.0\.0\/24/],
  ["no room", [{ Subnet: "10.0.0.0/31" }], /no room/],
  ["a gateway outside", [{ Subnet: "10.0.0.0/24", Gateway: "10.0.1.1" }], /no matching subnet for gateway 10\.0\.1\.1/],
  ["a gateway that is none", [{ Subnet: "10.0.0.0/24", Gateway: "x" }], /invalid gateway address x/],
  ["a range outside", [{ Subnet: "10.0.0.0/24", IPRange: "10.0.1.0/26" }], /no matching subnet for range/],
  ["a range that is wider", [{ Subnet: "10.0.0.0/24", IPRange: "10.0.0.0/16" }], /no matching subnet for range/],
  [
    "a reserved address outside",
    [{ Subnet: "10.0.0.0/24", AuxiliaryAddresses: { a: "10.9.0.1" } }],
    /no matching subnet for aux-address/,
  ],
  ["a gateway without a subnet", [{ Gateway: "10.0.0.1" }], /needs a subnet/],
  ["IPv6 that is not enabled", [{ Subnet: "fd00::/64" }], /IPv6 is not enabled/],
];
for (const [what, configs, message] of bad) {
  test(`refused: ${what}`, () => {
    throws(
      () => plannedSubnets(spec(configs)),
      (e) => hasCode(e, "invalid") && message.test(e.message),
    );
  });
}

test("overlaps with networks, routes, and within itself are refused; a default route is none", () => {
  const check = (subnets: string[], networks: Network[], routes: string[]) =>
    checkNetworkSpec(spec(subnets.map((Subnet) => ({ Subnet }))), networks, prefixes(...routes));
  const forbidden = (message: RegExp) => (e: unknown) => hasCode(e, "forbidden") && message.test(e.message);
  check(["10.1.0.0/24"], [network("10.2.0.0/24", 4097)], ["0.0.0.0/0", "10.3.0.0/24"]);
  throws(
    () => check(["10.1.0.0/24"], [network("10.0.0.0/8", 4097)], []),
    forbidden(/^invalid pool request: Pool overlaps with other one on this address space$/),
  );
  throws(() => check(["10.1.0.0/24"], [], ["10.1.0.128/25"]), forbidden(/host's route to 10\.1\.0\.128\/25/));
  throws(() => check(["10.1.0.0/24", "10.1.0.0/25"], [], []), forbidden(/Pool overlaps/));
});

test("a VXLAN id is one network's", () => {
  const asked = (id: string) => spec([], { Options: { "com.docker.network.driver.overlay.vxlanid_list": id } });
  checkNetworkSpec(asked("5000"), [network("10.2.0.0/24", 4097)], []);
  throws(
    () => checkNetworkSpec(asked("4097"), [network("10.2.0.0/24", 4097)], []),
    (e) => hasCode(e, "forbidden"),
  );
  for (const text of ["x", "0", "16777216", "1.5"])
    throws(
      () => checkNetworkSpec(asked(text), [], []),
      (e) => hasCode(e, "invalid"),
    );
});

test("the next subnet is the first that is free, stepping over what is in the way", () => {
  const next = (taken: string[], pools = ["10.0.0.0/8"], size = 24) => {
    const found = nextSubnet(prefixes(...pools), size, prefixes(...taken));
    return found && formatPrefix(found);
  };
  deepEqual(
    [next([]), next(["10.0.0.0/24"]), next(["10.0.0.0/25", "10.0.1.7/32"])],
    ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"],
  );
  equal(next(["10.0.0.0/9"]), "10.128.0.0/24");
  equal(next(["10.0.0.0/8"]), undefined);
  equal(next(["10.0.0.0/8"], ["10.0.0.0/8", "172.30.0.0/16"], 20), "172.30.0.0/20");
  equal(next([], ["10.5.0.0/26"], 24), "10.5.0.0/26", "a pool that is smaller than the size is one subnet");
});
