import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Socket } from "node:net";
import { test } from "node:test";
import { askAt } from "../testing/world.ts";
import { answerJson, fakeEngine } from "./testing/fake-engine.ts";
import { frontDoor } from "./testing/front-door.ts";

/** More than all the buffers on the way together. */
const MUCH = 64 * 1024 * 1024;

function get(
  socketPath: string,
  path: string,
  method = "GET",
): { sent: ClientRequest; answered: Promise<IncomingMessage> } {
  const sent = request({ socketPath, path, method, agent: false });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    sent.on("response", resolve);
    sent.on("error", reject);
  });
  return { sent, answered };
}

/** Writes for as long as the other side takes it, and tells how much that was once it stops. */
function pour(socket: Socket | ClientRequest, total: number): { written(): number; stalled: Promise<void> } {
  let written = 0;
  const piece = Buffer.alloc(64 * 1024);
  let stall = () => {};
  const stalled = new Promise<void>((resolve) => {
    stall = resolve;
  });
  const more = () => {
    while (written < total) {
      written += piece.length;
      if (socket.write(piece)) continue;
      // Nothing drains within many turns of the loop: the other side has stopped reading.
      let turns = 0;
      const idle = setInterval(() => {
        if (++turns < 20) return;
        clearInterval(idle);
        stall();
      }, 10);
      socket.once("drain", () => {
        clearInterval(idle);
        more();
      });
      return;
    }
    socket.end();
    stall();
  };
  more();
  return { written: () => written, stalled };
}

test("a client that does not read stops the engine from sending", async (t) => {
  let poured: ReturnType<typeof pour> | undefined;
  const started = Promise.withResolvers<void>();
  const engine = await fakeEngine(t, {
    "/export": (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: ${MUCH}\r\n\r\n`);
      poured = pour(socket, MUCH);
      started.resolve();
    },
  });
  const door = await frontDoor(t, engine.path);
  const { sent, answered } = get(door.socket, "/v1.41/containers/aa/export");
  sent.end();
  const answer = await answered;
  await started.promise;
  await poured?.stalled;
  ok((poured?.written() ?? MUCH) < MUCH / 2, `sent ${poured?.written()} bytes to a client that read none`);
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) size += chunk.length;
  equal(size, MUCH);
});

test("an engine that does not read stops the client from sending", async (t) => {
  const arrived = Promise.withResolvers<Socket>();
  const engine = await fakeEngine(t, {
    "/images/load": (socket) => {
      socket.pause();
      arrived.resolve(socket);
    },
  });
  const door = await frontDoor(t, engine.path);
  const { sent, answered } = get(door.socket, "/v1.41/images/load", "POST");
  const poured = pour(sent, MUCH);
  const socket = await arrived.promise;
  await poured.stalled;
  ok(poured.written() < MUCH / 2, `took ${poured.written()} bytes that nobody read`);
  let size = 0;
  socket.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (chunk.subarray(-5).toString() === "0\r\n\r\n")
      answerJson(socket, 200, { stream: "Loaded image: docker.io/library/a:b" });
  });
  socket.resume();
  const answer = await answered;
  equal(answer.statusCode, 200);
  let text = "";
  for await (const chunk of answer) text += chunk;
  deepEqual(JSON.parse(text), { stream: "Loaded image: a:b\n" });
  ok(size > MUCH * 0.9);
});

test("an engine that dies in the middle of an answer cuts the client off", async (t) => {
  const engine = await fakeEngine(t, {
    "/export": (socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
      socket.once("close", () => undefined);
      setImmediate(() => socket.destroy());
    },
  });
  const door = await frontDoor(t, engine.path);
  const { sent, answered } = get(door.socket, "/v1.41/containers/aa/export");
  sent.end();
  await rejects(async () => {
    for await (const _chunk of await answered); // reads to the end, which is no end
  }, /aborted|ECONNRESET|socket hang up/);
});

test("a client that goes away ends the engine's request", async (t) => {
  const gone = Promise.withResolvers<void>();
  const engine = await fakeEngine(t, {
    "/export": (socket) => {
      socket.resume();
      socket.on("end", () => gone.resolve());
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    },
  });
  const door = await frontDoor(t, engine.path);
  const { sent, answered } = get(door.socket, "/v1.41/containers/aa/export");
  sent.end();
  const answer = await answered;
  answer.on("error", () => undefined);
  await once(answer, "data");
  sent.destroy();
  await gone.promise;
});

test("a client that goes away before the answer ends the engine's request", async (t) => {
  const asked = Promise.withResolvers<Socket>();
  const engine = await fakeEngine(t, { "/export": (socket) => asked.resolve(socket) });
  const door = await frontDoor(t, engine.path);
  const { sent, answered } = get(door.socket, "/v1.41/containers/aa/export");
  sent.end();
  answered.catch(() => undefined);
  const socket = (await asked.promise).resume();
  sent.destroy();
  await once(socket, "end");
});

test("trailers and the engine's own headers", async (t) => {
  const engine = await fakeEngine(t, {
    "/export": (socket) =>
      socket.end(
        "HTTP/1.1 200 OK\r\nServer: Libpod/4.3.1\r\nLibpod-Api-Version: 4.3.1\r\nX-Kept: yes\r\nTrailer: Sum\r\n" +
          "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 42\r\n\r\n",
      ),
  });
  const door = await frontDoor(t, engine.path);
  const { sent, answered } = get(door.socket, "/v1.41/containers/aa/export");
  sent.end();
  const answer = await answered;
  let text = "";
  for await (const chunk of answer) text += chunk;
  equal(text, "hi");
  equal(answer.headers["x-kept"], "yes");
  equal(answer.headers["libpod-api-version"], undefined);
  match(String(answer.headers.server), /^Skep/);
  equal(answer.trailers.sum, "42");
});

test("refusals are worded as Docker words them, before a body is read", async (t) => {
  const engine = await fakeEngine(t, {
    "/containers/nosuch/": (socket) =>
      answerJson(socket, 404, {
        cause: "no such container",
        message: 'no container with name or ID "nosuch" found: no such container',
        response: 404,
      }),
  });
  const door = await frontDoor(t, engine.path);
  const answer = await askAt(door.socket, "POST", "/v1.41/containers/nosuch/pause");
  equal(answer.status, 404);
  deepEqual(answer.json, { message: "No such container: nosuch" });
});

test("without an engine there is an answer too", async (t) => {
  const door = await frontDoor(t, "/nonexistent/engine.sock");
  const answer = await askAt(door.socket, "GET", "/v1.41/containers/json");
  equal(answer.status, 503);
  match((answer.json as { message: string }).message, /cannot reach the container engine at \/nonexistent/);
});
