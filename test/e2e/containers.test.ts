// What a service asks of its containers reaches them, and what the docker command does with containers works on them.
import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { Host, until } from "./host.ts";

const BOX = "xiaopeng163/net-box";
let host: Host;

suite("containers", () => {
  before(async () => {
    host = await Host.swarm();
    await host.docker("network", "create", "-d", "overlay", "--attachable", "net");
  });
  after(() => host.remove());

  test("everything in the container spec reaches the process", async () => {
    mkdirSync(`${host.dir}/data`);
    writeFileSync(`${host.dir}/data/hello`, "from the host");
    await service("full", [
      ...["--env", "A=1", "--env", "B=two words", "--workdir", "/tmp", "--user", "1000:100", "--group", "2000"],
      ...["--hostname", "myhost", "--label", "l=service", "--container-label", "c=container"],
      ...["--mount", `type=bind,source=${host.dir}/data,target=/data,readonly`],
      ...["--mount", "type=volume,source=vol,target=/vol", "--mount", "type=tmpfs,target=/scratch,tmpfs-size=1m"],
      ...["--stop-signal", "SIGINT", "--stop-grace-period", "3s", "--init", "--read-only"],
      ...["--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "--ulimit", "nofile=100:200"],
      ...["--sysctl", "net.ipv4.ip_default_ttl=77", "--host", "other.example:192.0.2.77"],
      ...["--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "timeout:1"],
      ...["--limit-memory", "64m", "--limit-cpu", "0.5", "--limit-pids", "50"],
      ...["--health-cmd", "true", "--health-interval", "10s"],
    ]);
    const inside = (script: string) => exec("full", "sh", "-c", script);
    deepEqual((await inside('echo "$A"; echo "$B"; pwd; id -u; id -g; hostname')).split("\n"), [
      "1",
      "two words",
      "/tmp",
      "1000",
      "100",
      "myhost",
    ]);
    match(await inside("id -G"), /\b2000\b/);
    equal(await inside("cat /data/hello"), "from the host");
    match(await inside("touch /data/x 2>&1 || true"), /Read-only/i);
    match(await inside("touch /x 2>&1 || true"), /Read-only/i);
    match(await inside("grep ' /scratch ' /proc/mounts"), /tmpfs.*size=1024k/);
    match(await inside("grep ' /vol ' /proc/mounts"), /\/vol /);
    match(await inside("cat /proc/1/limits"), /Max open files\s+100\s+200/);
    equal(await inside("cat /proc/sys/net/ipv4/ip_default_ttl"), "77");
    match(await inside("cat /etc/hosts"), /192\.0\.2\.77\s+other\.example[\s\S]*10\.0\.1\.\d+\s+myhost/);
    match(
      await inside("cat /etc/resolv.conf"),
      /search example\.org\nnameserver 127\.0\.0\.11\noptions timeout:1 ndots:0|nameserver 127\.0\.0\.11/,
    );
    const caps = BigInt(`0x${/CapBnd:\s*(\w+)/.exec(await inside("cat /proc/1/status"))![1]}`);
    ok(caps & (1n << 12n), "NET_ADMIN was added");
    ok(!(caps & 1n), "CHOWN was dropped");
    const inspected = JSON.parse(await host.docker("inspect", await containerOf("full")))[0];
    equal(inspected.Config.Labels.c, "container");
    equal(inspected.Config.Labels["com.docker.swarm.service.name"], "full");
    equal(inspected.HostConfig.Memory, 64 * 1024 * 1024);
    equal(inspected.Config.StopSignal, "SIGINT");
    deepEqual(Object.keys(inspected.NetworkSettings.Networks), ["net"]);
    match(inspected.NetworkSettings.SandboxKey, /netns\/[0-9a-f]{12}$/);
    await gone("full");
  });

  test("a task without a hostname is named after its container", async () => {
    await service("plain", []);
    equal(await exec("plain", "hostname"), (await containerOf("plain")).slice(0, 12));
    await gone("plain");
  });

  test("exec, attach to logs, top, cp and stats work on a task's container", async () => {
    await host.docker(
      "service",
      "create",
      "-d",
      "--name",
      "talker",
      "--network",
      "net",
      "--no-resolve-image",
      "--stop-grace-period=1s",
      BOX,
      "sh",
      "-c",
      "echo one; echo two >&2; exec sleep inf",
    );
    await running("talker", 1);
    const id = await containerOf("talker");
    await until(async () => {
      const { stdout, stderr } = await host.tryDocker("logs", id);
      return stdout === "one\n" && stderr === "two\n";
    }, "both streams of the log");
    await until(
      async () => /talker\.1\.\w+@node1\s+\| one/.test((await host.tryDocker("service", "logs", "talker")).stdout),
      "service logs",
    );
    equal(
      (await host.run(["docker", "exec", "-i", id, "cat"], { input: "through\nstdin\n" })).stdout,
      "through\nstdin\n",
    );
    equal((await host.tryDocker("exec", id, "sh", "-c", "exit 42")).code, 42);
    equal((await host.tryDocker("exec", id, "nosuchprogram")).code, 127);
    match(await host.docker("top", id), /sleep inf/);
    writeFileSync(`${host.dir}/file`, "copied");
    await host.docker("cp", `${host.dir}/file`, `${id}:/tmp/file`);
    equal(await host.docker("exec", id, "cat", "/tmp/file"), "copied");
    match(await host.docker("stats", "--no-stream", "--format", "{{.Name}}", id), /talker/);
    const big = await host.run(["docker", "exec", id, "head", "-c", "5000000", "/dev/zero"]);
    equal(big.stdout.length, 5_000_000);
    await gone("talker");
  });

  test("docker run on an attachable network: names both ways, until the container goes", async () => {
    await service("web", ["--replicas", "2"], "containous/whoami");
    match(await host.docker("ps", "--filter", "name=web.1.", "--format", "{{.Command}}"), /^"\/whoami"$/);
    await host.docker(
      "run",
      "-d",
      "--name",
      "loner",
      "--network",
      "net",
      "--network-alias",
      "alias",
      BOX,
      "sleep",
      "inf",
    );
    match(await host.docker("exec", "loner", "curl", "-s", "-m", "5", "web"), /^Hostname: /);
    await service("asker", []);
    match(await exec("asker", "ping", "-c", "1", "loner"), /0% packet loss/);
    match(await exec("asker", "ping", "-c", "1", "alias"), /0% packet loss/);
    match(await host.docker("network", "inspect", "net"), /"Name": "loner"/);
    await host.docker("restart", "-t", "0", "loner");
    match(await host.docker("exec", "loner", "curl", "-s", "-m", "5", "web"), /^Hostname: /);
    await host.kill9();
    await host.up();
    match(await host.docker("exec", "loner", "curl", "-s", "-m", "5", "web"), /^Hostname: /);
    await host.docker("rm", "-f", "loner");
    await until(async () => !/"loner"/.test(await host.docker("network", "inspect", "net")), "it left the network");
    const { stderr } = await host.tryDocker("run", "--rm", "--network", "ingress", BOX, "true");
    match(stderr, /not manually attachable/);
    const once = await host.tryDocker("run", "--rm", "--network", "net", BOX, "sh", "-c", "echo out; exit 3");
    deepEqual([once.stdout, once.code], ["out\n", 3]);
    await gone("asker");
    await gone("web");
  });

  test("network connect and disconnect add and remove an interface", async () => {
    await host.docker("network", "create", "-d", "overlay", "--attachable", "second");
    await host.docker("run", "-d", "--name", "two", "--network", "net", BOX, "sleep", "inf");
    await host.docker("network", "connect", "second", "two");
    match(await host.docker("exec", "two", "ip", "-4", "-o", "addr"), /10\.0\.2\.\d+\/24/);
    await host.docker("network", "disconnect", "second", "two");
    await until(
      async () => !/10\.0\.2\./.test(await host.docker("exec", "two", "ip", "-4", "-o", "addr")),
      "the interface is gone",
    );
    const { code } = await host.tryDocker("exec", "two", "nslookup", "-timeout=2", "two.second");
    notEqual(code, 0, "its name there is gone");
    await host.docker("rm", "-f", "two");
    await until(async () => !/"two"/.test(await host.docker("network", "inspect", "second")), "nobody is on it");
    await until(async () => (await host.tryDocker("network", "rm", "second")).code === 0, "the network can be removed");
    await service("later", []);
    match(await host.docker("network", "inspect", "net"), /"Name": "later\.1\./);
    await gone("later");
  });

  test("a service that leaves a network keeps its name on the other, and has none on the one it left", async () => {
    await host.docker("network", "create", "-d", "overlay", "extra");
    await host.docker(
      "service",
      "create",
      "-d",
      "--name",
      "mover",
      "--network",
      "net",
      "--network",
      "extra",
      "--no-resolve-image",
      "containous/whoami",
    );
    await service("watcher", ["--network", "extra"]);
    await running("mover", 1);
    match(await exec("watcher", "curl", "-s", "-m", "5", "mover"), /^Hostname: /);
    await host.docker("service", "update", "-d", "--network-rm", "extra", "mover");
    const address = async (name: string) => (await exec("watcher", "dig", "+short", name)).trim();
    await until(async () => (await address("mover.extra")) === "", "it has no name on the network it left");
    match(await address("mover"), /^10\.0\.1\.\d+$/);
    match(await exec("watcher", "curl", "-s", "-m", "5", "mover"), /^Hostname: /);
    await gone("mover");
    await gone("watcher");
    await host.docker("network", "rm", "extra");
  });

  test("tasks reach the world through the gateway bridge, masqueraded, and those of an internal network do not", async () => {
    await service("out", []);
    match(await exec("out", "ping", "-c", "1", "-W", "2", "192.0.2.2"), /0% packet loss/);
    match(await exec("out", "ip", "route"), /^default via 172\.18\.0\.1 dev eth1/m);
    await host.docker("network", "create", "-d", "overlay", "--internal", "closed");
    await host.docker(
      "service",
      "create",
      "-d",
      "--name",
      "in",
      "--network",
      "closed",
      "--no-resolve-image",
      "--stop-grace-period=1s",
      BOX,
      "sleep",
      "inf",
    );
    await running("in", 1);
    equal(await exec("in", "ip", "route", "show", "default"), "");
    await gone("in");
    await gone("out");
    await until(async () => (await host.tryDocker("network", "rm", "closed")).code === 0, "the network can be removed");
  });
});

async function service(name: string, flags: string[], image = BOX): Promise<void> {
  const command = image === BOX ? ["sleep", "inf"] : [];
  await host.docker(
    "service",
    "create",
    "-d",
    "--name",
    name,
    "--network",
    "net",
    "--no-resolve-image",
    "--stop-grace-period=1s",
    ...flags,
    image,
    ...command,
  );
  await running(name, Number(flags[flags.indexOf("--replicas") + 1] ?? 1) || 1);
}

async function running(name: string, wanted: number): Promise<void> {
  await until(async () => {
    const states = (await host.docker("service", "ps", name, "--format", "{{.CurrentState}} {{.Error}}")).split("\n");
    const bad = states.find((s) => /^(Rejected|Failed)/.test(s));
    if (bad) throw new Error(`${name}: ${bad}`);
    return states.filter((s) => s.startsWith("Running")).length === wanted;
  }, `${wanted} of ${name} run`);
}

async function gone(name: string): Promise<void> {
  await host.docker("service", "rm", name);
  await until(async () => (await host.docker("ps", "-aq", "--filter", `name=${name}.`)) === "", `${name} is gone`);
}

async function containerOf(service: string): Promise<string> {
  return host.docker("ps", "-q", "--no-trunc", "--filter", `label=com.docker.swarm.service.name=${service}`);
}

async function exec(service: string, ...argv: string[]): Promise<string> {
  return host.docker("exec", await containerOf(service), ...argv);
}
