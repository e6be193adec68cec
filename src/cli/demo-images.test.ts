// The demo images: whoami as a program under many clients, and both images in a real Podman.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { aPodman } from "../engine/testing/podman.ts";
import { ensureDemoImages } from "./demo-images.ts";
import { whoami } from "./demo-whoami.ts";

interface Server {
  readonly child: ChildProcess;
  readonly port: number;
}

async function aWhoami(t: TestContext): Promise<Server> {
  const dir = await mkdtemp(join(tmpdir(), "skep-whoami-"));
  const root = await mkdtemp(join(dir, "root-"));
  await whoami.build(root, dir);
  const child = spawn(join(root, "whoami"), ["-port", "0"], { stdio: ["ignore", "ignore", "pipe"] });
  t.after(async () => {
    child.kill("SIGKILL");
    await rm(dir, { recursive: true });
  });
  await once(child.stderr, "data"); // it listens by now
  return { child, port: portOf(child.pid ?? 0) };
}

/** The port that a process listens on: asked of the kernel, since it was told to take any. */
function portOf(pid: number): number {
  for (const line of readFileSync(`/proc/${pid}/net/tcp6`, "utf8").split("\n")) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (state === "0A" && inode !== undefined && socketsOf(pid).includes(`socket:[${inode}]`)) {
      return Number.parseInt(local?.split(":")[1] ?? "", 16);
    }
  }
  throw new Error(`process ${pid} listens on nothing`);
}

function socketsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

async function ask(
  server: Server,
  path: string,
  options: { agent?: Agent; method?: string; body?: string; headers?: Record<string, string> } = {},
) {
  const { body, ...rest } = options;
  const sent = request({ host: "127.0.0.1", port: server.port, path, ...rest });
  sent.end(body);
  const [response] = await once(sent, "response");
  return {
    status: response.statusCode as number,
    headers: response.headers,
    body: await text(response),
  };
}

/** Sends these bytes and resolves with everything that comes back until the server closes. */
async function raw(server: Server, bytes: string): Promise<string> {
  const socket = connect(server.port, "127.0.0.1");
  socket.write(bytes);
  return text(socket);
}

test("whoami answers as containous/whoami does", async (t) => {
  const server = await aWhoami(t);

  await t.test("line by line", async () => {
    const { status, body, headers } = await ask(server, "/a?b=c", {
      headers: { "user-agent": "curl/7.69.1", zeta: "1", accept: "*/*", host: "web" },
    });
    equal(status, 200);
    equal(headers["content-type"], "text/plain; charset=utf-8");
    const lines = body.split("\n");
    equal(lines[0], `Hostname: ${hostname()}`);
    equal(lines[1], "IP: 127.0.0.1");
    const rest = lines.slice(lines.findIndex((line) => line.startsWith("RemoteAddr: ")));
    match(rest[0] ?? "", /^RemoteAddr: 127\.0\.0\.1:\d+$/);
    const wanted = ["GET /a?b=c HTTP/1.1", "Host: web", "User-Agent: curl/7.69.1", "Accept: */*"];
    deepEqual(
      rest.slice(1, 5),
      wanted.map((line) => `${line}\r`),
    );
    deepEqual(rest.slice(-3), ["Zeta: 1\r", "\r", ""]);
  });

  await t.test("a body comes back; health can be set; a request can be made to wait", async () => {
    match(
      (await ask(server, "/", { method: "POST", body: "hello" })).body,
      /Content-Length: 5\r\n[\s\S]*\r\n\r\nhello$/,
    );
    equal((await ask(server, "/health")).status, 200);
    await ask(server, "/health", { method: "POST", body: "503" });
    equal((await ask(server, "/health")).status, 503);
    await ask(server, "/health", { method: "POST", body: "200" });
    const started = performance.now();
    equal((await ask(server, "/bench?wait=50ms")).body, "1");
    ok(performance.now() - started >= 50);
  });

  await t.test("200 clients at once, 15 requests each on one connection", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 200 });
    t.after(() => agent.destroy());
    const peers = new Set<string | undefined>();
    const client = async () => {
      for (let i = 0; i < 15; i++) {
        const { status, body } = await ask(server, `/?n=${i}`, { agent });
        peers.add(/RemoteAddr: (.*)/.exec(body)?.[1]);
        equal(status, 200);
        ok(body.includes(`GET /?n=${i} HTTP/1.1`));
      }
    };
    await Promise.all(Array.from({ length: 200 }, client));
    equal(peers.size, 200);
  });

  await t.test("clients that misbehave get an error, and nobody else is hurt", async () => {
    match(await raw(server, "nonsense\r\n\r\n"), /^HTTP\/1\.1 400 /);
    match(await raw(server, "GET / HTTP/1.1\r\n\r\n"), /^HTTP\/1\.1 400 /);
    match(await raw(server, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"), /^HTTP\/1\.1 400 /);
    match(await raw(server, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"), /^HTTP\/1\.1 413 /);
    match(await raw(server, `GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(70_000)}`), /^HTTP\/1\.1 431 /);
    match(await raw(server, `GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(200)}\r\n`), /^HTTP\/1\.1 431 /);
    const pipelined =
      "GET /?1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /bench?wait=5ms HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    const answers = (await raw(server, pipelined)).match(/HTTP\/1\.[01] 200 OK/g);
    deepEqual(answers, ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.0 200 OK"]);
    const rude = connect(server.port, "127.0.0.1");
    await once(rude, "connect");
    rude.write("GET / HT");
    rude.resetAndDestroy();
    equal((await ask(server, "/bench")).status, 200);
  });

  await t.test("little memory, and SIGTERM ends it", async () => {
    const kB = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, "utf8"))?.[1]);
    ok(kB < 4096, `${kB} kB`);
    const ended = once(server.child, "exit");
    server.child.kill("SIGTERM");
    deepEqual(await ended, [0, null]);
  });
});

test("both images are built where nothing can be pulled, once", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root");
  const engine = (await aPodman(t)).engine();
  await engine.start();
  const said: string[] = [];
  const first = await ensureDemoImages(engine, (line) => said.push(line), { build: true });
  deepEqual(
    first.map((i) => i.tags[0]),
    ["docker.io/containous/whoami:latest", "docker.io/xiaopeng163/net-box:latest"],
  );
  const second = await ensureDemoImages(engine, (line) => said.push(line), { build: true });
  deepEqual(
    second.map((i) => i.id),
    first.map((i) => i.id),
  );
  match(said.join("\n"), /net-box:latest: built [\s\S]*whoami:latest: already there\n.*net-box:latest: already there$/);

  const script =
    "curl --version && ping -c 1 127.0.0.1 && dig -v && ip -V && ss -V && ip addr && ls -l /bin/sh && id && nslookup -version && which vi";
  const { id } = await engine.createContainer({
    name: "net-box",
    image: "xiaopeng163/net-box",
    args: ["sh", "-ec", script],
    labels: { "": "" },
    netns: { nsmode: "none" },
  });
  const exit = new Promise<number>((resolve) => engine.onExit((e) => e.id === id && resolve(e.exitCode)));
  await engine.startContainer(id);
  equal(await exit, 0);
});
