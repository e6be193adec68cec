// For tests: something on a unix socket in the engine's place that does just what a test says, byte by byte.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface FakeEngine {
  readonly path: string;
  readonly connections: Socket[];
}

/** Every connection whose request line contains `path` goes to `serve` with the head; others get "404". */
export async function fakeEngine(
  t: TestContext,
  serve: Readonly<Record<string, (socket: Socket, head: string, rest: Buffer) => void>>,
): Promise<FakeEngine> {
  const dir = await mkdtemp(join(tmpdir(), "skep-f-"));
  const path = join(dir, "e.sock");
  const connections: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.push(socket);
    socket.on("error", () => undefined);
    let got = Buffer.alloc(0);
    const take = (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      const end = got.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", take);
      const head = got.subarray(0, end).toString();
      const route = Object.keys(serve).find((p) => (head.split("\r\n")[0] ?? "").includes(p));
      if (route === undefined) answerJson(socket, 404, { message: "no such thing" });
      else serve[route]?.(socket, head, got.subarray(end + 4));
    };
    socket.on("data", take);
  });
  server.listen(path);
  await once(server, "listening");
  t.after(async () => {
    for (const socket of connections) socket.destroy();
    server.close();
    await rm(dir, { recursive: true });
  });
  return { path, connections };
}

export function answerJson(socket: Socket, status: number, json: unknown): void {
  const body = JSON.stringify(json);
  socket.end(
    `HTTP/1.1 ${status} X\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
