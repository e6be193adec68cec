import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { request as tlsRequest } from "node:https";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { hasCode } from "../model/errors.ts";
import { jsonBody } from "./http.ts";
import { ApiServer } from "./server.ts";
import { askAt, type World, world } from "./testing/world.ts";

test("_ping answers GET and HEAD with the headers that clients read", async (t) => {
  const w = await world(t);
  for (const method of ["GET", "HEAD"]) {
    const { status, headers, text } = await w.ask(method, "/_ping");
    equal(status, 200);
    equal(text, method === "GET" ? "OK" : "");
    equal(headers["api-version"], "1.51");
    equal(headers["docker-experimental"], "false");
    equal(headers.ostype, "linux");
    equal(headers.server, "Skep/0.1.0 (linux)");
    equal(headers["content-type"], "text/plain; charset=utf-8");
    equal(headers["cache-control"], "no-cache, no-store, must-revalidate");
    equal(headers.pragma, "no-cache");
    equal(headers.swarm, "inactive");
  }
});

test("versions from 1.24 to 1.51 are spoken, others refused in Docker's words", async (t) => {
  const w = await world(t);
  for (const version of ["v1.24", "v1.41", "v1.51"]) equal((await w.ask("GET", `/${version}/_ping`)).status, 200);
  const old = await w.ask("GET", "/v1.23/_ping");
  equal(old.status, 400);
  match(old.text, /client version 1\.23 is too old\. Minimum supported API version is 1\.24, please upgrade/);
  const future = await w.ask("GET", "/v1.99/_ping");
  equal(future.status, 400);
  match(future.text, /client version 1\.99 is too new\. Maximum supported API version is 1\.51/);
});

test("unknown paths and methods are not found, with the common headers", async (t) => {
  const w = await world(t);
  for (const [method, path] of [
    ["GET", "/nosuch"],
    ["PUT", "/_ping"],
    ["GET", "/"],
    ["GET", "/v1.41"],
    ["PATCH", "/services/create"],
  ] as const) {
    const answer = await w.ask(method, path);
    equal(answer.status, 404);
    deepEqual(answer.json, { message: "page not found" });
    equal(answer.headers["api-version"], "1.51");
  }
});

test("bodies that are no JSON are refused as Go's decoder and dockerd would", async (t) => {
  const w = await world(t);
  const cases: [body: string, message: RegExp][] = [
    ["{", /^invalid JSON: unexpected EOF$/],
    ["  ", /^invalid JSON: got EOF while reading request body$/],
    ["nope", /^invalid JSON: invalid character 'o' in literal null \(expecting 'u'\)$/],
    ['{"Name":"a",}', /^invalid JSON: invalid character '}' looking for beginning of object key string$/],
    ["{} {}", /^unexpected content after JSON$/],
    ["[]", /^invalid JSON: json: cannot unmarshal array into Go value of type swarm\.ServiceSpec$/],
    ['"x"', /^invalid JSON: json: cannot unmarshal string into Go value of type swarm\.ServiceSpec$/],
    ["[".repeat(100_000), /^invalid JSON: exceeded max depth$/],
  ];
  for (const [body, message] of cases) {
    const answer = await w.ask("POST", "/services/create", { body });
    equal(answer.status, 400, body.slice(0, 20));
    match((answer.json as { message: string }).message, message);
  }
});

test("a body needs a JSON content type, no body needs none", async (t) => {
  const w = await world(t);
  const ask = (headers: Record<string, string>) => w.ask("POST", "/swarm/join", { body: "{}", headers });
  const none = await ask({ "content-type": "" });
  equal(none.status, 400);
  deepEqual(none.json, { message: "malformed Content-Type header (): mime: no media type" });
  const text = await ask({ "content-type": "text/plain" });
  equal(text.status, 400);
  deepEqual(text.json, { message: "unsupported Content-Type header (text/plain): must be 'application/json'" });
  const charset = await ask({ "content-type": "application/json; charset=utf-8" });
  match(charset.text, /invalid ListenAddr/); // it was read
  match((await w.ask("POST", "/swarm/join")).text, /invalid ListenAddr/);
});

test("huge bodies are refused with 413, whether their length was told or not", async (t) => {
  const w = await world(t);
  const body = JSON.stringify({ Name: "x".repeat(5 * 1024 * 1024) });
  const told = await w.ask("POST", "/services/create", { body }).catch(() => "cut off");
  const chunked = await w
    .ask("POST", "/services/create", { body, headers: { "transfer-encoding": "chunked" } })
    .catch(() => "cut off");
  // A client that is still sending may see the connection close before it reads the answer.
  for (const answer of [told, chunked]) if (typeof answer === "object") equal(answer.status, 413);
  const announced = await raw(
    w,
    "POST /services/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n",
  );
  match(announced, /^HTTP\/1\.1 413 /);
  equal((await w.ask("GET", "/_ping")).status, 200);
  deepEqual(w.faults, []);
});

test("a connection serves many requests, also after errors", async (t) => {
  const w = await world(t);
  const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const last = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const text = await raw(w, ask("/_ping") + ask("/nosuch") + ask("/swarm") + last);
  deepEqual(text.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 200", "HTTP/1.1 404", "HTTP/1.1 503", "HTTP/1.1 200"]);
});

test("a body that does not come is given up", async (t) => {
  const w = await world(t, {
    routes: [(router) => router.add("POST", "/slow", async (req) => ({ json: await jsonBody(req, 20) }))],
  });
  const head = "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
  match(await raw(w, head), /^HTTP\/1\.1 400 [\s\S]*did not come within 20 ms/);
});

test("a client that goes away in the middle of a body does no harm", async (t) => {
  const w = await world(t);
  await new Promise<void>((resolve) => {
    const socket = connect(w.socket, () => {
      const head =
        "POST /swarm/join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
      socket.write(head, () => socket.destroy());
    });
    socket.on("close", () => resolve());
  });
  equal((await w.ask("GET", "/_ping")).status, 200);
  deepEqual(w.faults, []);
});

test("badly encoded paths and queries are refused", async (t) => {
  const w = await world(t);
  equal((await w.ask("GET", "/networks/%E0%A4%A")).status, 400);
  const query = await w.ask("GET", "/services?filters=%zz");
  equal(query.status, 400);
  deepEqual(query.json, { message: 'invalid URL escape "%zz"' });
});

test("what a route throws without meaning to is answered with 500 and logged", async (t) => {
  const w = await world(t, {
    routes: [
      (router) => {
        router.add("GET", "/broken", () => {
          throw new TypeError("oh dear");
        });
        router.add("GET", "/silent", () => undefined);
      },
    ],
  });
  const broken = await w.ask("GET", "/broken");
  equal(broken.status, 500);
  deepEqual(broken.json, { message: "oh dear" });
  equal(w.faults.length, 1);
  equal((await w.ask("GET", "/silent")).status, 500);
});

test("patterns match one part or many, the first one added wins", async (t) => {
  const w = await world(t, {
    routes: [
      (router) => {
        router.add("GET", "/images/json", () => ({ json: "list" }));
        router.add("GET", "/images/{name:.*}/json", (req) => ({ json: req.params }));
        router.add("GET", "/boxes/{id}", (req) => ({ json: req.params }));
      },
    ],
  });
  equal((await w.ask("GET", "/images/json")).json, "list");
  deepEqual((await w.ask("GET", "/images/localhost:5000/a/b:1/json")).json, { name: "localhost:5000/a/b:1" });
  deepEqual((await w.ask("GET", "/images/a%2Fb/json")).json, { name: "a/b" });
  deepEqual((await w.ask("GET", "/boxes/a%20b")).json, { id: "a b" });
  equal((await w.ask("GET", "/boxes/a/b")).status, 404);
});

test("a hijack route gets the connection; other requests to it do not", async (t) => {
  const w = await world(t, {
    routes: [
      (router) => {
        router.add("POST", "/talk", () => ({ text: "plain" }));
        router.addHijack("POST", "/talk", async (_req, socket, head) => {
          socket.end(`HTTP/1.1 101 UPGRADED\r\n\r\nyou said ${head}`);
        });
        router.addHijack("POST", "/refuse", async () => {
          throw new TypeError("no");
        });
      },
    ],
  });
  const upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
  match(
    await raw(w, `POST /v1.41/talk HTTP/1.1\r\nHost: x\r\n${upgrade}\r\nhello`),
    /^HTTP\/1\.1 101 UPGRADED\r\n\r\nyou said hello$/,
  );
  equal((await w.ask("POST", "/talk")).text, "plain");
  match(
    await raw(w, `POST /refuse HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`),
    /^HTTP\/1\.1 500 [\s\S]*\{"message":"no"\}$/,
  );
  const other = `POST /swarm/leave HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`;
  match(await raw(w, other, /swarm"\}/), /^HTTP\/1\.1 503 [\s\S]*not part of a swarm/);
});

test("the socket is for owner and group only, and left alone while somebody answers there", async (t) => {
  const w = await world(t);
  equal(statSync(w.socket).mode & 0o777, 0o660);
  const another = new ApiServer({ context: w.context, version: "0.1.0" });
  await rejects(another.listen([{ kind: "unix", path: w.socket }]), (e) => hasCode(e, "conflict"));
  equal((await w.ask("GET", "/_ping")).status, 200);
});

test("a stale socket file is replaced, another file is not", async (t) => {
  const w = await world(t);
  const dir = dirname(w.socket);
  const stale = join(dir, "stale.sock");
  try {
    execFileSync(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, "SIGKILL"))`,
    ]);
  } catch {
    // killed, as it was meant to be
  }
  equal(statSync(stale).isSocket(), true);
  const server = new ApiServer({ context: w.context, version: "0.1.0" });
  t.after(() => server.close());
  await server.listen([{ kind: "unix", path: stale }]);
  equal((await askAt(stale, "GET", "/_ping")).status, 200);
  const file = join(dir, "file");
  writeFileSync(file, "precious");
  await rejects(server.listen([{ kind: "unix", path: file }]), (e) => hasCode(e, "conflict"));
  equal(readFileSync(file, "utf8"), "precious");
});

test("when one address cannot be had, none is kept", async (t) => {
  const w = await world(t);
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => new Promise((resolve) => taken.close(resolve)));
  await new Promise((resolve) => taken.once("listening", resolve));
  const { port } = taken.address() as { port: number };
  const path = join(dirname(w.socket), "second.sock");
  const server = new ApiServer({ context: w.context, version: "0.1.0" });
  const addresses = [
    { kind: "unix", path },
    { kind: "tcp", host: "127.0.0.1", port },
  ] as const;
  await rejects(server.listen(addresses), (e) => hasCode(e, "conflict"));
  await rejects(askAt(path, "GET", "/_ping"));
});

test("tcp speaks TLS and asks clients for their certificate", async (t) => {
  const w = await world(t);
  const { ca, cert, key } = await certificates(t);
  const server = new ApiServer({ context: w.context, version: "0.1.0", tls: { cert, key, ca, verify: true } });
  t.after(() => server.close());
  await server.listen([{ kind: "tcp", host: "127.0.0.1", port: 0 }]);
  const [port] = server.ports();
  const status = (client: object) =>
    new Promise<number | undefined>((resolve, reject) => {
      const options = { host: "127.0.0.1", port, path: "/_ping", ca, agent: false, ...client };
      tlsRequest(options, (res) => resolve(res.resume().statusCode))
        .on("error", reject)
        .end();
    });
  equal(await status({ cert, key }), 200);
  await rejects(status({}));
});

/** Sends bytes and resolves with what came back until the server closed, or until it has come. */
function raw(w: World, bytes: string, until?: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(w.socket, () => socket.write(bytes));
    socket.on("data", (chunk) => {
      text += chunk;
      if (until?.test(text)) socket.end();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(text.trimEnd()));
  });
}

/** A certificate for 127.0.0.1 that is its own authority. */
async function certificates(t: TestContext): Promise<{ ca: string; cert: string; key: string }> {
  const dir = await mkdtemp(join(tmpdir(), "skep-tls-"));
  t.after(() => rm(dir, { recursive: true }));
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  const name = ["-subj", "/CN=skep", "-addext", "subjectAltName=IP:127.0.0.1"];
  const options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
  execFileSync("openssl", ["req", ...options, ...name, "-keyout", key, "-out", cert], { stdio: "ignore" });
  const pem = readFileSync(cert, "utf8");
  return { ca: pem, cert: pem, key: readFileSync(key, "utf8") };
}
