// One line of the engine's event stream → Docker's event: other words for the same things, names as Docker shows them, and none of what
// Docker has no event for. Merging with the swarm's own is events.ts.
import { familiarImageName } from "../../engine/index.ts";
import type { ApiEvent } from "../event-bus.ts";
import { INTERNAL_LABELS } from "./context.ts";
import { count, object, strings, text } from "./json.ts";

/** Podman's words and Docker's, by type; an empty word drops the event. What is not listed is the same in both. */
const ACTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  container: {
    died: "die",
    remove: "destroy",
    // Docker has no event for these steps of Podman's own
    init: "",
    cleanup: "",
    sync: "",
    mount: "",
    unmount: "",
    refresh: "",
    exited: "",
    exec: "exec_start",
  },
  image: { remove: "delete", loadfromarchive: "load", "pull-error": "", build: "", mount: "", unmount: "" },
  volume: { remove: "destroy" },
  network: { remove: "destroy" },
};

/** Of Podman's attributes, those that are not labels and that Docker has not. */
const OWN_ATTRIBUTES = new Set(["containerExitCode", "podId", "containerInspectData", "network"]);

/** `undefined` for what Docker has no event for. */
export function translateEvent(line: string): ApiEvent | undefined {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch {
    return undefined; // half a line: the connection broke there, and the reader notices that itself
  }
  const e = object(raw);
  const type = text(e.Type);
  const words = ACTIONS[type];
  const said = text(e.Action);
  const action = words?.[said] ?? said;
  if (!words || action === "") return undefined;
  const actor = object(e.Actor);
  const attributes = strings(actor.Attributes);
  return {
    Type: type,
    Action: action,
    Actor: { ID: actorId(type, text(actor.ID), attributes), Attributes: shown(type, action, attributes) },
    scope: "local",
    time: count(e.time),
    timeNano: nanoseconds(line, e),
  };
}

/** Podman names volumes and networks only by attribute, and images by bare digits. */
function actorId(type: string, id: string, attributes: Readonly<Record<string, string>>): string {
  if (type === "volume") return attributes.name ?? id;
  if (type === "network") return id;
  if (type === "image") return /^[0-9a-f]{64}$/.test(id) ? `sha256:${id}` : id;
  return id;
}

function shown(type: string, action: string, attributes: Readonly<Record<string, string>>): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (OWN_ATTRIBUTES.has(key) || key.startsWith(INTERNAL_LABELS)) continue;
    if (key === "image" && type !== "container") continue;
    out[key] = value;
  }
  if (type === "container" && out.image !== undefined) out.image = familiarImageName(out.image);
  if (type === "image" && out.name !== undefined) out.name = familiarImageName(out.name);
  if (type === "volume") return { driver: "local" };
  if (action === "die") out.exitCode = attributes.exitCode ?? attributes.containerExitCode ?? "0";
  return out;
}

/** Beyond 2^53, so not through JSON.parse. */
function nanoseconds(line: string, e: object): bigint {
  const digits = /"timeNano":(\d+)/.exec(line)?.[1];
  return digits === undefined ? BigInt(count((e as { time?: unknown }).time)) * 1_000_000_000n : BigInt(digits);
}
