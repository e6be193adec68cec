// The parts that need no engine: words, frames, times, filters.
import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import type { NetworkId } from "../../model/ids.ts";
import { table } from "./container-top.ts";
import { instant } from "./events.ts";
import { Filters } from "./filters.ts";
import { FrameReader, frame } from "./frames.ts";
import { jsonLines } from "./proxy.ts";
import { refusal, type Subject } from "./refusals.ts";
import { networksJson } from "./task-networks.ts";
import { translateEvent } from "./translate-event.ts";

const ID = "a".repeat(64);

test("refusals: Podman's sentence and status → Docker's", () => {
  const cases: [number, string, Subject | undefined, number | string, string][] = [
    [
      404,
      'no container with name or ID "x" found: no such container',
      { kind: "container", name: "x" },
      "not_found",
      "No such container: x",
    ],
    [404, "docker.io/library/x: image not known", { kind: "image", name: "x" }, "not_found", "No such image: x:latest"],
    [404, "volume with name v not found: no such volume", undefined, "not_found", "get v: no such volume"],
    [404, "", { kind: "exec", name: "e" }, "not_found", "No such exec instance: e"],
    [
      500,
      `can only kill running containers. ${ID} is in state exited: container state improper`,
      { kind: "container", name: "x" },
      "conflict",
      `cannot kill container: x: container ${ID} is not running`,
    ],
    [500, "something new", undefined, "internal", "something new"],
    [409, "something new", undefined, "conflict", "something new"],
  ];
  for (const [status, message, subject, code, said] of cases) {
    const e = refusal(status, JSON.stringify({ cause: "", message, response: status }), subject);
    deepEqual([e.code, e.message], [code, said]);
  }
  equal(refusal(404, "Not Found").message, "page not found");
});

test("events: Podman's words → Docker's, and no labels of skep's own", () => {
  const line = JSON.stringify({
    Type: "container",
    Action: "died",
    Actor: {
      ID,
      Attributes: { containerExitCode: "3", image: "docker.io/library/a:b", name: "n", podId: "", "io.skep.x": "y" },
    },
    time: 5,
  }).replace("}}", '}},"timeNano":5000000123456789123');
  deepEqual(translateEvent(line.replace(/\}$/, "}")), {
    Type: "container",
    Action: "die",
    Actor: { ID, Attributes: { image: "a:b", name: "n", exitCode: "3" } },
    scope: "local",
    time: 5,
    timeNano: 5000000123456789123n,
  });
  equal(translateEvent('{"Type":"container","Action":"init"}'), undefined);
  equal(translateEvent('{"Type":"pod","Action":"create"}'), undefined);
  equal(translateEvent('{"Type":"conta'), undefined);
});

test("frames: cut anywhere, whole lines come out, streams apart", () => {
  const bytes = Buffer.concat([
    frame(1, Buffer.from("one\ntw")),
    frame(2, Buffer.from("err\n")),
    frame(1, Buffer.from("o\nend")),
  ]);
  for (const size of [1, 3, 7, 8, 9, bytes.length]) {
    const reader = new FrameReader(false);
    const lines = [];
    for (let at = 0; at < bytes.length; at += size) lines.push(...reader.push(bytes.subarray(at, at + size)));
    lines.push(...reader.end());
    deepEqual(
      lines.map(({ stream, line }) => `${stream}${line}`),
      ["1one\n", "2err\n", "1two\n", "1end"],
      `pieces of ${size}`,
    );
  }
  deepEqual(new FrameReader(true).push(Buffer.from("raw\n")), [{ stream: 1, line: Buffer.from("raw\n") }]);
});

test("documents of a stream are changed one by one, however they are cut", async () => {
  const stream = jsonLines((d) => ((d as { n: number }).n === 2 ? undefined : { ...(d as object), seen: true }));
  const text = '{"n":1,"s":"é"}\n{"n":2}\nnot json\n{"n":3}';
  for (const byte of Buffer.from(text)) stream.write(Buffer.from([byte]));
  stream.end();
  let out = "";
  for await (const chunk of stream) out += chunk;
  equal(out, '{"n":1,"s":"é","seen":true}\r\nnot json\n{"n":3,"seen":true}\r\n');
});

test("times of events: seconds, fractions, durations, dates", () => {
  const now = 1_000_000_000_000n;
  equal(instant("5", now), 5_000_000_000n);
  equal(instant("5.000000001", now), 5_000_000_001n);
  equal(instant("1m10s", now), now - 70_000_000_000n);
  equal(instant("1970-01-01T00:00:01Z", now), 1_000_000_000n);
  equal(instant("", now), undefined);
  throws(() => instant("soon", now), /failed to parse value "soon" as time or duration/);
});

test("filters: labels for and against", () => {
  const of = (filters: object) =>
    Filters.of(new URLSearchParams({ filters: JSON.stringify(filters) }), ["label", "label!", "name"]);
  equal(of({ label: { "a=b": true } }).labels({ a: "b" }), true);
  equal(of({ label: ["a=c"] }).labels({ a: "b" }), false);
  equal(of({ "label!": ["a"] }).labels({ a: "b" }), false);
  equal(of({ name: ["^x$"] }).match("name", "xy", "x"), true);
  throws(() => of({ other: ["x"] }), /Invalid filter 'other'/);
});

test("a task's networks, in a list and in inspect", () => {
  const networking = {
    sandboxId: ID,
    sandboxKey: "/run/skep/netns/x",
    endpoints: [
      { networkName: "net", networkId: "n1" as NetworkId, endpointId: ID, addresses: ["10.0.1.3/24"], aliases: [] },
    ],
  };
  const inList = networksJson(networking).net as Record<string, unknown>;
  deepEqual(
    [inList.IPAMConfig, inList.IPAddress, inList.IPPrefixLen, inList.MacAddress, inList.NetworkID, inList.Aliases],
    [{ IPv4Address: "10.0.1.3" }, "10.0.1.3", 24, "02:42:0a:00:01:03", "n1", null],
  );
  deepEqual((networksJson(networking, "abc").net as { Aliases: unknown }).Aliases, ["abc"]);
});

test("top: the container's lines of ps, commands whole", () => {
  const output = "UID  PID CMD\nroot   1 /sbin/init\nroot  77 sleep 1000 x\n";
  deepEqual(table(output, new Set([77])), {
    Titles: ["UID", "PID", "CMD"],
    Processes: [["root", "77", "sleep 1000 x"]],
  });
  throws(() => table("UID CMD\n", new Set()), /Couldn't find PID field/);
});
