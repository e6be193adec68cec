// POST /containers/{id}/update. Podman 4's compat API has none, its own takes the OCI form of the limits.
import { SkepError } from "../../model/errors.ts";
import { type ApiRequest, jsonBody, param, type Reply } from "../http.ts";
import { rawInspect } from "./container-inspect.ts";
import type { EngineContext } from "./context.ts";
import { count, type Json, object, text } from "./json.ts";
import { refusal } from "./refusals.ts";
import { LIBPOD } from "./upstream.ts";

/** The CFS period that Docker turns `--cpus` into, microseconds. */
const PERIOD_US = 100_000;

/** @throws SkepError "not_found", "unimplemented" for a restart policy, which Podman 4 cannot change */
export async function updateContainer(ctx: EngineContext, req: ApiRequest): Promise<Reply> {
  const id = param(req, "id");
  const body = object(await jsonBody(req));
  const found = object(await rawInspect(ctx, id));
  const policy = text(object(body.RestartPolicy).Name);
  if (policy !== "" && policy !== text(object(object(found.HostConfig).RestartPolicy).Name)) {
    throw new SkepError("unimplemented", "the restart policy of a container cannot be changed after its creation");
  }
  const path = `${LIBPOD}/containers/${text(found.Id)}/update`;
  const answer = await ctx.upstream.ask("POST", path, { json: resources(body) }); // the answer is an id, not JSON
  if (answer.status >= 300) throw refusal(answer.status, answer.text, { kind: "container", name: id });
  return { json: { Warnings: null } };
}

/** Docker's limits in the OCI runtime's form; what is zero or absent stays as it is. */
function resources(body: Json): object {
  const nano = count(body.NanoCpus);
  const cpu = {
    shares: count(body.CpuShares),
    quota: nano > 0 ? Math.round((nano / 1e9) * PERIOD_US) : count(body.CpuQuota),
    period: nano > 0 ? PERIOD_US : count(body.CpuPeriod),
    realtimeRuntime: count(body.CpuRealtimeRuntime),
    realtimePeriod: count(body.CpuRealtimePeriod),
    cpus: text(body.CpusetCpus),
    mems: text(body.CpusetMems),
  };
  const memory = {
    limit: count(body.Memory),
    reservation: count(body.MemoryReservation),
    swap: count(body.MemorySwap),
  };
  return { cpu: given(cpu), memory: given(memory), pids: given({ limit: count(body.PidsLimit) }) };
}

function given(values: Readonly<Record<string, string | number>>): object | undefined {
  const entries = Object.entries(values).filter(([, v]) => v !== 0 && v !== "");
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
