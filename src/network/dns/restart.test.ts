// The resolver after its daemon stopped or was killed, and after its thread died.
import { deepEqual, equal, ok } from "node:assert/strict";
import { execFile, execFileSync, spawn as spawnProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import type { Worker } from "node:worker_threads";
import { decode, encode } from "dns-packet";
import { udpSocketIn } from "../../kernel/index.ts";
import { anUpstream, aResolvConf, aSandbox, aServer, dig, fill, NET, skip } from "./sandbox-for-tests.ts";
import type { DnsServer } from "./server.ts";
import { type Spawn, spawnWorker } from "./thread.ts";

function portOf(listing: string): string {
  return /udp dport 53 dnat to 127\.0\.0\.11:(\d+)/.exec(listing)?.[1] ?? "none";
}

test("after a restart the sandbox is adopted on the same port; if that is taken, on another", { skip }, async (t) => {
  const path = aResolvConf(t, await anUpstream(t));
  const sandbox = aSandbox(t);
  const rules = (): string =>
    execFileSync("ip", ["netns", "exec", sandbox.id, "nft", "list", "table", "ip", "skep_dns"], { encoding: "utf8" });
  const listen = async (): Promise<DnsServer> => {
    const dns = await aServer(t, path);
    fill(dns);
    await dns.listen({ sandboxId: "s", netnsPath: sandbox.netnsPath, networks: [NET] });
    return dns;
  };
  const first = await listen();
  const [port, text] = [portOf(rules()), rules()];
  await first.stop();
  equal(rules(), text, "stopping leaves the rules to be adopted");
  const second = await listen();
  equal(portOf(rules()), port);
  equal(rules(), text, "once each, not twice");
  equal((await dig(sandbox.id, "web")).answers.length, 1);
  await second.listen({ sandboxId: "s", netnsPath: sandbox.netnsPath, networks: [NET] });
  equal(portOf(rules()), port, "listening again changes nothing");
  await second.stop();
  const script = `const s=require('dgram').createSocket('udp4');s.bind(${port},'127.0.0.11',()=>console.log('bound'))`;
  const thief = execFile("ip", ["netns", "exec", sandbox.id, process.execPath, "-e", script]);
  t.after(() => thief.kill());
  await new Promise((resolve) => thief.stdout?.once("data", resolve));
  await listen();
  ok(portOf(rules()) !== port);
  equal((await dig(sandbox.id, "web")).answers.length, 1);
  equal((await dig(sandbox.id, "web", "+tcp")).answers.length, 1);
});

test("rules that are not as we make them are replaced, and other tables are left alone", { skip }, async (t) => {
  const dns = await aServer(t, aResolvConf(t, await anUpstream(t)));
  fill(dns);
  const sandbox = aSandbox(t);
  const nft = (...words: string[]): string =>
    execFileSync("ip", ["netns", "exec", sandbox.id, "nft", ...words], { encoding: "utf8" });
  nft("add table ip theirs; add table ip skep_dns; add chain ip skep_dns stray");
  const spec = { sandboxId: "s", netnsPath: sandbox.netnsPath, networks: [NET] };
  for (const spoil of ["add table ip theirs", "flush chain ip skep_dns output", "delete table ip skep_dns"]) {
    nft(spoil);
    await dns.listen(spec);
    equal((await dig(sandbox.id, "web")).answers.length, 1, spoil);
    equal((await dig(sandbox.id, "web", "+tcp")).answers.length, 1, spoil);
  }
  equal(nft("list", "tables"), "table ip theirs\ntable ip skep_dns\n");
  ok(!nft("list", "ruleset").includes("stray"));
});

test("after kill -9 of the daemon the next one answers on the same port, for askers that never noticed", {
  skip,
}, async (t) => {
  const path = aResolvConf(t, await anUpstream(t));
  const sandbox = aSandbox(t);
  const server = new URL("./server.ts", import.meta.url).href;
  const script = `
    const { DnsServer } = await import(${JSON.stringify(server)});
    const dns = new DnsServer({ log: console, resolvConfPath: ${JSON.stringify(path)} });
    await dns.start();
    await dns.listen(${JSON.stringify({ sandboxId: "s", netnsPath: sandbox.netnsPath, networks: [NET] })});
    console.log("up");`;
  const daemon = spawnProcess(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => daemon.kill("SIGKILL"));
  await new Promise((resolve, reject) => {
    daemon.stdout.once("data", resolve);
    daemon.once("exit", (code) => reject(new Error(`the daemon ended (${code}) before it was up`)));
  });
  // One socket throughout: conntrack remembers where its first query went.
  const asker = createSocket("udp4");
  t.after(() => asker.close());
  const fd = udpSocketIn(sandbox.netnsPath, "127.0.0.1", 0);
  await new Promise<void>((resolve) => asker.bind({ fd, exclusive: true }, resolve));
  const ask = async (): Promise<unknown> => {
    const heard = new Promise<Buffer>((resolve) => asker.once("message", resolve));
    asker.send(
      encode({ type: "query", id: 1, flags: 0x100, questions: [{ name: "web", type: "A" }] }),
      53,
      "127.0.0.11",
    );
    return decode(await heard).answers?.map((a) => (a as { data: unknown }).data);
  };
  await ask(); // a daemon without names: SERVFAIL or NXDOMAIN, but an answer
  const ended = new Promise((resolve) => daemon.once("exit", resolve));
  daemon.kill("SIGKILL");
  await ended;
  const dns = await aServer(t, path);
  fill(dns);
  await dns.listen({ sandboxId: "s", netnsPath: sandbox.netnsPath, networks: [NET] });
  deepEqual(await ask(), ["10.0.1.2"]);
});

test("a thread that dies is started again, and answers everywhere as before", { skip }, async (t) => {
  const threads: Worker[] = [];
  const spawn: Spawn = (data) => {
    threads.push(spawnWorker(data));
    return threads.at(-1)!;
  };
  const dns = await aServer(t, aResolvConf(t, await anUpstream(t)), spawn);
  fill(dns);
  const sandbox = aSandbox(t);
  await dns.listen({ sandboxId: "s", netnsPath: sandbox.netnsPath, networks: [] });
  dns.setNetworks("s", [NET]);
  const openBefore = readdirSync("/proc/self/fd").length;
  await threads[0]?.terminate();
  dns.deleteEndpoint(NET, "e1"); // while there is no thread
  const giveUp = performance.now() + 10_000;
  while ((await dig(sandbox.id, "web")).answers.length === 0) ok(performance.now() < giveUp);
  deepEqual((await dig(sandbox.id, "tasks.web", "+tcp")).answers, ["tasks.web. 600 A 10.0.1.3"]);
  equal(threads.length, 2);
  ok(readdirSync("/proc/self/fd").length <= openBefore, "no descriptor is left open");
});
