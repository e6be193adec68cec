// The daemon as a program on a host: its flags, its addresses, its starts and ends, neighbours, and what is left when it is purged.
import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { inNetns } from "../../src/kernel/index.ts";
import { Host, until } from "./host.ts";

const SKEP = join(import.meta.dirname, "../../bin/skep");

suite("the daemon", () => {
  let host: Host;
  before(() => {
    host = Host.create();
  });
  after(() => host.remove());

  const roots = () => host.flags.filter((flag) => /^--(exec|data)-root=/.test(flag));
  const status = () => host.run([SKEP, "status", ...roots()]);

  test("flags that cannot be are refused with the flag's name, and nothing is made", async () => {
    const wrong: [flags: string[], why: RegExp][] = [
      [
        ["--host=tcp://0.0.0.0:2375"],
        /--host "tcp:\/\/0\.0\.0\.0:2375": whoever reaches this address owns the machine/,
      ],
      [["--host=ftp://x"], /--host "ftp:\/\/x": it must start with unix:\/\/ or tcp:\/\//],
      [["--host=tcp://127.0.0.1:99999"], /port 99999 is not between 1 and 65535/],
      [["--host=unix://relative.sock"], /the socket's path must be absolute/],
      [["--host=unix:///a", "--host=unix:///a"], /is given twice/],
      [["--log-level=loud"], /--log-level "loud": it must be one of debug, info, warn, error, fatal/],
      [["--tlsverify"], /TLS needs both --tlscert FILE and --tlskey FILE/],
      [["--podman=unix:///x.sock"], /--podman uses a Podman that runs already/],
      [["--node-hostname=-x"], /--node-hostname "-x"/],
      [["--nosuch"], /unknown option '--nosuch'/],
    ];
    for (const command of ["up", "daemon"]) {
      for (const [flags, why] of wrong) {
        const { code, stderr } = await host.run([SKEP, command, ...host.flags, ...flags]);
        equal(code, 1, `skep ${command} ${flags.join(" ")}`);
        match(stderr, why);
      }
    }
    deepEqual([existsSync(host.execRoot), existsSync(host.dataRoot)], [false, false]);
    const { code, stderr } = await host.run([SKEP, "nosuch"]);
    deepEqual([code, /unknown command 'nosuch'/.test(stderr)], [1, true], stderr);
  });

  test("status, up twice, down twice", async () => {
    const none = await status();
    deepEqual([none.code, none.stdout], [3, `skep is not running on ${host.execRoot}\n`]);
    match(await host.down(), /skep is not running on/);
    match(
      await host.up(),
      new RegExp(
        `^skep is running: pid \\d+, log .*\n.*\n {2}export DOCKER_HOST=unix://${host.socket}\n {2}docker context create skep --docker host=unix://${host.socket} `,
      ),
    );
    const pid = host.pid();
    match(await host.up(), /^skep is already running on /);
    equal(host.pid(), pid);
    const running = await status();
    equal(running.code, 0);
    for (const line of [
      `skep is running on ${host.execRoot}`,
      `  pid     ${pid}`,
      `  listens unix://${host.socket}`,
      `  log     ${host.dataRoot}/skep.log`,
    ]) {
      ok(running.stdout.split("\n").includes(line), running.stdout);
    }
    equal(statSync(host.socket).mode & 0o777, 0o660);
    match(host.log(), /^\{"level":\d+,"time":"/m);
    match(await host.down(), /^skep is stopped; its tasks keep running/);
    deepEqual([existsSync(host.socket), existsSync(join(host.execRoot, "skep.pid"))], [false, false]);
    match(await host.down(), /skep is not running on/);
  });

  test("what kill -9 left, a socket and a pid file, is in nobody's way", async () => {
    await host.up();
    const pid = host.pid();
    await host.kill9();
    deepEqual([existsSync(host.socket), existsSync(join(host.execRoot, "skep.pid"))], [true, true]);
    equal((await status()).code, 3);
    await host.up();
    notEqual(host.pid(), pid);
    equal((await host.api("GET", "/_ping")).text, "OK");
  });

  test("a second daemon on the same roots is refused, and the first goes on", async () => {
    const pid = host.pid();
    const second = await host.run([SKEP, "daemon", ...host.flags]);
    equal(second.code, 1);
    equal(second.stderr, `skep: another skep daemon already uses ${host.execRoot}\n`);
    const elsewhere = `--exec-root=${join(host.dir, "run2")}`;
    const sameData = await host.run([SKEP, "daemon", ...host.flags, elsewhere]);
    deepEqual([sameData.code, sameData.stderr], [1, `skep: another skep daemon already uses ${host.dataRoot}\n`]);
    const otherRoots = [elsewhere, `--data-root=${join(host.dir, "lib2")}`, `--host=unix://${host.socket}`];
    const sameSocket = await host.run([SKEP, "daemon", ...host.flags, ...otherRoots]);
    equal(sameSocket.code, 1);
    match(sameSocket.stderr, /cannot listen on unix:\/\/.*: another daemon answers there/);
    // not even the purge of the one that was refused takes the socket away
    await host.skep("down", "--purge", ...otherRoots.slice(0, 2));
    equal(host.pid(), pid);
    equal((await host.api("GET", "/_ping")).text, "OK");
    await host.down();
  });

  test("in the foreground, SIGTERM and SIGINT end it cleanly", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const child = inNetns(host.netns, () =>
        spawn(SKEP, ["daemon", ...host.flags], { env: host.env, stdio: ["ignore", "pipe", "pipe"] }),
      );
      const ended = once(child, "exit");
      let said = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (s: Buffer) => (said += s));
      await until(async () => (await host.tryDocker("version")).code === 0, "it answers");
      child.kill(signal);
      deepEqual(await ended, [0, null], said);
      deepEqual([existsSync(host.socket), existsSync(join(host.execRoot, "skep.pid"))], [false, false]);
      equal((await status()).code, 3);
      deepEqual(processesOf(host.dir), []);
    }
  });

  test("several addresses, one of them tcp on loopback", async () => {
    const second = join(host.dir, "second.sock");
    await host.up("-H", `unix://${host.socket}`, "-H", `unix://${second}`, "-H", "tcp://127.0.0.1:2375");
    for (const address of [`unix://${host.socket}`, `unix://${second}`, "tcp://127.0.0.1:2375"]) {
      match(await host.docker("-H", address, "version"), /Server: skep/);
      match((await status()).stdout, new RegExp(`^ {2}listens ${address}$`, "m"));
    }
    await host.down();
    equal(existsSync(second), false);
  });

  test("over TLS, only a client whose certificate the CA signed is answered", async () => {
    const dir = join(host.dir, "tls");
    mkdirSync(dir);
    await certificates(dir);
    const files = (name: string) => [
      `--tlscacert=${dir}/ca.pem`,
      `--tlscert=${dir}/${name}.pem`,
      `--tlskey=${dir}/${name}-key.pem`,
    ];
    const remote = ["--tlsverify", "-H", "tcp://192.0.2.1:2376"];
    await host.up("-H", `unix://${host.socket}`, "-H", "tcp://192.0.2.1:2376", "--tlsverify", ...files("server"));
    match(await host.docker(...remote, ...files("client"), "version"), /Server: skep/);
    const stranger = await host.tryDocker(...remote, ...files("stranger"), "version");
    deepEqual([stranger.code, /tls|certificate|EOF|reset/i.test(stranger.stderr)], [1, true], stranger.stderr);
    const nameless = await host.run(["curl", "-sS", "--cacert", `${dir}/ca.pem`, "https://192.0.2.1:2376/_ping"]);
    deepEqual([nameless.code === 0, nameless.stdout], [false, ""]);
    const plain = await host.run(["curl", "-sS", "http://192.0.2.1:2376/_ping"]);
    deepEqual([plain.code === 0, plain.stdout], [false, ""]);
    equal((await host.api("GET", "/_ping")).text, "OK");
    await host.down();
  });

  /** A CA, a server for 192.0.2.1, a client, and a client of another CA. */
  async function certificates(dir: string): Promise<void> {
    const key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    const signed = (name: string, ca: string, more: string) =>
      `openssl req ${key} -keyout ${name}-key.pem -subj /CN=${name} -out ${name}.csr && printf '${more}' >${name}.ext && ` +
      `openssl x509 -req -in ${name}.csr -CA ${ca}.pem -CAkey ${ca}-key.pem -CAcreateserial -days 1 -extfile ${name}.ext -out ${name}.pem`;
    const authority = (name: string) =>
      `openssl req -x509 ${key} -keyout ${name}-key.pem -subj /CN=${name} -days 1 -out ${name}.pem`;
    const lines = [
      `cd ${dir}`,
      authority("ca"),
      authority("other"),
      signed("server", "ca", "subjectAltName=IP:192.0.2.1\\nextendedKeyUsage=serverAuth\\n"),
      signed("client", "ca", "extendedKeyUsage=clientAuth\\n"),
      signed("stranger", "other", "extendedKeyUsage=clientAuth\\n"),
    ];
    const { code, stderr } = await host.run(["sh", "-c", lines.join(" && ")]);
    equal(code, 0, stderr);
  }
});

suite("two daemons side by side", () => {
  const hosts: Host[] = [];
  after(async () => {
    for (const host of hosts) await host.remove();
  });

  test("each has a swarm; purging one leaves its host as it was, and the other as it is", async () => {
    const one = await begun();
    const found = await lookOf(one);
    const two = await begun();
    for (const host of [one, two]) {
      await host.up();
      await host.images();
      await host.docker("swarm", "init");
      await host.docker("network", "create", "-d", "overlay", "--attachable", "net");
      await host.docker(...CREATE, "--replicas", "2", "--name", "web", "containous/whoami");
      await host.docker(
        ...CREATE,
        "--name",
        "box",
        "--mount",
        "type=volume,source=v,target=/v",
        "xiaopeng163/net-box",
        "sleep",
        "inf",
      );
      await host.docker("run", "-d", "--name", "loner", "--network", "net", "xiaopeng163/net-box", "sleep", "inf");
    }
    for (const host of [one, two]) await until(() => reaches(host), "web answers box");
    const before = await lookOf(two);
    const tasks = await two.docker("ps", "-q", "--no-trunc");

    match(await one.down("--purge"), /everything skep made is removed/);
    deepEqual(await lookOf(one), found);
    deepEqual(await lookOf(two), before);
    equal(await two.docker("ps", "-q", "--no-trunc"), tasks);
    ok(await reaches(two));
    match(await one.down("--purge"), /not running/);

    await one.up();
    equal((await one.api("GET", "/swarm")).status, 503);
    equal(await one.docker("ps", "-aq"), "");
    equal(await one.docker("volume", "ls", "-q"), "v"); // the user's data is not skep's to remove
  });

  async function begun(): Promise<Host> {
    const host = Host.create();
    hosts.push(host);
    return host;
  }

  const CREATE = ["service", "create", "-d", "--no-resolve-image", "--network", "net", "--stop-grace-period", "1s"];

  async function reaches(host: Host): Promise<boolean> {
    const id = await host.docker("ps", "-q", "--filter", "name=box.1.");
    return id !== "" && /^Hostname: /.test((await host.tryDocker("exec", id, "curl", "-s", "-m", "2", "web")).stdout);
  }
});

/** Everything of a host that a daemon could change; less Podman's own storage, which the user named. */
async function lookOf(host: Host): Promise<Record<string, string[]>> {
  // less the timers of bridges, which run
  const lines = async (...argv: string[]) =>
    (await host.run(argv)).stdout
      .replace(/timer +[\d.]+/g, "timer")
      .trimEnd()
      .split("\n");
  // the kernel takes a moment over the addresses that it gives by itself
  await until(async () => !(await host.run(["ip", "addr"])).stdout.includes("tentative"), "addresses are settled");
  const sysctls =
    "net.ipv4.ip_forward net.ipv4.conf.all.forwarding net.ipv4.conf.eth0 net.ipv4.neigh.eth0 net.ipv4.vs net.bridge";
  return {
    links: await lines("ip", "-d", "link"),
    addresses: await lines("ip", "-o", "addr"),
    routes: await lines("ip", "route", "show", "table", "all"),
    rules: await lines("ip", "rule"),
    nftables: await lines("nft", "-s", "list", "ruleset"),
    sysctls: await lines("sh", "-c", `sysctl -a 2>/dev/null | grep -E '^(${sysctls.replaceAll(" ", "|")})'`),
    mounts: readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "")
      .filter((path) => path.startsWith(host.dir) && !path.startsWith(join(host.dir, "podman")))
      .sort(),
    processes: processesOf(host.dir),
    files: readdirSync(host.dir).filter((name) => !["docker", "podman", "podman-run"].includes(name)),
    system: ["/run/netns", "/etc/cni/net.d", "/etc/containers/networks", "/run/skep", "/var/lib/skep"].filter(
      existsSync,
    ),
  };
}

/** The command lines that speak of a directory. */
function processesOf(dir: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return words.some((word) => word.includes(`${dir}/`)) ? [words.join(" ").trim()] : [];
      } catch {
        return []; // ended while we looked
      }
    })
    .sort();
}
