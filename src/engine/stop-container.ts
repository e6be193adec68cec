// Stopping with a grace period, by signals and our own watch for the exit. Podman's stop call would hold the container's lock until the
// process is gone (so that listing waits too), and knows only whole seconds.
import { setTimeout as delay } from "node:timers/promises";
import { hasCode, SkepError } from "../model/errors.ts";
import { isProcessOf, send } from "./podman-host.ts";
import type { ContainerEngine, ContainerState, StopOptions } from "./port.ts";

/** How often to look in person, in case the exit itself was not heard. */
const CHECK_MS = 1_000;
const POLL_MS = 10;

/** What of the engine is needed; `resumeContainer` ends a pause, and a container that is not paused is fine. */
export type Stopper = Pick<ContainerEngine, "inspectContainer" | "killContainer" | "onExit"> & {
  resumeContainer(id: string): Promise<void>;
};

/**
 * Resolves when the container's process is gone; already gone is success.
 * @throws SkepError "timeout" when the caller's signal aborts first: the process may then live
 */
export async function stopProcess(
  engine: Stopper,
  container: ContainerState,
  options: StopOptions & { readonly stopSignal: number },
): Promise<void> {
  if (!isUp(container)) return;
  const death = new AbortController();
  const off = engine.onExit((exit) => {
    if (exit.id === container.id) death.abort();
  });
  try {
    // A frozen process takes no signal, and Podman refuses to send it one.
    if (container.state === "paused") await engine.resumeContainer(container.id);
    await signalIt(engine, container.id, options.stopSignal, death);
    await waitFor(death.signal, options.graceMs, options.signal);
    if (!death.signal.aborted) await signalIt(engine, container.id, 9, death);
    while (!death.signal.aborted) {
      await waitFor(death.signal, CHECK_MS, options.signal);
      const now = await engine.inspectContainer(container.id);
      if (now === undefined || !isUp(now)) break;
    }
  } finally {
    off();
  }
  await endByHand(container);
}

/** Podman takes a container whose conmon was killed for stopped, and sends its process no signal any more: then we do. */
async function endByHand({ id, pid }: ContainerState): Promise<void> {
  while (pid > 0 && (await isProcessOf(pid, id))) {
    send(pid, "SIGKILL");
    await delay(POLL_MS);
  }
}

function isUp(c: ContainerState): boolean {
  return c.state === "running" || c.state === "paused" || c.state === "stopping";
}

async function signalIt(engine: Stopper, id: string, signal: number, death: AbortController): Promise<void> {
  try {
    await engine.killContainer(id, String(signal));
  } catch (e) {
    // Gone, or not running any more, is what we want.
    if (hasCode(e, "not_found") || hasCode(e, "conflict")) death.abort();
    else throw e;
  }
}

/** Waits for the death, at most `ms`. */
async function waitFor(death: AbortSignal, ms: number, caller: AbortSignal | undefined): Promise<void> {
  const signal = caller === undefined ? death : AbortSignal.any([death, caller]);
  try {
    await delay(ms, undefined, { signal });
  } catch (e) {
    if (!death.aborted) throw new SkepError("timeout", "gave up waiting for a container to stop", {}, e);
  }
}
