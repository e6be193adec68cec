// A machine for end-to-end tests: a network namespace with its own daemon, roots and Podman storage, driven by the real docker CLI.
// Everything it makes is removed by `remove`, which also checks that nothing stayed behind.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  createNetns,
  deleteNetns,
  exec,
  inNetns,
  RtNetlink,
  removeNetnsDir,
  writeSysctl,
} from "../../src/kernel/index.ts";

const ROOT = join(import.meta.dirname, "../..");
const SKEP = join(ROOT, "bin/skep");
/** A docker CLI that scripts/setup put aside, where the machine had none. */
const DOCKER_DIR = join(ROOT, ".cache/docker-cli/bin");
const LOOK_EVERY_MS = 20;
const PATIENCE_MS = 60_000;

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

export interface RunOptions {
  readonly input?: string;
  /** Path of a namespace; the host's own by default. */
  readonly netns?: string;
  readonly env?: Record<string, string>;
}

export class Host {
  readonly dir: string;
  readonly netns: string;
  readonly execRoot: string;
  readonly dataRoot: string;
  readonly address = "192.0.2.1";
  readonly #flags: string[];

  private constructor(dir: string) {
    this.dir = dir;
    this.netns = join(dir, "ns/host");
    this.execRoot = join(dir, "run");
    this.dataRoot = join(dir, "lib");
    this.#flags = [`--exec-root=${this.execRoot}`, `--data-root=${this.dataRoot}`];
  }

  /** A namespace with loopback and one interface, 192.0.2.1/24, whose other end `outside` has 192.0.2.2. No daemon yet. */
  static create(): Host {
    const host = new Host(mkdtempSync(join(tmpdir(), "skep-e2e-")));
    createNetns(host.netns);
    createNetns(host.outside);
    using rt = RtNetlink.open(host.netns);
    using out = RtNetlink.open(host.outside);
    rt.addVeth({ name: "eth0", peer: "eth0", peerNetns: host.outside });
    for (const [ns, address] of [
      [rt, "192.0.2.1/24"],
      [out, "192.0.2.2/24"],
    ] as const) {
      ns.addAddress("eth0", address);
      ns.setLink("lo", { up: true });
      ns.setLink("eth0", { up: true });
    }
    rt.addRoute({ dst: "0.0.0.0/0", via: "192.0.2.2", dev: "eth0" });
    // What is beyond is refused at once instead of never answered. Only this refusal ends a resolver's UDP query early.
    writeSysctl(host.outside, "net.ipv4.ip_forward", "1");
    writeSysctl(host.outside, "net.ipv4.icmp_ratelimit", "0"); // each query is refused, not one a second
    out.addRoute({ dst: "0.0.0.0/0", type: "prohibit" });
    return host;
  }

  /** With the daemon up, the demo's images loaded and a swarm made. */
  static async swarm(): Promise<Host> {
    const host = Host.create();
    try {
      await host.up();
      await host.images();
      await host.docker("swarm", "init");
      return host;
    } catch (e) {
      console.error(host.log().split("\n").slice(-30).join("\n"));
      await host.remove();
      throw e;
    }
  }

  /** The network namespace of "the world": what the host's default route leads to. */
  get outside(): string {
    return join(this.dir, "ns/outside");
  }

  get netnsDir(): string {
    return join(this.execRoot, "netns");
  }

  get socket(): string {
    return join(this.execRoot, "skep.sock");
  }

  /** In which `docker` speaks to this host. */
  get env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      PATH: `${process.env.PATH}:${DOCKER_DIR}`,
      DOCKER_HOST: `unix://${this.socket}`,
      DOCKER_CONFIG: join(this.dir, "docker"),
    };
  }

  /** Roots and Podman storage of this host's own: what makes its daemon live beside others. */
  get flags(): readonly string[] {
    const podman = [`--podman-root=${join(this.dir, "podman")}`, `--podman-runroot=${join(this.dir, "podman-run")}`];
    return [...this.#flags, ...podman, "--node-hostname=node1", "--log-level=debug"];
  }

  async up(...more: readonly string[]): Promise<string> {
    return await this.skep("up", ...this.flags, ...more);
  }

  async down(...flags: string[]): Promise<string> {
    return await this.skep("down", ...this.#flags, ...flags);
  }

  /** Puts the demo's images into this host's engine; from the machine's own namespace, where Debian's packages can be had. */
  async images(): Promise<void> {
    const { stderr, code } = await this.run([SKEP, "demo-images", "--build", ...this.#flags], {
      netns: "/proc/self/ns/net",
    });
    if (code !== 0) throw new Error(`cannot make the demo's images: ${stderr}`);
  }

  /** SIGKILLs the daemon and waits until it is gone. */
  async kill9(): Promise<void> {
    const pid = this.pid();
    process.kill(pid, "SIGKILL");
    await until(() => !existsSync(`/proc/${pid}`), "the daemon is gone");
  }

  pid(): number {
    return Number(readFileSync(join(this.execRoot, "skep.pid"), "utf8"));
  }

  log(): string {
    const file = join(this.dataRoot, "skep.log");
    return existsSync(file) ? readFileSync(file, "utf8") : "(no log)";
  }

  /** Runs a docker command against this host's daemon. @throws when it fails, with what it printed */
  async docker(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await this.tryDocker(...args);
    if (code !== 0) throw new Error(`docker ${args.join(" ")} exited with ${code}: ${stderr}${stdout}`);
    return stdout.trimEnd();
  }

  tryDocker(...args: string[]): Promise<Output> {
    return this.run(["docker", ...args]);
  }

  async skep(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await this.run([SKEP, ...args]);
    if (code !== 0)
      throw new Error(`skep ${args.join(" ")} exited with ${code}: ${stderr}${stdout}\n${this.log().slice(-3000)}`);
    return stdout;
  }

  /** Runs a command on this host (in its network namespace, or in another one). */
  async run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
    const env = { ...this.env, ...options.env };
    const [command, ...args] = argv;
    const child = inNetns(options.netns ?? this.netns, () => spawn(command!, args, { env, stdio: "pipe" }));
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (s: string) => (stdout += s));
    child.stderr.setEncoding("utf8").on("data", (s: string) => (stderr += s));
    child.stdin.on("error", () => undefined); // it ended without reading its input: its exit code tells
    child.stdin.end(options.input ?? "");
    const [code] = (await once(child, "close")) as [number | null];
    return { stdout, stderr, code: code ?? 128 };
  }

  /** A request to the API as it is, without a CLI. */
  async api(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown; text: string }> {
    const args = [
      "curl",
      "-gsS",
      "--unix-socket",
      this.socket,
      "-X",
      method,
      "-w",
      "\n%{http_code}",
      `http://d${path}`,
    ];
    if (body !== undefined)
      args.push("-H", "Content-Type: application/json", "-d", typeof body === "string" ? body : JSON.stringify(body));
    const { stdout, stderr, code } = await this.run(args);
    if (code !== 0) throw new Error(`${method} ${path}: ${stderr}`);
    const at = stdout.lastIndexOf("\n");
    const text = stdout.slice(0, at);
    return { status: Number(stdout.slice(at + 1)), text, body: parse(text) };
  }

  /** Takes everything away. @throws when something of the daemon's stayed behind */
  async remove(): Promise<void> {
    try {
      await this.down("--purge");
      const left = [this.execRoot, this.dataRoot].flatMap((dir) =>
        existsSync(dir) ? readdirSync(dir).map((f) => join(dir, f)) : [],
      );
      const links = inNetns(this.netns, () => {
        using rt = RtNetlink.open();
        return rt.links().map((l) => l.name);
      }).filter((name) => !["lo", "eth0"].includes(name) && !/^(ifb|tunl|sit|ip6tnl|gre|erspan|dummy)/.test(name));
      const { stdout } = await exec(["nft", "list", "tables"], { netns: this.netns });
      if (left.length + links.length > 0 || stdout.includes("skep")) {
        throw new Error(`left behind: ${[...left, ...links, stdout.trim()].join(", ")}`);
      }
    } finally {
      await this.#clear();
    }
  }

  async #clear(): Promise<void> {
    await exec([
      "sh",
      "-c",
      `podman --root ${this.dir}/podman --runroot ${this.dir}/podman-run rm -fa >/dev/null 2>&1 || true`,
    ]);
    // What a failed test left mounted would keep the directory from going.
    for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n").reverse()) {
      const target = line.split(" ")[1] ?? "";
      if (target.startsWith(`${this.dir}/podman`)) await exec(["umount", "-l", target]);
    }
    deleteNetns(this.netns);
    deleteNetns(this.outside);
    removeNetnsDir(join(this.dir, "ns"));
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Waits for a condition. @throws after a minute, naming it */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${patienceMs / 1000} s in vain: ${what}`);
    await delay(LOOK_EVERY_MS);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // not every answer is JSON
  }
}
