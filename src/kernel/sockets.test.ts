import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, connect as netConnect } from "node:net";
import { test } from "node:test";
import { DatagramBatch, watchReadable } from "./datagrams.ts";
import { isErrno } from "./errno.ts";
import type { Cleanup } from "./fixture.ts";
import { freshNetns, openFds, witness } from "./fixture.ts";
import { closeFd, inNetns } from "./netns.ts";
import { RtNetlink } from "./rtnetlink.ts";
import { portOf, tcpListenerIn, udpSocketIn } from "./sockets.ts";

function anotherHost(t: Cleanup): string {
  const [ns] = freshNetns(t) as [string];
  using rt = RtNetlink.open(ns);
  rt.setLink("lo", { up: true });
  return ns;
}

for (const [ip, type] of [
  ["127.0.0.11", "udp4"],
  ["::1", "udp6"],
] as const) {
  test(`node's dgram serves a socket that was bound in a namespace (${type})`, async (t) => {
    const ns = anotherHost(t);
    const server = createSocket(type);
    t.after(() => void server.close());
    server.bind({ fd: udpSocketIn(ns, ip, 5353) });
    deepEqual([server.address().address, server.address().port], [ip, 5353]);
    server.on("message", (m, from) => server.send(`re: ${m}`, from.port, from.address));
    const client = createSocket(type);
    t.after(() => void client.close());
    client.bind({ fd: udpSocketIn(ns, ip, 0) });
    client.send("question", 5353, ip);
    const [answer] = await once(client, "message");
    equal(String(answer), "re: question");
    ok(witness(ns, "ss", "-Hlun").includes(":5353"));
    ok(!witness(undefined, "ss", "-Hlun").includes("127.0.0.11:5353"));
  });
}

test("node's net serves a listener that was bound in a namespace", async (t) => {
  const ns = anotherHost(t);
  const server = createServer((c) => c.end("hello from inside"));
  server.listen({ fd: tcpListenerIn(ns, "127.0.0.1", 8080) });
  await once(server, "listening");
  const client = inNetns(ns, () =>
    spawn("bash", ["-c", "cat </dev/tcp/127.0.0.1/8080"], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  const said: Buffer[] = [];
  for await (const chunk of client.stdout) said.push(chunk);
  equal(Buffer.concat(said).toString(), "hello from inside");
  const outside = netConnect(8080, "127.0.0.1");
  await rejects(once(outside, "connect"), { code: "ECONNREFUSED" });
  server.close();
  await once(server, "close");
  closeFd(tcpListenerIn(ns, "127.0.0.1", 8080)); // free again, TIME_WAIT or not
});

test("an address in use, or not there, is refused; nothing is left open and no child inherits", (t) => {
  const ns = anotherHost(t);
  const before = openFds();
  const fd = udpSocketIn(ns, "127.0.0.11", 0);
  const port = portOf(fd);
  ok(port > 0);
  const inherited = spawnSync("ls", ["-l", "/proc/self/fd"], { encoding: "utf8" }).stdout;
  ok(!/ ([3-9]|\d\d+) -> socket:/.test(inherited), inherited); // 0 to 2 are sockets that spawnSync made
  throws(
    () => udpSocketIn(ns, "127.0.0.11", port),
    (e) => isErrno(e, "EADDRINUSE"),
  );
  throws(
    () => udpSocketIn(ns, "192.0.2.1", 53),
    (e) => isErrno(e, "EADDRNOTAVAIL"),
  );
  const listener = tcpListenerIn(ns, "127.0.0.11", port);
  throws(
    () => tcpListenerIn(ns, "127.0.0.11", port),
    (e) => isErrno(e, "EADDRINUSE"),
  );
  throws(() => udpSocketIn(ns, "localhost", 53), TypeError);
  closeFd(fd);
  closeFd(listener);
  equal(openFds(), before);
});

for (const ip of ["127.0.0.11", "::1"]) {
  test(`datagrams come in and go out by the handful (${ip})`, async (t) => {
    const ns = anotherHost(t);
    const fd = udpSocketIn(ns, ip, 5353);
    const batch = new DatagramBatch(fd, { slots: 8, slotBytes: 512 });
    equal(batch.receive(), 0);
    let calls = 0;
    const watch = watchReadable(fd, () => {
      for (let n = batch.receive(); n > 0; n = batch.receive()) {
        calls++;
        for (let i = 0; i < n; i++) {
          const question = batch.received(i);
          deepEqual(batch.sender(i), { ip, port: clientPort });
          batch.answer(i, Buffer.from(question === undefined ? "too long" : `re: ${question}`));
        }
        equal(batch.flush(), n);
      }
    });
    t.after(() => {
      watch.close();
      closeFd(fd);
    });
    const client = createSocket(ip === "::1" ? "udp6" : "udp4");
    t.after(() => void client.close());
    client.bind({ fd: udpSocketIn(ns, ip, 0) });
    const clientPort = client.address().port;
    const questions = Array.from({ length: 50 }, (_, i) => `question ${i}`);
    const answers: string[] = [];
    const all = new Promise<void>((resolve) => {
      client.on("message", (m) => {
        answers.push(String(m));
        if (answers.length === questions.length + 2) resolve();
      });
    });
    for (const q of questions) client.send(q, 5353, ip);
    client.send(Buffer.alloc(600), 5353, ip);
    client.send(Buffer.alloc(0), 5353, ip);
    await all;
    deepEqual(answers.sort(), [...questions.map((q) => `re: ${q}`), "too long", "re: "].sort());
    ok(calls < 52, `${calls} calls`);
  });
}

test("a batch that cannot be sent whole drops what fails and no more", (t) => {
  const ns = anotherHost(t);
  const fd = udpSocketIn(ns, "127.0.0.1", 0);
  const client = udpSocketIn(ns, "127.0.0.1", 0);
  t.after(() => {
    closeFd(fd);
    closeFd(client);
  });
  const out = new DatagramBatch(client, { slots: 4, slotBytes: 64 });
  const batch = new DatagramBatch(fd, { slots: 4, slotBytes: 64 });
  throws(() => batch.answer(0, Buffer.alloc(65)), RangeError);
  equal(out.receive(), 0);
  equal(batch.flush(), 0);
});
