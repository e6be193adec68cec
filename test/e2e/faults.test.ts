// Bad input and faults on a real host: each is answered as Docker answers it, and nothing that worked before stops working.
import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { after, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Host, until } from "./host.ts";

let host: Host;

suite("faults", () => {
  before(async () => {
    host = await Host.swarm();
    await host.docker("network", "create", "-d", "overlay", "my-net");
    await host.docker(...create("web", "--replicas", "2"), "containous/whoami");
    await host.docker(...create("client"), "xiaopeng163/net-box", "sleep", "inf");
    await runs("web", 2);
    await runs("client", 1);
  });
  after(() => host.remove());

  test("names, subnets and ports that cannot be are refused, and nothing is made", async () => {
    const before = await host.docker("service", "ls", "-q");
    await refused(
      ["service", "create", "--name", "-x", "containous/whoami"],
      /name must be valid as a DNS name component/,
    );
    await refused(
      ["service", "create", "--name", "web", "containous/whoami"],
      /name conflicts with an existing object: service web already exists/,
    );
    await refused(
      ["service", "create", "--name", "y", "--network", "nosuch", "containous/whoami"],
      /network nosuch not found/,
    );
    await refused(["network", "create", "-d", "overlay", "my-net"], /network with name my-net already exists/);
    await refused(["network", "create", "-d", "overlay", "--subnet", "10.0.0.0/99", "n2"], /invalid/i);
    await refused(["network", "create", "-d", "overlay", "--subnet", "10.0.0.128/25", "n2"], /overlap/i);
    await refused(["network", "create", "-d", "overlay", "--subnet", "192.0.2.0/24", "n2"], /overlap/i);
    await refused(["network", "rm", "my-net"], /is in use by service/);
    equal(await host.docker("service", "ls", "-q"), before);
    deepEqual(
      (await host.docker("network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}}")).split("\n").sort(),
      ["ingress", "my-net"],
    );
  });

  test("bodies that are no requests are refused, and the daemon goes on", async () => {
    equal((await host.api("POST", "/services/create", "{")).status, 400);
    equal((await host.api("POST", "/services/create", '{"Name": 7}')).status, 400);
    equal((await host.api("POST", "/networks/create", '["x"]')).status, 400);
    const huge = await host.run([
      "sh",
      "-c",
      `head -c 50000000 /dev/zero | tr '\\0' ' ' | curl -sS -o /dev/null -w '%{http_code}' --unix-socket ${host.socket} -H 'Content-Type: application/json' -H 'Expect:' --data-binary @- http://d/services/create`,
    ]);
    match(huge.stdout, /413|400/);
    equal((await host.api("GET", "/nosuch")).status, 404);
    equal((await host.api("GET", "/v1.12/info")).status, 400);
    equal((await host.api("GET", "/_ping")).text, "OK");
  });

  test("ids that mean nothing, and prefixes that mean two things", async () => {
    equal((await host.api("GET", "/services/nosuch")).status, 404);
    equal((await host.api("GET", "/tasks/nosuch")).status, 404);
    await refused(["service", "rm", "nosuch"], /service nosuch not found/);
    const web = await host.docker("service", "inspect", "-f", "{{.ID}}", "web");
    equal(((await host.api("GET", `/services/${web.slice(0, 10)}`)).body as { ID: string }).ID, web);
  });

  test("an update of what somebody changed meanwhile is out of sequence", async () => {
    const web = (await host.api("GET", "/services/web")).body as {
      ID: string;
      Version: { Index: number };
      Spec: object;
    };
    const stale = await host.api("POST", `/services/${web.ID}/update?version=${web.Version.Index - 1}`, web.Spec);
    deepEqual(
      [stale.status, stale.body],
      [500, { message: "rpc error: code = Unknown desc = update out of sequence" }],
    );
  });

  test("a task whose image does not exist is rejected with the reason, again by policy", async () => {
    await host.docker(...create("broken", "--restart-delay", "1s"), "nosuch/image:1");
    await until(async () => {
      const lines = await host.docker(
        "service",
        "ps",
        "broken",
        "--no-trunc",
        "--format",
        "{{.CurrentState}}|{{.Error}}",
      );
      return lines.split("\n").filter((l) => /^Rejected.*No such image: nosuch\/image:1/.test(l)).length >= 2;
    }, "rejected twice");
    await host.docker("service", "rm", "broken");
  });

  test("a killed task is replaced after its delay, in its slot, and nothing is sent to it once it is gone", async () => {
    await host.docker(...create("victim", "--replicas", "2", "--restart-delay", "1s"), "containous/whoami");
    await runs("victim", 2);
    const [id] = (await host.docker("ps", "-q", "--filter", "name=victim.1.")).split("\n");
    const load = probe(await client(), "victim", 200);
    await host.docker("kill", id!);
    await until(
      async () => /Failed/.test(await host.docker("service", "ps", "victim", "--format", "{{.CurrentState}}")),
      "it failed",
    );
    match(
      await host.docker("service", "ps", "victim", "--no-trunc", "--format", "{{.Name}} {{.Error}}"),
      /victim\.1 .*non-zero exit \(137\)/,
    );
    await runs("victim", 2);
    ok((await load) <= 1, "only the request that was in flight may be lost");
    equal(await probe(await client(), "victim", 100), 0);
    await host.docker("service", "rm", "victim");
    await until(async () => (await host.docker("ps", "-aq", "--filter", "name=victim.")) === "", "it is gone");
  });

  test("kill -9 of the daemon: traffic goes on meanwhile, and the next daemon adopts everything", async () => {
    const containers = await host.docker("ps", "-q", "--no-trunc");
    const tasks = await host.docker("service", "ps", "-q", "web");
    const rules = await table();
    const from = await client();
    await host.kill9();
    equal(await probe(from, "10.0.1.2", 100), 0, "through the VIP while no daemon runs");
    const load = probe(from, "10.0.1.2", 300);
    await host.up();
    equal(await load, 0, "while it starts");
    await until(async () => (await host.docker("service", "ps", "-q", "web")) === tasks, "the same tasks");
    equal(await host.docker("ps", "-q", "--no-trunc"), containers);
    equal(await table(), rules, "not a rule was changed");
    equal(await probe(from, "web", 50), 0, "by name");
    await host.docker("service", "scale", "-d", "web=3");
    await runs("web", 3);
    await host.docker("service", "scale", "-d", "web=2");
    await until(async () => (await host.docker("ps", "-q", "--filter", "name=web.3.")) === "", "scaled back");
  });

  test("kill -9 in the middle of a scale-up: the next daemon finishes it", async () => {
    await host.docker("service", "scale", "-d", "web=12");
    await until(
      async () => (await host.docker("ps", "-aq", "--filter", "name=web.")).split("\n").length > 4,
      "it is under way",
    );
    await host.kill9();
    await host.up();
    await runs("web", 12);
    equal(
      (await host.docker("ps", "-aq", "--filter", "name=web.")).split("\n").length,
      12,
      "and not one container more",
    );
    await host.docker("service", "scale", "-d", "web=2");
    await host.kill9();
    await host.up();
    await until(
      async () => (await host.docker("ps", "-q", "--filter", "name=web.")).split("\n").length === 2,
      "scaled down",
    );
  });

  test("kill -9 at random moments of scaling, updating and removing: it converges, and nothing stray is left", async (t) => {
    await host.docker(...create("target", "--replicas", "3", "--update-parallelism", "0"), "containous/whoami");
    for (let i = 0; i < 6; i++) {
      const pauseMs = Math.floor(Math.random() * 900);
      t.diagnostic(`killed ${pauseMs} ms into round ${i}`);
      await (i % 3 === 2
        ? host.docker("service", "update", "-q", "-d", "--force", "target")
        : host.docker("service", "scale", "-d", `target=${i % 3 === 0 ? 8 : 2}`));
      await delay(pauseMs); // the moment is meant to be arbitrary
      await host.kill9();
      await host.up();
    }
    await host.docker("service", "scale", "-d", "target=3");
    await runs("target", 3);
    await until(async () => (await runningContainers("target")) === 3, "three containers run, and no more");
    await host.docker("service", "rm", "target");
    await host.kill9();
    await host.up();
    await until(async () => (await host.docker("ps", "-aq", "--filter", "name=target.")) === "", "all are removed");
    const tasks = await runningContainers("");
    await until(() => sandboxes().length === tasks, "a namespace for each task and no more");
    ok(!(await table()).includes("target"), "the balancer has forgotten it");
  });

  test("a task that dies while no daemon runs is replaced by the next", async () => {
    await runs("client", 1);
    const id = await host.docker("ps", "-q", "--no-trunc", "--filter", "name=client.1.");
    const pid = await host.docker("inspect", "-f", "{{.State.Pid}}", id);
    await host.kill9();
    process.kill(Number(pid), "SIGKILL");
    await host.up();
    await until(async () => {
      const now = await host.docker("ps", "-q", "--no-trunc", "--filter", "name=client.1.");
      return now !== "" && now !== id;
    }, "replaced");
    await runs("client", 1);
  });

  test("Podman's service dying is noticed, it is started again, and nothing is lost", async () => {
    const from = await client();
    const before = await host.docker("ps", "-q", "--no-trunc");
    const pid = podmanService();
    process.kill(pid, "SIGKILL");
    equal(await probe(from, "web", 50), 0);
    await until(
      async () => (await host.tryDocker("ps", "-q", "--no-trunc")).stdout.trimEnd() === before,
      "it answers again",
    );
    notEqual(podmanService(), pid);
    await host.docker("service", "update", "-q", "--force", "-d", "client");
    await runs("client", 1);
  });

  test("a task whose monitor was killed is still stopped when it is to go, process and all", async () => {
    await host.docker(...create("orphan", "--stop-grace-period", "1s"), "xiaopeng163/net-box", "sleep", "inf");
    await runs("orphan", 1);
    const id = await host.docker("ps", "-q", "--no-trunc", "--filter", "name=orphan.1.");
    const pid = Number(await host.docker("inspect", "-f", "{{.State.Pid}}", id));
    process.kill(monitorOf(id), "SIGKILL");
    await host.docker("service", "rm", "orphan");
    await until(
      async () => (await host.docker("ps", "-aq", "--filter", "name=orphan.")) === "",
      "its container is gone",
    );
    ok(!existsSync(`/proc/${pid}`), "and its process");
  });

  test("`down` leaves the tasks running, and the next `up` has them", async () => {
    const from = await client();
    const before = await host.docker("ps", "-q", "--no-trunc");
    await host.down();
    equal(await probe(from, "10.0.1.2", 50), 0);
    await host.up();
    equal(await host.docker("ps", "-q", "--no-trunc"), before);
    equal(await probe(from, "web", 50), 0);
  });
});

function create(name: string, ...more: string[]): string[] {
  return ["service", "create", "-d", "--name", name, "--network", "my-net", "--no-resolve-image", ...more];
}

async function runs(service: string, wanted: number): Promise<void> {
  await until(async () => {
    const { body } = await host.api("GET", `/services?status=true&filters={"name":["${service}"]}`);
    const status = (body as { ServiceStatus: { RunningTasks: number; DesiredTasks: number } }[])[0]?.ServiceStatus;
    return status?.RunningTasks === wanted && status.DesiredTasks === wanted;
  }, `${wanted} of ${service} run`);
}

async function refused(args: string[], why: RegExp): Promise<void> {
  const { code, stderr } = await host.tryDocker(...args);
  notEqual(code, 0, `docker ${args.join(" ")} was not refused`);
  match(stderr, why);
}

/**
 * Requests to a name or address from a namespace, one after the other, each over a new connection. Works without a daemon. Resolves with
 * the number that failed.
 */
async function probe(netns: string, target: string, times: number): Promise<number> {
  const loop = `n=0; for i in $(seq ${times}); do curl -s -m 5 -o /dev/null http://${target}/ || n=$((n+1)); done; echo $n`;
  const script = `t=$(mktemp) && echo nameserver 127.0.0.11 >$t && mount --bind $t /etc/resolv.conf && rm $t; ${loop}`;
  const { stdout, stderr } = await host.run(["unshare", "-m", "sh", "-c", script], { netns });
  if (!/^\d+$/.test(stdout.trim())) throw new Error(`the probe did not run: ${stderr}`);
  return Number(stdout.trim());
}

/** The namespace of client's task: where a client of the other services would sit. */
async function client(): Promise<string> {
  await runs("client", 1);
  const id = await host.docker("ps", "-q", "--filter", "name=client.1.");
  const format = '{{(index .NetworkSettings.Networks "my-net").IPAddress}}';
  return namespaceOf(await host.docker("inspect", "-f", format, id));
}

async function namespaceOf(address: string): Promise<string> {
  for (const name of sandboxes()) {
    const netns = `${host.netnsDir}/${name}`;
    if ((await host.run(["ip", "-4", "-o", "addr"], { netns })).stdout.includes(`inet ${address}/`)) return netns;
  }
  throw new Error(`no namespace has ${address}`);
}

async function runningContainers(service: string): Promise<number> {
  const ids = await host.docker("ps", "-q", "--filter", `name=${service}.`);
  return ids === "" ? 0 : ids.split("\n").length;
}

/** The namespaces of tasks. */
function sandboxes(): string[] {
  return readdirSync(host.netnsDir).filter((name) => /^[0-9a-f]{12}$/.test(name));
}

/** The balancer's table on my-net, without counters. */
async function table(): Promise<string> {
  const lb = readdirSync(host.netnsDir).filter((name) => name.startsWith("lb_"));
  const all = await Promise.all(
    lb.map((name) => host.run(["nft", "-s", "list", "ruleset"], { netns: `${host.netnsDir}/${name}` })),
  );
  return all.map((o) => o.stdout).join("\n");
}

/** The conmon of a container. */
function monitorOf(containerId: string): number {
  for (const pid of readdirSync("/proc").filter((p) => /^\d+$/.test(p))) {
    const argv = argvOf(pid);
    if (argv[0]?.endsWith("conmon") && !argv.includes("-e") && argv.includes(containerId)) return Number(pid);
  }
  throw new Error(`no conmon of ${containerId}`);
}

function argvOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // gone meanwhile
  }
}

/** The pid of this host's own `podman system service`. */
function podmanService(): number {
  for (const pid of readdirSync("/proc").filter((p) => /^\d+$/.test(p))) {
    const argv = argvOf(pid);
    if (argv.includes("service") && argv.some((a) => a.includes(host.execRoot))) return Number(pid);
  }
  throw new Error("no podman service runs");
}
