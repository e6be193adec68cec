import { deepEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { type HostAddresses, resolveAdvertised } from "./addresses.ts";

const one: HostAddresses = {
  eth0: [
    { address: "192.0.2.1", family: 4 },
    { address: "2001:db8::1", family: 6 },
  ],
};
const two: HostAddresses = { ...one, eth1: [{ address: "198.51.100.1", family: 4 }] };

test("the only address of the host is advertised, with the listen port", () => {
  deepEqual(resolveAdvertised("", "0.0.0.0:2377", one), { address: "192.0.2.1", port: 2377 });
  deepEqual(resolveAdvertised("", "0.0.0.0:9999", one), { address: "192.0.2.1", port: 9999 });
});

test("bridges of containers do not count", () => {
  const host: HostAddresses = { ...one, docker_gwbridge: [{ address: "172.18.0.1", family: 4 }] };
  deepEqual(resolveAdvertised("", "0.0.0.0:2377", host), { address: "192.0.2.1", port: 2377 });
});

test("an address, an interface, and either with a port can be named", () => {
  deepEqual(resolveAdvertised("127.0.0.1", "0.0.0.0:2377", two), { address: "127.0.0.1", port: 2377 });
  deepEqual(resolveAdvertised("eth1:4000", "0.0.0.0:2377", two), { address: "198.51.100.1", port: 4000 });
  deepEqual(resolveAdvertised("[2001:db8::9]:1", "", two), { address: "2001:db8::9", port: 1 });
  deepEqual(resolveAdvertised("", "127.0.0.1:12377", two), { address: "127.0.0.1", port: 12_377 });
});

test("what cannot be decided is refused in dockerd's words", () => {
  throws(() => resolveAdvertised("", "0.0.0.0:2377", two), {
    message:
      "could not choose an IP address to advertise since this system has multiple addresses on different interfaces " +
      "(192.0.2.1 on eth0 and 198.51.100.1 on eth1) - specify one with --advertise-addr",
  });
  throws(() => resolveAdvertised("", "", {}), { message: /could not find the system's IP address/ });
  throws(() => resolveAdvertised("nosuch0", "", one), {
    message: /must be a non-zero IP address or network interface/,
  });
  throws(() => resolveAdvertised("0.0.0.0", "", one), { code: "invalid" });
  throws(() => resolveAdvertised("1.2.3.4:99999", "", one), { code: "invalid" });
});
