import { doesNotThrow, throws } from "node:assert/strict";
import { test } from "node:test";
import type { NetworkSpec } from "./spec.ts";
import { checkIpam, validateNetworkSpec } from "./validate-network.ts";

const spec: NetworkSpec = {
  Name: "net",
  Labels: {},
  Driver: "overlay",
  Options: {},
  EnableIPv6: false,
  Internal: false,
  Attachable: false,
  Ingress: false,
};

test("faulty subnets, ranges and gateways are listed as dockerd lists them", () => {
  const Subnet = "10.1.0.0/24";
  const cases: [config: object, fault: string][] = [
    [{}, "invalid subnet : invalid CIDR block notation"],
    [{ Subnet: "10.1.0.0" }, "invalid subnet 10.1.0.0: invalid CIDR block notation"],
    [{ Subnet: "10.1.0.7/24" }, "invalid subnet 10.1.0.7/24: it should be 10.1.0.0/24"],
    [{ Subnet, Gateway: "x" }, "invalid gateway x: invalid address"],
    [
      { Subnet, Gateway: "10.2.0.1" },
      "invalid gateway 10.2.0.1: parent subnet 10.1.0.0/24 doesn't contain this address",
    ],
    [{ Subnet, Gateway: "fd00::1" }, "invalid gateway fd00::1: parent subnet is an IPv4 block"],
    [{ Subnet, IPRange: "x" }, "invalid ip-range x: invalid CIDR block notation"],
    [
      { Subnet, IPRange: "10.1.0.0/16" },
      "invalid ip-range 10.1.0.0/16: CIDR block is bigger than its parent subnet 10.1.0.0/24",
    ],
    [
      { Subnet, IPRange: "10.2.0.0/25" },
      "invalid ip-range 10.2.0.0/25: parent subnet 10.1.0.0/24 doesn't contain ip-range",
    ],
    [{ Subnet, IPRange: "10.1.0.3/25" }, "invalid ip-range 10.1.0.3/25: it should be 10.1.0.0/25"],
    [
      { Subnet, AuxiliaryAddresses: { a: "10.2.0.1" } },
      "invalid auxiliary address a: parent subnet 10.1.0.0/24 doesn't contain this address",
    ],
  ];
  for (const [config, fault] of cases)
    throws(() => checkIpam([config]), { message: `invalid network config:\n${fault}` });
  throws(() => checkIpam([{ Subnet: "a" }, { Subnet: "b" }]), { message: /invalid subnet a[^\n]*\ninvalid subnet b/ });
  doesNotThrow(() => checkIpam([{ Subnet, Gateway: "10.1.0.1", IPRange: "10.1.0.128/25" }]));
});

test("drivers and options that skep has no use for are refused", () => {
  throws(() => validateNetworkSpec({ ...spec, Name: "a b" }), {
    message: "name must be valid as a DNS name component",
  });
  throws(() => validateNetworkSpec({ ...spec, Driver: "weave" }), { message: "error during lookup of plugin weave" });
  throws(() => validateNetworkSpec({ ...spec, IPAM: { Driver: "dhcp" } }), { message: /lookup of plugin dhcp/ });
  for (const mtu of ["67", "70000", "x", ""]) {
    throws(
      () => validateNetworkSpec({ ...spec, Options: { "com.docker.network.driver.mtu": mtu } }),
      /invalid value for/,
    );
  }
  doesNotThrow(() =>
    validateNetworkSpec({ ...spec, Options: { "com.docker.network.driver.mtu": "1400", encrypted: "" } }),
  );
});
