import { equal } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { findService } from "./podman-host.ts";

const SOCKET = `/tmp/skep-no-such-${process.pid}.sock`;

/** A process that looks like Podman's service on SOCKET, here or in a mount namespace of its own. */
async function lookalike(t: TestContext, where: "here" | "elsewhere"): Promise<ChildProcess> {
  const program = 'console.log("up"); setInterval(() => {}, 1e6)';
  const args = ["-e", program, "system", "service", `unix://${SOCKET}`];
  const child =
    where === "here"
      ? spawn(process.execPath, args, { argv0: "podman" })
      : spawn("unshare", ["-m", "bash", "-c", 'exec -a podman "$@"', "-", process.execPath, ...args]);
  t.after(async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  await once(child.stdout!, "data");
  return child;
}

test("Podman's service is found by its socket", async (t) => {
  equal(await findService(SOCKET), undefined);
  const here = await lookalike(t, "here");
  equal(await findService(SOCKET), here.pid);
});

test("one in another mount namespace serves another socket of the same path, and is not ours", async (t) => {
  await lookalike(t, "elsewhere");
  equal(await findService(SOCKET), undefined);
});
