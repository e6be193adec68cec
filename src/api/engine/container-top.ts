// GET /containers/{id}/top, as dockerd does it: the host's `ps`, and of its lines those of the container's processes. Podman's would run
// `ps` inside the container, which many images have not.
import { execFile } from "node:child_process";
import { readdir, readlink } from "node:fs/promises";
import { promisify } from "node:util";
import { messageOf, SkepError } from "../../model/errors.ts";
import { type ApiRequest, param, type Reply } from "../http.ts";
import { rawInspect } from "./container-inspect.ts";
import type { EngineContext } from "./context.ts";
import { count, object, text } from "./json.ts";

const run = promisify(execFile);
const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024;

/** @throws SkepError "not_found", "conflict" when it does not run, "invalid" when `ps` does not take the arguments */
export async function topContainer(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const id = param(req, "id");
  const raw = object(await rawInspect(ctx, id));
  const pid = count(object(raw.State).Pid);
  if (pid === 0) throw new SkepError("conflict", `container ${text(raw.Id)} is not running`);
  const args = (req.query.get("ps_args") ?? "").split(/\s+/).filter((a) => a !== "");
  const [pids, output] = await Promise.all([processesWith(pid), ps(args.length === 0 ? ["-ef"] : args, req.signal)]);
  return { json: table(output, pids) };
}

/** The processes of the container whose first process is `pid`: those in its pid namespace, where that is not the host's. */
async function processesWith(pid: number): Promise<ReadonlySet<number>> {
  const namespace = (of: number | "self") => readlink(`/proc/${of}/ns/pid`).catch(() => ""); // "": it ended meanwhile
  const wanted = await namespace(pid);
  if (wanted === "" || wanted === (await namespace("self"))) return new Set([pid]);
  const all = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const spaces = await Promise.all(all.map(async (of) => ({ of, ns: await namespace(of) })));
  return new Set(spaces.filter(({ ns }) => ns === wanted).map(({ of }) => of));
}

async function ps(args: readonly string[], signal: AbortSignal): Promise<string> {
  try {
    return (await run("ps", [...args], { signal, maxBuffer: OUTPUT_LIMIT_BYTES })).stdout;
  } catch (e) {
    throw new SkepError("invalid", `ps: ${messageOf(e)}`, {}, e);
  }
}

/** Columns end at spaces, but the last, which is the command. @throws SkepError "invalid" when there is no PID column */
export function table(output: string, pids: ReadonlySet<number>): { Titles: string[]; Processes: string[][] } {
  const [first = "", ...lines] = output.trimEnd().split("\n");
  const Titles = first.trim().split(/\s+/);
  const at = Titles.indexOf("PID");
  if (at < 0) throw new SkepError("invalid", "Couldn't find PID field in ps output");
  const Processes = lines
    .map((line) => {
      const words = line.trim().split(/\s+/);
      return [...words.slice(0, Titles.length - 1), words.slice(Titles.length - 1).join(" ")];
    })
    .filter((row) => pids.has(Number(row[at])));
  return { Titles, Processes };
}
