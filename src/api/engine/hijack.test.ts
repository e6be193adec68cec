import { equal, match } from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { answerJson, fakeEngine } from "./testing/fake-engine.ts";
import { frontDoor } from "./testing/front-door.ts";

const EXEC = { ID: "e1", Running: false, ProcessConfig: { tty: false, arguments: [] } };
const UPGRADED =
  "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\r\n";
const START =
  "Host: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n{}";

async function execAt(t: TestContext, serve: (socket: Socket, head: string, rest: Buffer) => void) {
  const engine = await fakeEngine(t, {
    "/exec/e1/json": (socket) => answerJson(socket, 200, EXEC),
    "/exec/e1/start": serve,
  });
  const door = await frontDoor(t, engine.path);
  const client = connect({ path: door.socket, allowHalfOpen: true });
  t.after(() => client.destroy());
  client.on("error", () => undefined);
  return client;
}

async function readAll(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += chunk;
  return text;
}

test("a client that closes its input still gets the output", async (t) => {
  const client = await execAt(t, (socket, _head, rest) => {
    equal(rest.toString() === "" || rest.toString() === "{}", true);
    let input = "";
    socket.write(UPGRADED);
    socket.on("data", (chunk) => {
      input += chunk;
    });
    socket.on("end", () => socket.end(`got <${(rest.toString() + input).replace("{}", "")}>`)); // after the half-close only
  });
  client.write(`POST /v1.42/exec/e1/start HTTP/1.1\r\n${START}`);
  await once(client, "readable");
  client.end("input");
  const text = await readAll(client);
  match(text, /^HTTP\/1\.1 101 UPGRADED\r\n/);
  match(text, /Content-Type: application\/vnd\.docker\.multiplexed-stream\r\n/);
  match(text, /Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n/);
  match(text, /got <input>$/);
});

test("before API 1.42 the stream is called raw", async (t) => {
  const client = await execAt(t, (socket) => socket.end(`${UPGRADED}x`));
  client.write(`POST /v1.41/exec/e1/start HTTP/1.1\r\n${START}`);
  match(await readAll(client), /raw-stream\r\n[\s\S]*\r\n\r\nx$/);
});

test("output that ends closes the connection of a client that keeps its input open", async (t) => {
  const client = await execAt(t, (socket) => socket.resume().end(`${UPGRADED}bye`));
  client.write(`POST /v1.41/exec/e1/start HTTP/1.1\r\n${START}`);
  match(await readAll(client), /bye$/);
});

test("an engine that refuses is answered for, on the same connection", async (t) => {
  const client = await execAt(t, (socket) =>
    answerJson(socket, 409, {
      message: "can only create exec sessions on running containers: container state improper",
    }),
  );
  client.write(`POST /v1.41/exec/e1/start HTTP/1.1\r\n${START}`);
  const text = await readAll(client);
  match(text, /^HTTP\/1\.1 409 Conflict\r\n/);
  match(text, /is not running"\}$/);
});

test("an engine that dies in the middle cuts the client off", async (t) => {
  const client = await execAt(t, (socket) => {
    socket.write(`${UPGRADED}some`, () => socket.destroy());
  });
  client.write(`POST /v1.41/exec/e1/start HTTP/1.1\r\n${START}`);
  match(await readAll(client), /some$/);
});

test("an engine that dies before it answers is a 503", async (t) => {
  const client = await execAt(t, (socket) => socket.destroy());
  client.write(`POST /v1.41/exec/e1/start HTTP/1.1\r\n${START}`);
  match(await readAll(client), /^HTTP\/1\.1 503 /);
});

test("a client that vanishes ends the engine's stream", async (t) => {
  const gone = Promise.withResolvers<void>();
  const client = await execAt(t, (socket) => {
    socket.on("end", () => gone.resolve());
    socket.resume().write(UPGRADED);
  });
  client.write(`POST /v1.41/exec/e1/start HTTP/1.1\r\n${START}`);
  await once(client, "data");
  client.destroy();
  await gone.promise;
});

test("a client that reads slowly slows the engine down, and loses nothing", async (t) => {
  const total = 32 * 1024 * 1024;
  const client = await execAt(t, (socket) => {
    socket.write(UPGRADED);
    socket.end(Buffer.alloc(total, "x"));
  });
  client.write(`POST /v1.41/exec/e1/start HTTP/1.1\r\n${START}`);
  await once(client, "readable");
  const text = await readAll(client);
  equal(text.length - text.indexOf("\r\n\r\n") - 4, total);
});

test("an old client without an upgrade gets 200 and the raw stream, and can send input", async (t) => {
  const client = await execAt(t, (socket, _head, rest) => {
    let input = rest.toString();
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n`);
    socket.on("data", (chunk) => {
      input += chunk;
      if (input.endsWith("\n")) socket.write(`echo ${input.replace("{}", "")}`);
    });
    socket.on("end", () => socket.end("end"));
  });
  client.write(
    "POST /v1.24/exec/e1/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
  );
  const [head] = (await once(client, "data")) as [Buffer];
  match(head.toString(), /^HTTP\/1\.1 200 OK\r\n/);
  client.write("hello\n");
  const [echo] = (await once(client, "data")) as [Buffer];
  match(echo.toString(), /echo hello\n/);
  client.end();
  match(await readAll(client), /end$/);
});
