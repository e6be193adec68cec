import { deepEqual, equal, throws } from "node:assert/strict";
import test from "node:test";
import { hasCode } from "../model/errors.ts";
import { AddressPool, chooseName, chooseSubnet } from "./gateway-pool.ts";

test("Swarm's name and subnet come first, then what is free", () => {
  equal(chooseName(new Set(["lo"])), "docker_gwbridge");
  equal(chooseName(new Set(["docker_gwbridge", "skep_gwbridge"])), "skep_gwbridge1");
  equal(chooseSubnet([]), "172.18.0.0/16");
  equal(chooseSubnet(["172.18.4.0/24", "172.16.0.0/12"]), "192.168.0.0/20");
  equal(chooseSubnet(["172.18.0.0/16", "fd00::/64"]), "172.19.0.0/16");
  equal(chooseSubnet([], "10.200.0.0/24"), "10.200.0.0/24");
  throws(
    () => chooseSubnet([], "fd00::/64"),
    (e) => hasCode(e, "invalid"),
  );
  throws(
    () => chooseSubnet(["0.0.0.0/1", "128.0.0.0/1"]),
    (e) => hasCode(e, "unavailable"),
  );
});

test("addresses are given in turn, a freed one last, until all are in use", () => {
  const pool = new AddressPool("10.0.0.0/29");
  deepEqual([pool.gateway, pool.ingress], ["10.0.0.1/29", "10.0.0.2/29"]);
  deepEqual([pool.take(), pool.take()], ["10.0.0.3/29", "10.0.0.4/29"]);
  pool.release("10.0.0.3/29");
  deepEqual([pool.take(), pool.take(), pool.take()], ["10.0.0.5/29", "10.0.0.6/29", "10.0.0.3/29"]);
  throws(
    () => pool.take(),
    (e) => hasCode(e, "unavailable"),
  );
  pool.release("10.0.0.5/29");
  equal(pool.take(), "10.0.0.5/29");
});

test("what an earlier daemon gave is not given again", () => {
  const pool = new AddressPool("172.18.0.0/16");
  pool.claim("172.18.0.3/16");
  pool.claim("172.18.0.7/16");
  equal(pool.take(), "172.18.0.8/16");
});
