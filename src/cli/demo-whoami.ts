// The image containous/whoami, built here: images/whoami/whoami.c, compiled into one static program of 100 kB. The lightest way is musl's
// library with tcc, two megabytes of packages that need no installing; a compiler that is installed does too.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, SkepError } from "../model/errors.ts";
import { findProgram, output, there, unpack } from "./debian-files.ts";
import type { DemoImage } from "./demo-images.ts";

const SOURCE = join(import.meta.dirname, "../../images/whoami/whoami.c");

export const whoami: DemoImage = {
  name: "containous/whoami:latest",
  sources: [SOURCE],
  changes: ['ENTRYPOINT ["/whoami"]', "EXPOSE 80"],
  recipe: "1",
  async build(root, scratch) {
    const program = join(root, "whoami");
    await compile(program, scratch);
    await chmod(program, 0o755);
  },
};

type Compiler = (into: string, scratch: string) => Promise<void>;

/** Tries one compiler after the other until one makes a program that runs. @throws SkepError "unavailable" with what each said */
async function compile(into: string, scratch: string): Promise<void> {
  const failures: string[] = [];
  for (const [name, compiler] of Object.entries({ "musl-gcc": withMuslGcc, tcc: withTcc, cc: withCc })) {
    try {
      await compiler(into, scratch);
      await tryOut(into);
      return;
    } catch (e) {
      failures.push(`${name}: ${messageOf(e)}`);
    }
  }
  throw new SkepError("unavailable", `no C compiler could build whoami (${failures.join("; ")})`);
}

const withMuslGcc: Compiler = async (into) => {
  await output(["musl-gcc", "-O2", "-static", "-s", "-o", into, SOURCE]);
};

const withCc: Compiler = async (into) => {
  await output(["cc", "-O2", "-static", "-s", "-o", into, SOURCE]);
};

/** tcc and musl, from this machine or from packages unpacked in the scratch directory: every path is given, nothing is looked up. */
const withTcc: Compiler = async (into, scratch) => {
  const here = (await findProgram("tcc")) !== undefined && (await there("/usr/include/features.h"));
  const musl = here ? await libDir("/", "-linux-musl") : undefined;
  const base = musl === undefined ? await unpack(["tcc", "libtcc-dev", "musl-dev"], join(scratch, "tcc")) : "/";
  const libc = musl ?? (await libDir(base, "-linux-musl"));
  const tcc = join((await libDir(base, "-linux-gnu", "tcc")) ?? "", "tcc");
  const program = await findProgram("tcc", base);
  if (libc === undefined || program === undefined) throw new SkepError("not_found", "the packages tcc and musl-dev");
  const include = join(base, "usr/include", libc.split("/").at(-1) ?? "");
  const parts = [join(libc, "crt1.o"), join(libc, "crti.o"), SOURCE, join(libc, "libc.a"), join(tcc, "libtcc1.a")];
  const flags = [`-B${tcc}`, "-nostdinc", `-I${include}`, `-I${join(tcc, "include")}`, "-nostdlib", "-static"];
  await output([program, ...flags, "-o", into, ...parts, join(libc, "crtn.o")]);
};

/** The architecture's directory below usr/lib that ends so (and holds `entry`). */
async function libDir(base: string, ending: string, entry = ""): Promise<string | undefined> {
  const lib = join(base, "usr/lib");
  for (const name of await readdir(lib)) {
    if (name.endsWith(ending) && (await there(join(lib, name, entry)))) return join(lib, name);
  }
  return undefined;
}

/** Starts it on any free port and stops it: a miscompiled program should fail here, not in a task. */
async function tryOut(program: string): Promise<void> {
  const child = spawn(program, ["-port", "0"], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(child, "close");
  await Promise.race([once(child.stderr, "data"), ended]);
  child.kill("SIGTERM");
  const [code, signal] = await ended;
  if (code !== 0) throw new SkepError("internal", `the program built ended with ${signal ?? code} on SIGTERM`);
}
