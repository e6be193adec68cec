// Programs with the shared libraries that they need, taken from this machine where it has them, else out of Debian packages that are downloaded
// and unpacked into a scratch directory, never installed. Used by the demo images.
import { execFile } from "node:child_process";
import { access, copyFile, mkdir, readdir, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { SkepError } from "../model/errors.ts";

const run = promisify(execFile);
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** A program, and the Debian package that brings it. */
export interface Program {
  readonly name: string;
  readonly debianPackage: string;
}

const BIN_DIRS = ["usr/bin", "bin", "usr/sbin", "sbin"];

/** Runs a program; resolves with what it printed. @throws Error with its exit code and error output */
export async function output(argv: readonly [string, ...string[]], cwd?: string): Promise<string> {
  const [program, ...args] = argv;
  const { stdout } = await run(program, args, { maxBuffer: MAX_OUTPUT_BYTES, ...(cwd === undefined ? {} : { cwd }) });
  return stdout;
}

/** The path of a program on this machine, or in an unpacked tree; `undefined` when it is not there. */
export async function findProgram(name: string, under = "/"): Promise<string | undefined> {
  for (const dir of BIN_DIRS) {
    const path = join(under, dir, name);
    if (await there(path)) return path;
  }
  return undefined;
}

/**
 * Puts programs and their libraries into `root`, at the paths where the loader of the same Debian release looks for them.
 * @throws SkepError "not_found" when one is neither here nor in a package that can be downloaded
 */
export async function copyPrograms(programs: readonly Program[], root: string, scratch: string): Promise<void> {
  const missing: string[] = [];
  for (const program of programs) {
    if ((await findProgram(program.name)) === undefined) missing.push(program.debianPackage);
  }
  // One tree for all that is missing: what is here already is not taken from there, so versions do not mix within a program.
  const unpacked = missing.length === 0 ? undefined : await unpackWithDependencies(missing, join(scratch, "unpacked"));
  for (const { name, debianPackage } of programs) {
    const local = await findProgram(name);
    const path = local ?? (unpacked && (await findProgram(name, unpacked)));
    if (path === undefined) throw new SkepError("not_found", `${name} is not in Debian's package ${debianPackage}`);
    await install(await realpath(path), join(root, "usr/bin", name));
    await copyLibraries(path, root, local === undefined ? unpacked : undefined);
  }
}

/** Downloads packages (without what they depend on) and unpacks them under `into`; resolves with `into`. */
export async function unpack(packages: readonly string[], into: string): Promise<string> {
  await mkdir(into, { recursive: true });
  // As root, apt would fetch as user _apt, who may not write here.
  await output(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", ...packages], into);
  for (const file of await readdir(into)) {
    if (file.endsWith(".deb")) await output(["dpkg-deb", "-x", join(into, file), into]);
  }
  return into;
}

async function unpackWithDependencies(packages: readonly string[], into: string): Promise<string> {
  const not = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map((k) => `--no-${k}`);
  const listing = await output(["apt-cache", "depends", "--recurse", ...not, ...packages]);
  const names = listing.split("\n").filter((line) => /^[a-z0-9]/.test(line));
  return unpack([...new Set(names)], into);
}

async function copyLibraries(program: string, root: string, unpacked: string | undefined): Promise<void> {
  for (const path of await librariesOf(program, unpacked)) {
    const name = path.startsWith(unpacked ?? "\0") ? path.slice(unpacked?.length) : path;
    // /lib and /lib64 are links into /usr in the image, as in Debian itself.
    await install(await realpath(path), join(root, name.startsWith("/usr/") ? name : join("/usr", name)));
  }
}

/** What the loader would load, by ldd: `name => path (address)`, and the loader itself as a bare path. */
async function librariesOf(program: string, unpacked: string | undefined): Promise<string[]> {
  const dirs = unpacked === undefined ? [] : await libraryDirs(unpacked);
  const ldd = await output(["env", `LD_LIBRARY_PATH=${dirs.join(":")}`, "ldd", program]).catch((e: unknown) => {
    if (/not a dynamic executable/.test(String((e as { stderr?: unknown }).stderr))) return "";
    throw e;
  });
  const missing = /^\s*(\S+) => not found/m.exec(ldd)?.[1];
  if (missing !== undefined) throw new SkepError("not_found", `${program} needs ${missing}, which is not here`);
  return [...ldd.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((m) => m[1] ?? "");
}

async function libraryDirs(unpacked: string): Promise<string[]> {
  const dirs: string[] = [];
  for (const lib of ["usr/lib", "lib"]) {
    const base = join(unpacked, lib);
    if (!(await there(base))) continue;
    for (const entry of await readdir(base)) if (/-linux-gnu/.test(entry)) dirs.push(join(base, entry));
  }
  return dirs;
}

async function install(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}

export async function there(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
