// Starting and stopping in order: one list, stopped in reverse, so that what is started later may rely on what came before.
import { messageOf } from "../model/errors.ts";
import type { Log } from "../model/log.ts";

export interface Part {
  readonly name: string;
  /** Resolves when the part is ready to be used. */
  readonly start: () => Promise<void>;
  /** Resolves when it is truly done. Only called after a start that resolved. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts the parts one after the other; when one fails, those that were started are stopped again.
 * @returns what stops them all, in reverse; it goes on after a part that fails to stop, and throws in the end
 */
export async function startParts(parts: readonly Part[], log: Log): Promise<() => Promise<void>> {
  const started: Part[] = [];
  const stop = async () => {
    const failures: unknown[] = [];
    for (let part = started.pop(); part; part = started.pop()) {
      try {
        await part.stop();
      } catch (e) {
        log.error({ part: part.name, error: messageOf(e) }, "a part did not stop cleanly");
        failures.push(e);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "some parts did not stop cleanly");
  };
  for (const part of parts) {
    try {
      log.debug({ part: part.name }, "starting");
      await part.start();
      started.push(part);
    } catch (e) {
      await stop().catch(() => undefined); // logged above; the failure to start is what the caller must hear
      throw e;
    }
  }
  return stop;
}
