// `skep status`: whether the daemon runs, and where. How that is known is in running.ts.

import { formatHost } from "../daemon/config.ts";
import type { RootOptions } from "./flags.ts";
import { answers, configOn, filesOf, isRunning, pidOf } from "./running.ts";

/** Exit code for "not running", as service scripts have it (LSB, systemctl status). */
const NOT_RUNNING = 3;

/** Prints what is known of the daemon on these roots. Returns the exit code: 0 if it runs. */
export async function status(roots: RootOptions, { say }: { say: (line: string) => void }): Promise<number> {
  const config = configOn(roots);
  if (!isRunning(config)) {
    say(`skep is not running on ${config.execRoot}`);
    return NOT_RUNNING;
  }
  say(`skep is running on ${config.execRoot}${(await answers(config)) ? "" : ", but does not answer yet"}`);
  say(`  pid     ${pidOf(config) ?? "not known yet"}`);
  for (const host of config.hosts) say(`  listens ${formatHost(host)}`);
  say(`  data    ${config.dataRoot}`);
  say(`  log     ${filesOf(config).log}`);
  return 0;
}
