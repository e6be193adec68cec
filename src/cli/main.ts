// The skep command: its subcommands and their flags. What each does is in the file of its name, loaded only when it is asked for,
// so that --help answers at once and `up` does not carry the daemon's code about. Flags shared by several are in flags.ts.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { parseDaemonConfig } from "../daemon/config.ts";
import { messageOf } from "../model/errors.ts";
import { addDaemonFlags, addRootFlags } from "./flags.ts";

const root = join(import.meta.dirname, "../..");
const say = (line: string): void => console.log(line);

const program = new Command("skep")
  .description("Swarm mode for Podman: services, overlay networks and virtual IPs over the Docker Engine API")
  .version(versionOf(join(root, "package.json")))
  .showHelpAfterError("(skep --help tells more)");

addDaemonFlags(program.command("daemon"))
  .description("run the daemon in the foreground")
  .action(async (options) => {
    const { daemon } = await import("./daemon.ts");
    await daemon(parseDaemonConfig(options));
  });

addDaemonFlags(program.command("up"))
  .description("start the daemon in the background and wait until it answers")
  .action(async (options) => {
    const { up } = await import("./up.ts");
    const { withLastPodman } = await import("./running.ts");
    await up(parseDaemonConfig(withLastPodman(options)), { say });
  });

addRootFlags(program.command("down"))
  .description("stop the daemon; tasks keep running, and the next `up` finds them")
  .option("--purge", "then remove everything skep made: tasks, networks, state")
  .action(async ({ purge, ...roots }) => {
    const { down } = await import("./down.ts");
    await down(roots, { say, purge: purge === true });
  });

addRootFlags(program.command("status"))
  .description("tell whether the daemon runs, and where it listens (exit code 3 if it does not run)")
  .action(async (roots) => {
    const { status } = await import("./status.ts");
    process.exitCode = await status(roots, { say });
  });

addDaemonFlags(program.command("demo-images"))
  .description(
    "put the walk's two images into the engine: pulled if a registry can be reached, else built from Debian's packages",
  )
  .option("--build", "build them even where they could be pulled")
  .action(async ({ build, ...options }) => {
    const { demoImages } = await import("./demo-images.ts");
    await demoImages(parseDaemonConfig(options), { say, build: build === true });
  });

program
  .command("demo")
  .description("show a swarm's internal load balancing, step by step, with the docker command; leaves nothing behind")
  .option("--keep", "leave the swarm up at the end, and say how to use it")
  .action(async ({ keep }) => {
    const { demo } = await import("./demo.ts");
    process.exitCode = await demo({ keep: keep === true, say });
  });

try {
  await program.parseAsync();
} catch (error) {
  console.error(`skep: ${messageOf(error)}`);
  process.exitCode = 1;
}

function versionOf(file: string): string {
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
