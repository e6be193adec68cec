// The laboratory of this room's tests: a "host" in a namespace of its own with a machine outside it, a data plane on it, and tasks whose
// servers run in this process on sockets inside their sandboxes. Clients are processes (test-client.ts).
import { type ChildProcess, spawn } from "node:child_process";
import dgram from "node:dgram";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import readline from "node:readline";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";
import {
  createNetns,
  deleteNetns,
  exec,
  inNetns,
  Nft,
  RtNetlink,
  removeNetnsDir,
  tcpListenerIn,
  udpSocketIn,
} from "../kernel/index.ts";
import type { NetworkAssignment, ServiceAssignment } from "../model/assignment.ts";
import { systemClock } from "../model/clock.ts";
import { type NetworkId, newId, type ServiceId, type TaskId } from "../model/ids.ts";
import { silent } from "../model/log.ts";
import { sandboxIdOf } from "./names.ts";
import { createNodeNetwork, type NodeNetworkOptions } from "./node-network.ts";
import type { NodeNetwork, Sandbox, SandboxSpec } from "./port.ts";

/** Where every task's server listens, UDP and TCP. */
export const PORT = 8000;
/** A machine beyond the host. */
export const OUTSIDE = "198.51.100.2";
const PATIENCE_MS = 5000;
const POLL_MS = 10;
const NONE = { networks: [], services: [], tasks: [] };

export interface Task {
  readonly spec: SandboxSpec;
  readonly sandbox: Sandbox;
  readonly name: string;
  readonly ip: string;
}

export class Lab {
  readonly dir = mkdtempSync(join(tmpdir(), "skep-net-"));
  readonly execRoot = join(this.dir, "run");
  readonly host = join(this.dir, "ns", "host");
  readonly outside = join(this.dir, "ns", "outside");
  network: NodeNetwork;
  /** By sandbox id. */
  readonly tasks = new Map<string, Task>();
  readonly #closers = new Map<string, (() => Promise<void> | void)[]>();
  readonly #options: NodeNetworkOptions;

  private constructor(options: Partial<NodeNetworkOptions>) {
    createNetns(this.host);
    createNetns(this.outside);
    using host = RtNetlink.open(this.host);
    using outside = RtNetlink.open(this.outside);
    host.setLink("lo", { up: true });
    outside.setLink("lo", { up: true });
    host.addVeth({ name: "uplink", peer: "eth0", peerNetns: this.outside, up: true, peerUp: true });
    host.addAddress("uplink", "198.51.100.1/24");
    host.addRoute({ dst: "default", via: OUTSIDE });
    outside.addAddress("eth0", `${OUTSIDE}/24`);
    const { execRoot, host: hostNetns } = this;
    this.#options = {
      execRoot,
      hostNetns,
      log: silent,
      clock: systemClock,
      advertiseAddr: () => "198.51.100.1",
      ...options,
    };
    this.network = createNodeNetwork(this.#options);
  }

  /** A host with a started data plane; all of it goes with the test. */
  static async open(t: TestContext, options: Partial<NodeNetworkOptions> = {}): Promise<Lab> {
    const lab = new Lab(options);
    t.after(() => lab.close());
    await lab.network.start();
    return lab;
  }

  /** The daemon dies without a word, and another one comes. */
  async crash(): Promise<void> {
    await this.network.stop(); // closes sockets only, which is what the kernel does for a process that dies
    await this.restart();
  }

  async restart(): Promise<void> {
    this.network = createNodeNetwork(this.#options);
    await this.network.start();
  }

  async apply(
    networks: readonly NetworkAssignment[],
    services: readonly ServiceAssignment[],
    full = false,
  ): Promise<void> {
    await this.network.apply({ full, networks, services, removed: NONE });
  }

  /** A task with a server that answers `<task name> <address of the client>`, in use from the start unless `join` is false. */
  async run(
    service: ServiceAssignment | undefined,
    network: NetworkAssignment,
    ip: string,
    join = true,
  ): Promise<Task> {
    const taskId = newId<TaskId>();
    const serviceName = service?.name ?? "alone";
    const spec: SandboxSpec = {
      id: sandboxIdOf(taskId),
      taskId,
      taskName: `${serviceName}.${ip.split(".")[3]}.${taskId}`,
      serviceId: service?.id,
      serviceName,
      attachments: [{ networkId: network.id, addresses: [`${ip}/24`], aliases: [] }],
      dns: {},
      hosts: [],
    };
    const sandbox = await this.network.ensureSandbox(spec);
    const task = { spec, sandbox, name: spec.taskName, ip };
    this.tasks.set(spec.id, task);
    await this.serve(task);
    if (join) await this.network.join(spec.id);
    return task;
  }

  /** The files of the namespaces' directory. */
  netnsFiles(): string[] {
    const dir = join(this.execRoot, "netns");
    return existsSync(dir) ? readdirSync(dir).sort() : [];
  }

  /** Starts the task's server. */
  async serve(task: Task): Promise<void> {
    await this.serveAt(task.sandbox.netnsPath, task.name, task.spec.id);
  }

  /** Starts a server anywhere. It ends with its owner, a task, or with the laboratory. */
  async serveAt(netnsPath: string, name: string, owner = "lab"): Promise<void> {
    const open = new Set<net.Socket>();
    const tcp = net.createServer((socket) => {
      open.add(socket);
      socket.on("close", () => open.delete(socket)).on("error", () => {}); // a client that resets is no news
      socket.write(`${name} ${socket.remoteAddress}\n`);
      socket.on("data", (line) => socket.write(`${name} ${line}`));
    });
    await new Promise<void>((resolve) =>
      tcp.listen({ fd: tcpListenerIn(netnsPath, "0.0.0.0", PORT) }, () => resolve()),
    );
    const udp = dgram.createSocket("udp4");
    udp.on("message", (_, from) => udp.send(`${name} ${from.address}`, from.port, from.address));
    await new Promise<void>((resolve) => udp.bind({ fd: udpSocketIn(netnsPath, "0.0.0.0", PORT) }, () => resolve()));
    this.#closer(owner, async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => tcp.close(resolve));
      await new Promise<void>((resolve) => udp.close(() => resolve()));
    });
  }

  /** Ends a task's server and clients: its process has exited. */
  async kill(task: Task): Promise<void> {
    for (const close of this.#closers.get(task.spec.id) ?? []) await close();
    this.#closers.delete(task.spec.id);
  }

  /** Cuts a task off without telling anybody, as when a machine loses its power. */
  async block(task: Task): Promise<void> {
    using rt = RtNetlink.open(task.sandbox.netnsPath);
    rt.setLink("eth0", { up: false });
  }

  /** Waits until it is so. */
  async until(check: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await check())) {
      if (performance.now() > deadline) throw new Error("waited in vain");
      await setTimeout(POLL_MS);
    }
  }

  /** A counter of /proc/net/snmp: "Icmp: OutDestUnreachs". */
  async counter(netns: string, name: string): Promise<number> {
    const [group = "", field = ""] = name.split(" ");
    const [names, values] = (await this.exec(netns, "cat", "/proc/net/snmp"))
      .split("\n")
      .filter((l) => l.startsWith(group));
    return Number(values!.split(" ")[names!.split(" ").indexOf(field)]);
  }

  /** A client in a task's sandbox (or any namespace). */
  client(netns: string, owner = "lab"): Client {
    const client = new Client(netns);
    this.#closer(owner, () => client.close());
    return client;
  }

  async exec(netns: string, ...argv: [string, ...string[]]): Promise<string> {
    return (await exec(argv, { netns })).stdout;
  }

  /** Everything that can be seen of a namespace's network, without counters. */
  async dump(netns: string): Promise<string> {
    using nft = Nft.open(netns);
    const rules = nft.run("list ruleset", { handles: true }).replace(/packets \d+ bytes \d+/g, "");
    const parts = [rules];
    for (const what of ["link", "addr", "route", "rule"]) {
      const text = await this.exec(netns, "ip", "-d", ...(what === "link" ? [] : ["-4"]), what, "show");
      parts.push(text.replace(/\w+_timer +[\d.]+/g, ""));
    }
    return parts.join("\n");
  }

  /** Ends every server and client. */
  async killAll(): Promise<void> {
    for (const closers of this.#closers.values()) for (const close of closers) await close();
    this.#closers.clear();
  }

  async close(): Promise<void> {
    await this.killAll();
    await this.network.purge();
    for (const path of [this.host, this.outside]) deleteNetns(path);
    removeNetnsDir(join(this.dir, "ns"));
    rmSync(this.dir, { recursive: true });
  }

  #closer(owner: string, close: () => Promise<void> | void): void {
    this.#closers.set(owner, [...(this.#closers.get(owner) ?? []), close]);
  }
}

export interface Reply {
  /** The one line that came; "" after an error. */
  readonly line: string;
  /** A line a connection, for `tcp`. */
  readonly lines: readonly string[];
  /** Its code; "" if all went well. */
  readonly error: string;
  readonly ms: number;
}

export class Client {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(netns: string) {
    const script = join(import.meta.dirname, "test-client.ts");
    // Started inside, by this thread: a child inherits the namespace of the thread that makes it.
    this.#child = inNetns(netns, () => spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "inherit"] }));
    this.#lines = readline.createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async ask(command: string): Promise<Reply> {
    this.#child.stdin!.write(`${command}\n`);
    const said = (await this.#lines.next()).value as string;
    const { answer, ms } = JSON.parse(said) as { answer: string | string[] | { error: string }; ms: number };
    if (typeof answer === "string") return { line: answer, lines: [answer], error: "", ms };
    if (Array.isArray(answer)) return { line: answer[0] ?? "", lines: answer, error: "", ms };
    return { line: "", lines: [], error: answer.error, ms };
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await gone;
  }
}

/** 10.<n>.1.0/24 with the balancer at .254. */
export function aNetwork(n = 50, more: Partial<NetworkAssignment> = {}): NetworkAssignment {
  return {
    id: newId<NetworkId>(),
    name: `net${n}`,
    vni: 4100 + n,
    mtu: 1450,
    subnets: [{ subnet: `10.${n}.1.0/24`, gateway: `10.${n}.1.1` }],
    lbAddresses: [`10.${n}.1.254/24`],
    internal: false,
    ingress: false,
    options: {},
    ...more,
  };
}

export function aService(name: string, network: NetworkAssignment, vip: string): ServiceAssignment {
  return {
    id: newId<ServiceId>(),
    name,
    mode: "vip",
    virtualIPs: [{ networkId: network.id, addr: `${vip}/24` }],
    ports: [],
    aliases: {},
    labels: {},
  };
}
