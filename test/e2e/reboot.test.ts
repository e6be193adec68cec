// The host is switched off and on again: what was in memory is gone, what was on disk is there, and the services come back by themselves.
import { equal, match, notEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { deleteNetns, listNetns, RtNetlink, removeNetnsDir } from "../../src/kernel/index.ts";
import { Host, until } from "./host.ts";

suite("a reboot", () => {
  let host: Host;
  before(async () => {
    host = await Host.swarm();
  });
  after(() => host.remove());

  test("services run again, with new tasks in the old slots, and the old ones are told as failed", async () => {
    await host.docker("network", "create", "-d", "overlay", "net");
    const flags = ["-d", "--network", "net", "--no-resolve-image", "--restart-delay", "0s"];
    await host.docker("service", "create", "--name", "web", "--replicas", "2", ...flags, "containous/whoami");
    await host.docker("service", "create", "--name", "box", ...flags, "xiaopeng163/net-box", "sleep", "inf");
    await runs("web", 2);
    await runs("box", 1);
    const tasks = await host.docker("service", "ps", "-q", "web");

    await host.kill9();
    switchOff(host);
    await host.up();

    await runs("web", 2);
    await runs("box", 1);
    notEqual(await host.docker("service", "ps", "-q", "--filter", "desired-state=running", "web"), tasks);
    match(await host.docker("service", "ps", "--no-trunc", "web"), /web\.1\s.*(Failed|Shutdown)/);
    const box = await host.docker("ps", "-q", "--filter", "name=box.1.");
    const answered = new Set<string>();
    for (let i = 0; i < 4; i++) answered.add((await host.docker("exec", box, "curl", "-s", "web")).split("\n")[0]!);
    equal(answered.size, 2);
  });

  async function runs(service: string, wanted: number): Promise<void> {
    await until(async () => {
      const { body } = await host.api("GET", `/services?status=true&filters={"name":["${service}"]}`);
      return (body as { ServiceStatus: { RunningTasks: number } }[])[0]?.ServiceStatus.RunningTasks === wanted;
    }, `${wanted} of ${service} run`);
  }
});

/** Takes away what a machine loses with its power: processes, namespaces, links, rules, and what is in /run. */
function switchOff(host: Host): void {
  for (const pid of readdirSync("/proc").filter((p) => /^\d+$/.test(p))) {
    if (!belongs(Number(pid), host)) continue;
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // ended already, with its parent
    }
  }
  // Before any process reads them again: the file systems of the containers.
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n").reverse()) {
    const target = line.split(" ")[1] ?? "";
    if (target.startsWith(join(host.dir, "podman"))) execFileSync("umount", ["-l", target]);
  }
  for (const path of listNetns(host.netnsDir)) deleteNetns(path);
  removeNetnsDir(host.netnsDir);
  using rt = RtNetlink.open(host.netns);
  rt.deleteLink("docker_gwbridge");
  rmSync(host.execRoot, { recursive: true, force: true });
  rmSync(join(host.dir, "podman-run"), { recursive: true, force: true });
}

/**
 * Podman and its monitors, by their arguments; and the processes in the host's containers, by their root, which is in its storage. Nobody
 * else's: other hosts, and other people's Podman, run beside this one.
 */
function belongs(pid: number, host: Host): boolean {
  try {
    const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    if (/(podman|conmon)$/.test(program)) return args.some((a) => a.startsWith(`${host.dir}/`));
    const root = readFileSync(`/proc/${pid}/mountinfo`, "utf8")
      .split("\n")
      .find((line) => line.split(" ")[4] === "/");
    return root?.includes(`${host.dir}/podman/`) === true;
  } catch {
    return false; // gone
  }
}
