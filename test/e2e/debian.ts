// Programs out of Debian packages that tests want to have and machines need not have: unpacked into .cache, installed nowhere.
import { execFileSync } from "node:child_process";
import { join } from "node:path";

const SETUP = join(import.meta.dirname, "../../scripts/setup");

/** The path of the first of these files ("PACKAGE/PATH") that can be had; undefined, with a notice on stderr, when none can. */
export function debianFile(...candidates: readonly string[]): string | undefined {
  for (const file of candidates) {
    try {
      const path = execFileSync(SETUP, [`--unpack=${file}`], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
      return path.trim();
    } catch {
      // the next one, or the notice below
    }
  }
  console.error(`not on this machine and not to be had from Debian: ${candidates.join(", ")}`);
  return undefined;
}
