// Clients that are slow, broken, too many, or gone: the daemon goes on answering everybody else, and keeps nothing of them.
import { deepEqual, equal, match } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { after, before, suite, test } from "node:test";
import { inNetns } from "../../src/kernel/index.ts";
import { Host, until } from "./host.ts";

const BOX = "xiaopeng163/net-box";
const TALK = "while :; do echo tick; sleep 0.1; done";
/** A registry that takes connections and never says a word. */
const SILENT = "127.0.0.1:5009";

suite("rude clients", () => {
  let host: Host;
  let silent: ChildProcess;

  before(async () => {
    host = await Host.swarm();
    const listen = "require('net').createServer(() => {}).listen(5009, '127.0.0.1', () => console.log('ready'))";
    silent = inNetns(host.netns, () =>
      spawn(process.execPath, ["-e", listen], { stdio: ["ignore", "pipe", "inherit"] }),
    );
    await once(silent.stdout!, "data");
    await host.docker(
      "service",
      "create",
      "-d",
      "--name",
      "talker",
      "--no-resolve-image",
      "--stop-grace-period",
      "1s",
      BOX,
      "sh",
      "-c",
      TALK,
    );
    await until(async () => (await host.docker("service", "logs", "--tail", "1", "talker")) !== "", "it talks");
  });
  after(async () => {
    silent.kill();
    await host.remove();
  });

  test("headers that never end and bodies that dribble are cut off, and hold up nobody", async () => {
    const before = descriptors();
    const headers = await Promise.all(
      Array.from({ length: 20 }, () => dial("GET /info HTTP/1.1\r\nHost: d\r\nX-Slow")),
    );
    const bodies = await Promise.all(
      Array.from({ length: 20 }, () => dial(`${CREATE}Content-Length: 1000\r\n\r\n{"Name": `)),
    );
    const dribble = setInterval(() => {
      for (const { socket } of bodies) if (socket.writable) socket.write(" ");
    }, 500);
    try {
      for (let i = 0; i < 20; i++) equal((await host.api("GET", "/_ping")).text, "OK");
      await Promise.all([...headers, ...bodies].map(({ closed }) => closed));
    } finally {
      clearInterval(dribble);
    }
    for (const { said } of headers) match(said(), /^HTTP\/1\.1 408 /);
    for (const { said } of bodies) match(said(), /^HTTP\/1\.1 400 [\s\S]*the request's body did not come within/);
    await settles(before);
  });

  test("bodies that break off make nothing", async () => {
    const before = descriptors();
    const chunked = `${CREATE}Transfer-Encoding: chunked\r\n\r\n`;
    for (const [rest, end] of [
      ['10\r\n{"Name": "x",', "end"],
      ['10\r\n{"Name": "x",', "destroy"],
      ["zz\r\n", "wait"],
      ['8\r\n{"Name":\r\n', "end"],
    ] as const) {
      const client = await dial(chunked + rest);
      if (end !== "wait") client.socket[end]();
      await client.closed;
      if (end !== "destroy") match(client.said(), /^HTTP\/1\.1 400 /, rest);
    }
    for (const path of ["/build", "/images/load", "/images/create?fromSrc=-&repo=x"]) {
      const head = `POST ${path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n`;
      for (const end of ["end", "destroy"] as const) {
        const client = await dial(`${head}400\r\nhalf`);
        client.socket[end]();
        await client.closed;
      }
    }
    equal(await host.docker("service", "ls", "--format", "{{.Name}}"), "talker");
    equal(await host.docker("images", "-q", "x"), "");
    await settles(before);
  });

  test("clients that vanish from logs, events, exec, attach, stats and pulls leave nothing open", async () => {
    const id = await host.docker("ps", "-q", "--filter", "name=talker.");
    const before = descriptors();
    const commands: (readonly [string[], talks: boolean])[] = [
      [["service", "logs", "-f", "talker"], true],
      [["logs", "-f", id], true],
      [["attach", "--sig-proxy=false", id], true],
      [["exec", "-i", id, "sh", "-c", TALK], true],
      [["stats", "--format", "{{.Name}}", id], true],
      [["events"], false],
      [["wait", id], false],
      [["pull", `${SILENT}/image`], false],
    ];
    for (const [command, talks] of commands) {
      const clients = Array.from({ length: 3 }, () => vanishing(command));
      if (talks) await until(() => clients.every((client) => client.said() !== ""), `${command.join(" ")} talks`);
      else await until(() => descriptors() >= before + clients.length, `${command.join(" ")} is under way`);
      for (const client of clients) {
        equal(client.end(), undefined, `${command.join(" ")} ended by itself: ${client.said()}`);
        await client.vanish();
      }
      await settles(before, command.join(" "));
    }
    match(await host.docker("service", "logs", "--tail", "1", "talker"), /tick/);
  });

  test("200 requests at once are all answered", async () => {
    const before = descriptors();
    const paths = [
      "/services",
      "/tasks",
      "/networks",
      "/containers/json",
      "/info",
      "/images/json",
      "/nodes",
      "/version",
    ];
    const asked = Array.from({ length: 200 }, (_, i) => status(paths[i % paths.length]!));
    deepEqual([...new Set(await Promise.all(asked))], [200]);
    await settles(before);
  });

  const CREATE = "POST /services/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n";

  /** A docker command that will be killed: what it has printed, how it ended if it did, and its sudden death. */
  function vanishing(command: string[]) {
    const child = inNetns(host.netns, () =>
      spawn("docker", command, { env: host.env, stdio: ["pipe", "pipe", "pipe"] }),
    );
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (s: Buffer) => (said += s));
    const gone = once(child, "exit");
    return {
      said: () => said,
      end: () => child.exitCode ?? child.signalCode ?? undefined,
      vanish: async () => {
        child.kill("SIGKILL");
        await gone;
      },
    };
  }

  /** A connection on which this has been written; `closed` resolves when it is gone. */
  async function dial(text: string): Promise<{ socket: Socket; closed: Promise<void>; said: () => string }> {
    const socket = connect({ path: host.socket, allowHalfOpen: true });
    let said = "";
    socket.setEncoding("utf8").on("data", (s: string) => (said += s));
    socket.on("error", () => undefined); // being cut off is what is tested
    socket.on("end", () => socket.end());
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    await once(socket, "connect");
    await new Promise<void>((resolve) => socket.write(text, () => resolve()));
    return { socket, closed, said: () => said };
  }

  function status(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: host.socket, path, agent: false }, (answer) => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      });
      asked.on("error", reject);
      asked.end();
    });
  }

  function descriptors(): number {
    return readdirSync(`/proc/${host.pid()}/fd`).length;
  }

  /** Waits until the daemon has no more open than before. */
  async function settles(before: number, after = "this"): Promise<void> {
    await until(() => descriptors() <= before, `nothing stays open after ${after}`, 20_000);
  }
});
