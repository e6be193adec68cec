// A program that is `skep daemon` in all but the daemon: real flags, locks and pid file, and an API that only answers /_ping.
// For the tests of up, down and status. FAKE_DAEMON: "dies" (at once, with a message) or "mute" (never listens).

import { rmSync } from "node:fs";
import { createServer } from "node:http";
import { parseDaemonConfig } from "../../daemon/config.ts";
import { daemon } from "../daemon.ts";
import { parseDaemonFlags } from "../flags.ts";

const config = parseDaemonConfig(parseDaemonFlags(process.argv.slice(2)));
const address = config.hosts[0];

await daemon(config, async () => ({
  runDaemon: async () => {
    if (process.env.FAKE_DAEMON === "dies") throw new Error("no podman in PATH");
    const server = createServer((_, answer) => answer.end("OK"));
    if (process.env.FAKE_DAEMON !== "mute" && address?.kind === "unix") {
      rmSync(address.path, { force: true });
      server.listen(address.path);
    }
    const alive = setInterval(() => {}, 1_000_000);
    await new Promise((resolve) => process.once("SIGTERM", resolve));
    clearInterval(alive);
    server.close();
  },
  purge: async () => {},
})).catch((error: Error) => {
  console.error(`skep: ${error.message}`); // as main.ts does
  process.exitCode = 1;
});
