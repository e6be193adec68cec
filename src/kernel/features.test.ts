import { deepEqual, equal } from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { hasIpVs, hasNft, kernelVersion } from "./features.ts";
import { openFds, witness } from "./fixture.ts";
import { genlFamily } from "./genetlink.ts";

test("the kernel's version is uname's", () => {
  equal(kernelVersion().text, witness(undefined, "uname", "-r").trim());
  deepEqual(kernelVersion("6.18.44-fc-v657"), { major: 6, minor: 18, text: "6.18.44-fc-v657" });
  deepEqual(kernelVersion("5.4"), { major: 5, minor: 4, text: "5.4" });
});

test("IPVS is there exactly when the kernel lists it", () => {
  const before = openFds();
  equal(hasIpVs(), existsSync("/proc/net/ip_vs"));
  equal(openFds(), before);
});

test("families are found by name, and absent ones are undefined", () => {
  equal(genlFamily("nlctrl"), 16);
  equal(genlFamily("no such one"), undefined);
});

test("nftables can be programmed here", () => {
  equal(hasNft(), true);
});
