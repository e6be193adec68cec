// A small client process for the tests of this room, run inside a sandbox's namespace. Its commands come by stdin, one a line, and each is
// answered by one line of JSON: `tcp <ip> <port> <times>` (new connections one after another), `open`, `say` (one connection kept),
// `udp <ip> <port>` (always from the same socket).
import dgram from "node:dgram";
import net from "node:net";
import readline from "node:readline";

const PATIENCE_MS = 1500;
let kept: net.Socket | undefined;
let datagrams: dgram.Socket | undefined;

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [command, ...args] = line.split(" ");
  const started = performance.now();
  let answer: unknown;
  try {
    answer = await perform(command!, args);
  } catch (e) {
    answer = { error: (e as NodeJS.ErrnoException).code ?? String(e) };
  }
  console.log(JSON.stringify({ answer, ms: performance.now() - started }));
}

async function perform(command: string, [ip = "", port = "", times = "1"]: string[]): Promise<unknown> {
  if (command === "tcp") {
    const heard: string[] = [];
    for (let i = 0; i < Number(times); i++) heard.push(await fetchOnce(ip, Number(port)));
    return heard;
  }
  if (command === "open") {
    kept?.destroy();
    kept = await connect(ip, Number(port));
    return next(kept);
  }
  if (command === "say") {
    const reply = next(kept!);
    kept!.write(`${ip}\n`);
    return reply;
  }
  if (command === "udp") return askUdp(ip, Number(port));
  throw new Error(`unknown command ${command}`);
}

function connect(host: string, port: number): Promise<net.Socket> {
  const socket = net.connect({ host, port });
  socket.setTimeout(PATIENCE_MS, () => socket.destroy(Object.assign(new Error("silence"), { code: "SILENCE" })));
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

async function fetchOnce(ip: string, port: number): Promise<string> {
  const socket = await connect(ip, port);
  const line = await next(socket);
  socket.end("bye\n");
  await new Promise((resolve) => socket.once("close", resolve));
  return line;
}

function next(socket: net.Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      socket.off("data", data).off("error", failed).off("end", ended);
    };
    const data = (chunk: Buffer): void => {
      done();
      resolve(chunk.toString().trim());
    };
    const failed = (e: Error): void => {
      done();
      reject(e);
    };
    const ended = (): void => failed(Object.assign(new Error("ended"), { code: "ENDED" }));
    socket.on("data", data).on("error", failed).on("end", ended);
  });
}

async function askUdp(ip: string, port: number): Promise<string> {
  if (datagrams === undefined) {
    datagrams = dgram.createSocket("udp4");
    await new Promise<void>((resolve) => datagrams!.bind(0, () => resolve()));
  }
  const socket = datagrams;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(Object.assign(new Error("silence"), { code: "SILENCE" })), PATIENCE_MS);
    socket.once("message", (m) => {
      clearTimeout(timer);
      resolve(m.toString());
    });
    socket.send("?", port, ip);
  });
}
