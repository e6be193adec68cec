// What the kernel room costs, in microseconds a call, beside the same done by forking the usual tool. Run as root: node bench/kernel.ts
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createNetns,
  deleteNetns,
  inNetns,
  Nft,
  netnsId,
  RtNetlink,
  readSysctl,
  removeNetnsDir,
} from "../src/kernel/index.ts";

const dir = mkdtempSync(join(tmpdir(), "skep-bench-"));
const a = join(dir, "a");
const b = join(dir, "b");

/** Prints the median and the 95th percentile of `rounds` calls; `before` is not timed. */
function measure(what: string, rounds: number, call: (i: number) => void, after: (i: number) => void = () => {}): void {
  const took: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const from = process.hrtime.bigint();
    call(i);
    took.push(Number(process.hrtime.bigint() - from) / 1000);
    after(i);
  }
  took.sort((x, y) => x - y);
  const [median, p95] = [took[rounds >> 1]!, took[Math.floor(rounds * 0.95)]!];
  console.log(`${what.padEnd(52)} ${median.toFixed(1).padStart(9)} µs   p95 ${p95.toFixed(1).padStart(9)} µs`);
}
const inside = (argv: [string, ...string[]], input?: string): void => {
  inNetns(a, () => execFileSync(argv[0], argv.slice(1), input === undefined ? { stdio: "ignore" } : { input }));
};

try {
  for (const path of [a, b]) createNetns(path);
  using rt = RtNetlink.open(a);
  using nft = Nft.open(a);
  nft.run("table ip t {\n map m {\n type ipv4_addr : ipv4_addr\n }\n}\n");

  const fresh = (i: number): string => join(dir, `n${i}`);
  measure("create a namespace", 100, (i) => createNetns(fresh(i)));
  measure("delete its name", 100, (i) => deleteNetns(fresh(i)));
  measure("enter a namespace and come back (by path)", 2000, () => inNetns(a, () => undefined));
  measure("open and close a netlink socket there", 2000, () => RtNetlink.open(a).close());
  measure("read a sysctl there", 2000, () => readSysctl(a, "net.ipv4.ip_forward"));
  measure("identify a namespace", 2000, () => netnsId(a));

  const veth = { name: "v0", peer: "eth0", peerNetns: b, mtu: 1450, up: true, peerUp: true };
  measure(
    "veth pair across two namespaces, both ends up",
    50,
    () => rt.addVeth(veth),
    () => rt.deleteLink("v0"),
  );
  measure(
    "  the same with ip (one fork; ends not up)",
    20,
    () => inside(["ip", "link", "add", "v0", "mtu", "1450", "type", "veth", "peer", "name", "eth0"]),
    () => rt.deleteLink("v0"),
  );
  rt.addBridge("br0", { up: true });
  measure("add an address", 1000, (i) => rt.addAddress("br0", `10.${i >> 8}.${i & 255}.1/32`));
  measure("list 1,000 addresses", 50, () => rt.addresses("br0"));
  measure("find a link by name", 2000, () => rt.link("br0"));

  const change = (i: number): string => `${i % 2 === 0 ? "add" : "delete"} element ip t m { 10.0.0.1 : 10.0.0.2 }`;
  measure("nft map element, in process", 2000, (i) => nft.run(change(i)));
  measure("  the same with nft -f - (one fork)", 50, (i) => inside(["nft", "-f", "-"], change(i)));
} finally {
  for (const path of [a, b]) deleteNetns(path);
  removeNetnsDir(dir);
}
