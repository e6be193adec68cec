// For tests: a Podman of one's own, in a temporary directory, with a small image in it. Everything goes away with the test.
import { execFile, spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { silent } from "../../model/log.ts";
import { PodmanClient } from "../http-client.ts";
import { PodmanEngine } from "../podman-engine.ts";

const run = promisify(execFile);

/** The image that `aPodman` has: busybox, which has sleep, sh, cat and so on. */
export const IMAGE = "busybox:test";

export interface TestPodman {
  readonly dir: string;
  readonly socketPath: string;
  /** An engine on this Podman; the first one starts its service. Closed after the test. */
  engine(): PodmanEngine;
}

/** Makes the storage, starts the service and puts the image in. All its containers are removed at the end. */
export async function aPodman(t: TestContext): Promise<TestPodman> {
  // Short, since a socket's path is: at most 107 bytes.
  const dir = await mkdtemp(join(tmpdir(), "skep-e-"));
  const socketPath = join(dir, "p.sock");
  const own = { stateDir: join(dir, "state"), storage: { root: join(dir, "root"), runroot: join(dir, "run") } };
  const engines: PodmanEngine[] = [];
  const engine = () => {
    const made = new PodmanEngine({ socketPath, own, log: silent });
    engines.push(made);
    return made;
  };
  t.after(async () => {
    for (const e of engines) await e.close();
    const last = new PodmanEngine({ socketPath, own, log: silent });
    await last.start();
    await removeAllContainers(socketPath);
    await last.stopService();
    for (const at of (await mountsUnder(dir)).reverse()) await run("umount", ["-l", at]);
    await rm(dir, { recursive: true, force: true });
  });
  const first = engine();
  await first.start();
  await importBusybox(first, dir);
  await first.close(); // the service stays; an engine that follows it would bring it back when a test stops it
  return { dir, socketPath, engine };
}

/** Mount points below a directory, in the order of mounting. */
export async function mountsUnder(dir: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.map((line) => line.split(" ")[4] ?? "").filter((at) => at.startsWith(`${dir}/`));
}

async function removeAllContainers(socketPath: string): Promise<void> {
  const client = new PodmanClient(socketPath, () => Promise.reject(new Error("podman died during the clean-up")));
  const all = await client.json("GET", "/libpod/containers/json", { query: { all: true } });
  for (const { Id } of all as { Id: string }[]) {
    await client.json("DELETE", `/libpod/containers/${Id}`, { query: { force: true, v: true, timeout: 0 } });
  }
  client.close();
}

async function importBusybox(engine: PodmanEngine, dir: string): Promise<void> {
  const tree = join(dir, "tree");
  await mkdir(join(tree, "bin"), { recursive: true });
  await copyFile("/bin/busybox", join(tree, "bin/busybox"));
  for (const name of ["sh", "sleep", "cat", "env", "hostname", "id", "stat"])
    await symlink("busybox", join(tree, "bin", name));
  await mkdir(join(tree, "etc"));
  await writeFile(join(tree, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  const tar = spawn("tar", ["-C", tree, "-c", "."], { stdio: ["ignore", "pipe", "inherit"] });
  await engine.importImage(tar.stdout, { reference: IMAGE, changes: ['CMD ["sleep", "1000"]', "LABEL of=skep"] });
}
