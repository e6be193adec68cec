// For tests: fresh namespaces, a resolver with the reference's swarm in it, and dig to ask it from inside.

import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { DnsServer } from "./server.ts";
import { type Spawn, spawnWorker } from "./thread.ts";
import { TinyUpstream } from "./tiny-upstream.ts";

/** For `test(name, { skip }, …)`. */
export const skip = process.getuid?.() === 0 ? false : "needs root";
const run = promisify(execFile);
export const NET = "net1";
export const WEB1 = "web.1.ucbfvclfddubr69qk0b7k4cq8";
export const WEB2 = "web.2.oc0mya33ti41hc2kvo7ov40ev";
export const CLIENT1 = "client.1.vb8fh7opr69pb5nwf3et21rpd";

let made = 0;

/** A namespace with lo up, gone after the test. */
export function aSandbox(t: TestContext): { id: string; netnsPath: string } {
  const id = `skep-dns-${process.pid}-${made++}`;
  execFileSync("ip", ["netns", "add", id]);
  t.after(() => execFileSync("ip", ["netns", "del", id]));
  execFileSync("ip", ["-n", id, "link", "set", "lo", "up"]);
  return { id, netnsPath: `/run/netns/${id}` };
}

/** An upstream on an address of this process's own, on port 53 since resolv.conf knows no other. */
export async function anUpstream(
  t: TestContext,
  options: { answer?: string; netns?: string } = {},
): Promise<TinyUpstream> {
  const address = `127.${77 + (made++ % 100)}.${(process.pid >> 8) & 255}.${1 + (process.pid % 250)}`;
  const upstream = await TinyUpstream.start(address, { port: 53, ...options });
  t.after(() => upstream.stop());
  return upstream;
}

export function aResolvConf(t: TestContext, ...upstreams: TinyUpstream[]): string {
  const dir = mkdtempSync(join(tmpdir(), "skep-dns-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "resolv.conf");
  writeFileSync(path, upstreams.map((upstream) => `nameserver ${upstream.address}\n`).join(""));
  return path;
}

export async function aServer(t: TestContext, resolvConfPath: string, spawn: Spawn = spawnWorker): Promise<DnsServer> {
  const warn = (facts: object, message: string): void => t.diagnostic(`${message} ${JSON.stringify(facts)}`);
  const dns = new DnsServer({ log: { warn }, resolvConfPath, spawn });
  await dns.start();
  t.after(() => dns.stop());
  return dns;
}

/** The reference's swarm: web with two tasks, client with one, and the ingress network. */
export function fill(dns: DnsServer): void {
  dns.setNetwork(NET, "my-swarm-net");
  dns.setNetwork("ing", "ingress", { ingress: true });
  dns.setService(NET, { serviceId: "web", name: "web", mode: "vip", vip: ["10.0.1.2/24"] });
  dns.setService(NET, { serviceId: "client", name: "client", mode: "vip", vip: ["10.0.1.6/24"] });
  const task = (id: string, serviceId: string, name: string, shortId: string, address: string): void =>
    dns.setEndpoint(NET, { id, serviceId, names: [name, shortId], addresses: [address], ptrName: name });
  task("e1", "web", WEB1, "c1ffca9a9ada", "10.0.1.4");
  task("e2", "web", WEB2, "cd7ec81f0a8b", "10.0.1.3");
  task("e3", "client", CLIENT1, "94fb5e52b0a1", "10.0.1.7");
  dns.setEndpoint("ing", { id: "i1", serviceId: "web", names: [WEB1], addresses: ["10.0.0.5"], ptrName: WEB1 });
}

export type Reply = { status: string; flags: string; answers: string[] };

/** Asks 127.0.0.11 from inside; answers sorted, as `name ttl type data`. */
export async function dig(sandbox: string, ...words: string[]): Promise<Reply> {
  const argv = ["netns", "exec", sandbox, "dig", "@127.0.0.11", "+tries=1", "+time=8", "+noedns", ...words];
  const { stdout } = await run("ip", argv).catch((error: { stdout: string }) => error);
  const status = /status: (\w+)/.exec(stdout)?.[1] ?? "no answer";
  const flags = /flags: ([a-z ]*)/.exec(stdout)?.[1] ?? "";
  const lines = stdout.split("\n").filter((line) => line !== "" && !line.startsWith(";"));
  const answers = lines.map((line) => line.replace(/\s+IN\s+/, " ").replace(/\s+/g, " ")).sort();
  return { status, flags, answers };
}
