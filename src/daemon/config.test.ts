import { deepEqual, equal, throws } from "node:assert/strict";
import { hostname } from "node:os";
import { test } from "node:test";
import { hasCode, messageOf } from "../model/errors.ts";
import { type DaemonOptions, daemonArgs, parseDaemonConfig } from "./config.ts";

test("no flag at all gives the documented defaults", () => {
  deepEqual(parseDaemonConfig(), {
    hosts: [{ kind: "unix", path: "/run/skep/skep.sock" }],
    dataRoot: "/var/lib/skep",
    execRoot: "/run/skep",
    logLevel: "info",
    podman: { kind: "own" },
    nodeHostname: hostname(),
  });
});

test("the default socket follows the exec root", () => {
  const config = parseDaemonConfig({ execRoot: "/run/other" });
  deepEqual(config.hosts, [{ kind: "unix", path: "/run/other/skep.sock" }]);
});

test("a bare unix:// is the default socket", () => {
  deepEqual(parseDaemonConfig({ host: ["unix://"], execRoot: "/run/a" }).hosts, [
    { kind: "unix", path: "/run/a/skep.sock" },
  ]);
});

test("several hosts are kept in order, with dockerd's ports", () => {
  deepEqual(parseDaemonConfig({ host: ["unix:///a.sock", "tcp://127.0.0.1", "tcp://[::1]:99"] }).hosts, [
    { kind: "unix", path: "/a.sock" },
    { kind: "tcp", host: "127.0.0.1", port: 2375 },
    { kind: "tcp", host: "::1", port: 99 },
  ]);
});

test("with TLS any address may be listened on, at 2376", () => {
  const config = parseDaemonConfig({
    host: ["tcp://"],
    tlsverify: true,
    tlscacert: "/ca",
    tlscert: "/c",
    tlskey: "/k",
  });
  deepEqual(config.hosts, [{ kind: "tcp", host: "0.0.0.0", port: 2376 }]);
  deepEqual(config.tls, { cert: "/c", key: "/k", ca: "/ca", verify: true });
});

const REFUSED: readonly [string, DaemonOptions, RegExp][] = [
  ["a scheme that is not ours", { host: ["fd://"] }, /--host "fd:\/\/".*unix:\/\/ or tcp:\/\//],
  ["a path without a scheme", { host: ["/run/x.sock"] }, /must start with/],
  ["a relative socket", { host: ["unix://x.sock"] }, /absolute/],
  [
    "a socket path too long for the kernel",
    { host: [`unix:///${"x".repeat(107)}`] },
    /at most 107 bytes, this has 108/,
  ],
  ["an open tcp address without TLS", { host: ["tcp://0.0.0.0:2375"] }, /loopback/],
  ["every address, without TLS", { host: ["tcp://:2375"] }, /loopback/],
  ["a name that only looks like loopback", { host: ["tcp://127.0.0.1.example.org:1"] }, /loopback/],
  ["a port out of range", { host: ["tcp://127.0.0.1:65536"] }, /port 65536/],
  ["port 0", { host: ["tcp://127.0.0.1:0"] }, /port 0/],
  ["a tcp address with a path", { host: ["tcp://127.0.0.1:1/x"] }, /tcp:\/\/ADDRESS:PORT/],
  ["the same host twice", { host: ["unix:///a", "unix:///a"] }, /given twice/],
  ["an unknown log level", { logLevel: "loud" }, /debug, info, warn, error, fatal/],
  ["one directory for both roots", { dataRoot: "/x", execRoot: "/x/" }, /two directories/],
  ["an empty root", { dataRoot: "" }, /--data-root must name/],
  ["the root directory as a root", { execRoot: "/" }, /--exec-root cannot be \//],
  ["TLS without a key", { tls: true, tlscert: "/c" }, /--tlskey/],
  ["verification without a CA", { tlsverify: true, tlscert: "/c", tlskey: "/k" }, /--tlscacert/],
  ["a Podman that is no socket", { podman: "tcp://1.2.3.4" }, /--podman "tcp/],
  ["a running Podman with storage of its own", { podman: "unix:///p", podmanRoot: "/r" }, /runs already/],
  ["half of a separate storage", { podmanRoot: "/r" }, /go together/],
  ["a hostname with a space", { nodeHostname: "a b" }, /--node-hostname "a b"/],
];

for (const [what, options, message] of REFUSED) {
  test(`refused: ${what}`, () => {
    throws(
      () => parseDaemonConfig(options),
      (e) => hasCode(e, "invalid") && message.test(messageOf(e)),
    );
  });
}

test("daemonArgs gives flags that parse to the same config", () => {
  const all: DaemonOptions[] = [
    {},
    {
      host: ["unix:///a.sock", "tcp://[::1]:5"],
      dataRoot: "/d",
      execRoot: "/e",
      logLevel: "debug",
      podman: "unix:///p",
    },
    { podmanRoot: "/pr", podmanRunroot: "/prr", nodeHostname: "n1" },
    { host: ["tcp://"], tlsverify: true, tlscacert: "/ca", tlscert: "/c", tlskey: "/k" },
  ];
  for (const options of all) {
    const config = parseDaemonConfig(options);
    deepEqual(parseDaemonConfig(optionsOf(daemonArgs(config))), config);
  }
  equal(daemonArgs(parseDaemonConfig({ host: ["unix:///a b"] }))[0], "--host=unix:///a b");
});

/** What commander makes of the flags, in the few lines that this test needs. */
function optionsOf(args: readonly string[]): DaemonOptions {
  const options: Record<string, string | boolean | string[]> = {};
  for (const arg of args) {
    const [, flag = "", value] = /^--([^=]+)(?:=(.*))?$/.exec(arg) ?? [];
    const name = flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    if (name === "host") options[name] = [...((options[name] as string[] | undefined) ?? []), value ?? ""];
    else options[name] = value ?? true;
  }
  return options;
}
