import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../model/errors.ts";
import type { ContainerCreate } from "./container-spec.ts";
import { parseLimits, settableUlimits } from "./limits.ts";
import { signalNumber, toSpecGenerator } from "./spec-generator.ts";

const LEAST: ContainerCreate = { name: "n", image: "alpine", netns: { nsmode: "none" } };

test("nothing is said about what is not asked for", () => {
  deepEqual(toSpecGenerator(LEAST, undefined), {
    name: "n",
    image: "docker.io/library/alpine:latest",
    env: {},
    unsetenv: ["container", "TERM"],
    mounts: [],
    volumes: [],
    resource_limits: { pids: { limit: -1 } },
    netns: { nsmode: "none" },
    systemd: "false",
  });
});

test("signals by name, by number and in real time", () => {
  const cases = { SIGTERM: 15, term: 15, "9": 9, SIGRTMIN: 34, "RTMIN+3": 37, "SIGRTMAX-1": 63 };
  for (const [text, number] of Object.entries(cases)) equal(signalNumber(text), number);
  for (const bad of ["", "SIGNOPE", "0", "65", "RTMAX-", "-1"])
    throws(
      () => signalNumber(bad),
      (e) => hasCode(e, "invalid"),
      bad,
    );
});

test("an added capability wins over a dropped one", () => {
  const caps = (capabilityAdd: string[], capabilityDrop: string[]) => {
    const { cap_add, cap_drop } = toSpecGenerator({ ...LEAST, capabilityAdd, capabilityDrop }, undefined);
    return [cap_add, cap_drop];
  };
  deepEqual(caps(["NET_ADMIN"], ["chown", "CAP_NET_ADMIN"]), [["CAP_NET_ADMIN"], ["CAP_CHOWN"]]);
  deepEqual(caps(["NET_ADMIN"], ["ALL"]), [["CAP_NET_ADMIN"], ["ALL"]]);
  deepEqual(caps(["ALL"], ["CHOWN"]), [["ALL"], ["CAP_CHOWN"]]);
});

test("limits are Docker's: memory allows as much swap again, CPUs are a quota", () => {
  const { resource_limits } = toSpecGenerator(
    { ...LEAST, limits: { memoryBytes: 1000, nanoCpus: 1.5e9, pids: 7 } },
    undefined,
  );
  deepEqual(resource_limits, {
    memory: { limit: 1000, swap: 2000 },
    cpu: { quota: 150_000, period: 100_000 },
    pids: { limit: 7 },
  });
});

test("logs: Docker's file drivers are kept in Podman's file", () => {
  const log = (name: string, options: Record<string, string> = {}) =>
    toSpecGenerator({ ...LEAST, logDriver: { name, options } }, undefined).log_configuration;
  deepEqual(log("json-file", { "max-size": "10m", tag: "t" }), {
    driver: "k8s-file",
    size: 10485760,
    options: { tag: "t" },
  });
  deepEqual(log("none"), { driver: "none" });
  throws(
    () => log("local", { "max-size": "big" }),
    (e) => hasCode(e, "invalid"),
  );
});

test("a relative mount target is refused", () => {
  const mounts = [{ type: "tmpfs", target: "x" }] as const;
  throws(() => toSpecGenerator({ ...LEAST, mounts }, undefined), /mount path must be absolute/);
});

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max processes             100                  200                  processes 
Max open files            1024                 4096                 files     
`;

test("ulimits are cut to what can be set, and Podman's own too high ones replaced", () => {
  const ceilings = parseLimits(LIMITS);
  deepEqual(settableUlimits([{ name: "nofile", soft: 2000, hard: 1_000_000 }], ceilings), [
    { name: "nofile", soft: 2000, hard: 4096 },
    { name: "nproc", soft: 200, hard: 200 },
  ]);
  deepEqual(settableUlimits([{ name: "nofile", soft: -1, hard: -1 }], ceilings)[0], {
    name: "nofile",
    soft: 4096,
    hard: 4096,
  });
  deepEqual(settableUlimits([{ name: "core", soft: 0, hard: 0 }], undefined), [{ name: "core", soft: 0, hard: 0 }]);
});
