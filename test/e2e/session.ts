// What a person does with a swarm, as steps for any docker command at any API version: each step does it, and checks what is printed against
// what real Swarm prints. Commands and flags that an API version lacks are left out, as the command itself would refuse them.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "./client.ts";
import { until } from "./host.ts";

const WHOAMI = "containous/whoami";
const BOX = "xiaopeng163/net-box";
/** Waits until the terminal has the size of the client's: it comes a moment after the process. */
const SIZED = 'until [ "$(stty size 2>/dev/null)" = "33 77" ]; do sleep 0.05; done';
const ID = /^[0-9a-z]{25}$/;

/** In the order in which they are to be done. Each begins with what the one before left. */
export const SESSION: readonly (readonly [what: string, step: (c: Client) => Promise<void>])[] = [
  ["network create, ls, inspect", networks],
  ["service create", create],
  ["service ls and ps", lists],
  ["service inspect", inspect],
  ["service scale", scale],
  ["service update --env-add and --force", update],
  ["service rollback", rollback],
  ["service logs", logs],
  ["exec -i and exec -it", exec],
  ["run --rm", run],
  ["events", events],
  ["system df", usage],
  ["secret and config", secrets],
  ["stack deploy, ls, services, ps, rm", stack],
  ["service rm, network rm", remove],
];

async function networks(c: Client): Promise<void> {
  const attachable = c.has(25) ? ["--attachable"] : [];
  match(await c.docker("network", "create", "-d", "overlay", ...attachable, net(c)), ID);
  const list = await c.docker("network", "ls");
  match(list, /^NETWORK ID +NAME +DRIVER +SCOPE\n/);
  match(list, new RegExp(`^[0-9a-z]{12} +${net(c)} +overlay +swarm$`, "m"));
  match(list, /^[0-9a-z]{12} +ingress +overlay +swarm$/m);
  const { Created, Id, IPAM, Options, EnableIPv4: _, ...rest } = await c.json("network", "inspect", net(c));
  match(String(Created), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
  match(String(Id), ID);
  match(
    JSON.stringify(IPAM),
    /^{"Driver":"default","Options":null,"Config":\[{"Subnet":"(.*)\.0\/24","Gateway":"\1\.1"}\]}$/,
  );
  match(JSON.stringify(Options), /^{"com.docker.network.driver.overlay.vxlanid_list":"\d{4}"}$/);
  deepEqual(rest, {
    Name: net(c),
    Scope: "swarm",
    Driver: "overlay",
    EnableIPv6: false,
    Internal: false,
    Attachable: c.has(25),
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: null,
    Labels: null,
  });
}

async function create(c: Client): Promise<void> {
  const flags = ["--name", web(c), "--network", net(c), "--replicas", "2"];
  if (c.has(25)) flags.push("--update-monitor", "1s");
  if (c.has(28)) flags.push("--rollback-monitor", "1s");
  const printed = await c.docker("service", "create", ...local(c), ...flags, WHOAMI);
  if (c.has(29)) {
    const id = printed.split("\n")[0]!;
    match(id, ID);
    // as in the recordings of real Swarm, repeats taken out
    deepEqual(withoutRepeats(printed).slice(1, 4), ["overall progress: 0 out of 2 tasks", "1/2:  ", "2/2:  "]);
    deepEqual(withoutRepeats(printed).slice(-3), [
      "overall progress: 2 out of 2 tasks",
      "verify: Waiting 1 seconds to verify that tasks are stable...",
      converged(c, id),
    ]);
  } else match(printed, ID);
  await c.runs(web(c), 2);
  await c.docker(
    // sleep, as the first process of its container, does not hear SIGTERM
    ...["service", "create", ...detached(c), ...local(c), "--stop-grace-period", "1s"],
    ...["--name", box(c), "--network", net(c)],
    ...[BOX, "sh", "-c", "echo out; echo err >&2; exec sleep inf"],
  );
  await c.runs(box(c), 1);
}

async function lists(c: Client): Promise<void> {
  const list = await c.docker("service", "ls");
  match(list, /^ID +NAME +MODE +REPLICAS +IMAGE +PORTS *\n/);
  match(list, new RegExp(`^[0-9a-z]{12} +${web(c)} +replicated +2/2 +containous/whoami:latest *$`, "m"));
  const tasks = await c.docker("service", "ps", web(c));
  match(tasks, /^ID +NAME +IMAGE +NODE +DESIRED STATE +CURRENT STATE +ERROR +PORTS\n/);
  for (const slot of [1, 2]) {
    const line = `^[0-9a-z]{12} +${web(c)}\\.${slot} +containous/whoami:latest +node1 +Running +Running .* ago *$`;
    match(tasks, new RegExp(line, "m"));
  }
  match(await c.docker("service", "ps", "-q", "--no-trunc", web(c)), /^[0-9a-z]{25}\n[0-9a-z]{25}$/);
}

async function inspect(c: Client): Promise<void> {
  const { ID: id, Spec, Endpoint } = await c.json("service", "inspect", web(c));
  match(String(id), ID);
  const { Name, Mode, EndpointSpec, TaskTemplate } = Spec as Record<string, unknown>;
  deepEqual([Name, Mode], [web(c), { Replicated: { Replicas: 2 } }]);
  if (EndpointSpec) deepEqual(EndpointSpec, { Mode: "vip" });
  match(JSON.stringify(TaskTemplate), /"ContainerSpec":{"Image":"containous\/whoami:latest"/);
  match(JSON.stringify(Endpoint), /"VirtualIPs":\[{"NetworkID":"[0-9a-z]{25}","Addr":"10\.\d+\.\d+\.\d+\/24"}\]/);
  const pretty = await c.docker("service", "inspect", "--pretty", web(c));
  for (const line of [`ID:\t\t${id}`, `Name:\t\t${web(c)}`, "Service Mode:\tReplicated", " Replicas:\t2"]) {
    ok(pretty.split("\n").includes(line), `${line} is not in ${pretty}`);
  }
  match(
    pretty,
    /UpdateConfig:\n Parallelism:\t1\n On failure:\tpause\n Monitoring Period: [15]s\n Max failure ratio: 0/,
  );
  match(pretty, / Image:\t\tcontainous\/whoami:latest\n/);
  match(pretty, new RegExp(`Networks: ${net(c)} `));
  const unknown = await c.try(["service", "inspect", `${web(c)}-none`]);
  deepEqual(
    [unknown.stdout, unknown.code, /no such service: /i.test(unknown.stderr)],
    ["[]\n", 1, true],
    unknown.stderr,
  );
}

async function scale(c: Client): Promise<void> {
  const printed = await c.docker("service", "scale", `${web(c)}=3`);
  equal(printed.split("\n")[0], `${web(c)} scaled to 3`);
  if (c.has(29)) equal(printed.split("\n").at(-1), converged(c, web(c)));
  await c.runs(web(c), 3);
  match(await c.docker("service", "ls"), new RegExp(` ${web(c)} +replicated +3/3 `));
}

async function update(c: Client): Promise<void> {
  const printed = await c.docker("service", "update", ...local(c), "--env-add", "A=two words", web(c));
  equal(printed.split("\n")[0], web(c));
  if (c.has(29)) equal(printed.split("\n").at(-1), converged(c, web(c)));
  const env = ["service", "inspect", "-f", "{{json .Spec.TaskTemplate.ContainerSpec.Env}}", web(c)];
  equal(await c.docker(...env), '["A=two words"]');
  await done(c, "completed");
  equal(
    await c
      .docker("inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", await c.container(web(c)))
      .then((e) => /^A=two words$/m.test(e)),
    true,
  );
  if (!c.has(25)) return;
  const before = await c.docker("service", "ps", "-q", "--filter", "desired-state=running", box(c));
  await c.docker("service", "update", ...detached(c), ...local(c), "--force", box(c));
  await until(
    async () => (await c.docker("service", "ps", "-q", "--filter", "desired-state=running", box(c))) !== before,
    "another task takes over",
  );
  await c.runs(box(c), 1);
}

async function rollback(c: Client): Promise<void> {
  if (!c.has(25)) return;
  const printed = c.has(31)
    ? await c.docker("service", "rollback", web(c))
    : await c.docker("service", "update", "--rollback", web(c));
  equal(printed.split("\n")[0], web(c));
  if (c.has(29)) {
    match(printed, /^rollback: manually requested rollback$/m);
    match(printed, /^overall progress: rolling back update: 3 out of 3 tasks$/m);
    equal(printed.split("\n").at(-1), converged(c, web(c)));
  }
  await done(c, "rollback_completed");
  const spec = await c.docker("service", "inspect", "-f", "{{json .Spec.TaskTemplate.ContainerSpec}}", web(c));
  ok(!spec.includes("two words"), spec);
}

async function logs(c: Client): Promise<void> {
  if (!c.has(29)) return;
  await until(async () => {
    const { stdout, stderr } = await c.try(["service", "logs", "--tail", "2", box(c)]);
    const line = (word: string) => new RegExp(`^${box(c)}\\.1\\.[0-9a-z]{12}@node1 +\\| ${word}$`, "m");
    return line("out").test(stdout) && line("err").test(stderr);
  }, "both streams of the log");
  equal((await c.try(["service", "logs", "--raw", "--tail", "2", box(c)])).stdout.split("\n")[0], "out");
}

async function exec(c: Client): Promise<void> {
  const id = await c.container(box(c));
  const piped = await c.try(["exec", "-i", id, "sh", "-c", "cat; echo to stderr >&2; exit 3"], "one\ntwo\n");
  deepEqual(piped, { stdout: "one\ntwo\n", stderr: "to stderr\n", code: 3 });
  const seen = `tty; echo "$TERM"; ${SIZED}; stty size; exit 5`;
  const tty = await c.onTerminal("exec", "-it", id, "sh", "-c", seen);
  deepEqual([tty.stdout.replace(/pts\/\d+/, "pts/N"), tty.code], ["/dev/pts/N\nxterm\n33 77\n", 5]);
}

async function run(c: Client): Promise<void> {
  // without a swarm's network none: Podman's own bridge would stay behind
  const network = ["--network", c.has(25) ? net(c) : "none"];
  const said = await c.try(["run", "--rm", "-i", ...network, BOX, "sh", "-c", "cat; hostname; exit 4"], "in\n");
  match(`${said.stdout}${said.stderr}exit code ${said.code}`, /^in\n[0-9a-f]{12}\nexit code 4$/);
  const seen = `test -t 0 && ${SIZED} && echo "$TERM"`;
  const tty = await c.onTerminal("run", "--rm", "-it", "--network", "none", BOX, "sh", "-c", seen);
  deepEqual([tty.stdout, tty.code], ["xterm\n", 0]);
  const { stderr, code } = await c.try(["run", "--rm", "127.0.0.1:1/nosuch"]);
  match(stderr, /^Unable to find image '127.0.0.1:1\/nosuch:latest' locally$/m);
  match(stderr, /^docker: Error response from daemon: .*127.0.0.1:1: connect: connection refused/m);
  equal(code, 125);
}

async function events(c: Client): Promise<void> {
  // Its `--until` counts whole seconds, so what has just happened is waited for.
  await until(async () => {
    const seen = await c.docker("events", "--since", "10m", "--until", "0s");
    const about = (line: string) => new RegExp(`^\\S+Z ${line}`, "m").test(seen);
    const swarm =
      about(`service create [0-9a-z]{25} \\(name=${web(c)}\\)`) &&
      about(`network create [0-9a-z]{25} .*name=${net(c)}`);
    const scaled = about(`service update [0-9a-z]{25} \\(name=${web(c)}, replicas.new=3, replicas.old=2\\)`);
    const tasks = about(`container start [0-9a-f]{64} \\(.*com.docker.swarm.service.name=${web(c)}`);
    // swarm's own are of API 1.30 and later
    return tasks && (c.has(30) ? swarm && scaled : true);
  }, "the events of what was done");
}

async function usage(c: Client): Promise<void> {
  if (!c.has(25)) return;
  const df = await c.docker("system", "df");
  match(df, /^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +2 +2 +[\d.]+MB +0B \(0%\)\nContainers +\d+ +\d+ +/);
  match(df, /^Local Volumes +0 +0 +0B +0B\nBuild Cache +0 +0 +0B +0B$/m);
  match(
    await c.docker("system", "df", "-v"),
    /^Images space usage:\n\nREPOSITORY +TAG +IMAGE ID +CREATED +SIZE +SHARED SIZE +UNIQUE SIZE +CONTAINERS\n/,
  );
}

async function secrets(c: Client): Promise<void> {
  const kinds = [...(c.has(25) ? ["secret"] : []), ...(c.has(30) ? ["config"] : [])];
  for (const kind of kinds) {
    const name = `${c.prefix}-${kind}`;
    const { stdout, code, stderr } = await c.try([kind, "create", "--label", "l=v", name, "-"], "its data");
    deepEqual([code, ID.test(stdout.trim())], [0, true], stderr);
    const header = kind === "secret" ? /^ID +NAME +DRIVER +CREATED +UPDATED\n/ : /^ID +NAME +CREATED +UPDATED\n/;
    match(await c.docker(kind, "ls"), header);
    match(await c.docker(kind, "ls"), new RegExp(`^[0-9a-z]{25} +${name} .* ago +.* ago$`, "m"));
    const { Spec } = await c.json(kind, "inspect", name);
    const data = kind === "config" ? { Data: Buffer.from("its data").toString("base64") } : {};
    deepEqual(Spec, { Name: name, Labels: { l: "v" }, ...data });
    const again = await c.try([kind, "create", name, "-"], "x");
    match(again.stderr, new RegExp(`rpc error: code = AlreadyExists desc = ${kind} ${name} already exists`));
    equal(await c.docker(kind, "rm", name), name);
    match((await c.try([kind, "inspect", name])).stderr, /no such|not found/i);
  }
}

async function stack(c: Client): Promise<void> {
  if (!c.has(25)) return;
  const file = join(c.host.dir, "stack.yml");
  const texts = c.has(30) ? "configs:\n  conf:\n    file: ./stack.yml\n" : "";
  writeFileSync(
    file,
    `version: "3.3"\nservices:\n  web:\n    image: ${WHOAMI}\n    deploy:\n      replicas: 2\n    networks: [front]\n` +
      `networks:\n  front:\n    driver: overlay\n${texts}`,
  );
  const name = `${c.prefix}-st`;
  const offline = c.has(30) ? ["--resolve-image", "never"] : [];
  const made = ["network", ...(c.has(30) ? ["config"] : [])];
  const deployed = await c.docker("stack", "deploy", ...offline, "-c", file, name);
  for (const kind of made) match(deployed, new RegExp(`^Creating ${kind} ${name}_(front|conf)$`, "m"));
  match(deployed, new RegExp(`^Creating service ${name}_web$`, "m"));
  await until(
    async () => new RegExp(` ${name}_web +replicated +2/2 `).test(await c.docker("stack", "services", name)),
    "the stack runs",
  );
  match(await c.docker("stack", "ls"), new RegExp(`^NAME +SERVICES.*\n(.*\n)*${name} +1\\b`));
  match(
    await c.docker("stack", "ps", name),
    new RegExp(` ${name}_web\\.2 +containous/whoami:latest +node1 +Running +Running `),
  );
  match(
    await c.docker("stack", "deploy", ...offline, "-c", file, name),
    new RegExp(`^Updating service ${name}_web \\(id: [0-9a-z]{25}\\)`, "m"),
  );
  const removed = await c.docker("stack", "rm", name).catch((e: Error) => e.message);
  match(removed, new RegExp(`Removing service ${name}_web`));
  await until(async () => !(await c.docker("network", "ls")).includes(name), "its network is gone");
}

async function remove(c: Client): Promise<void> {
  equal(await c.docker("service", "rm", web(c), box(c)), `${web(c)}\n${box(c)}`);
  ok(!(await c.docker("service", "ls")).includes(c.prefix));
  await until(
    async () => (await c.docker("ps", "-aq", "--filter", `name=${c.prefix}`)) === "",
    "its containers are gone",
  );
  equal(await c.docker("network", "rm", net(c)), net(c));
  ok(!(await c.docker("network", "ls")).includes(net(c)));
}

function net(c: Client): string {
  return `${c.prefix}-net`;
}

function web(c: Client): string {
  return `${c.prefix}-web`;
}

function box(c: Client): string {
  return `${c.prefix}-box`;
}

/** No registry is asked for what an image is: there is none. */
function local(c: Client): string[] {
  return c.has(30) ? ["--no-resolve-image"] : [];
}

function detached(c: Client): string[] {
  return c.has(29) ? ["-d"] : [];
}

/** The last line of progress: newer commands name the service. */
function converged(c: Client, service: string): string {
  return c.name.startsWith("old") ? "verify: Service converged" : `verify: Service ${service} converged`;
}

function withoutRepeats(text: string): string[] {
  return text.split("\n").filter((line, i, all) => line !== all[i - 1]);
}

/** Waits for the end of web's update. Every API version tells it. */
async function done(c: Client, state: string): Promise<void> {
  await until(
    async () => (await c.docker("service", "inspect", "-f", "{{.UpdateStatus.State}}", web(c))) === state,
    `the update's state is ${state}`,
  );
}
