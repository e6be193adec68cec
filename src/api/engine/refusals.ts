// The engine's refusals → Docker's. Podman words them otherwise and picks other statuses; Docker's clients match on both, so each known
// one is a row of a table here. Everything unknown keeps Podman's sentence and status.

import { familiarImageName, messageIn, parseImageName } from "../../engine/index.ts";
import { type Code, SkepError } from "../../model/errors.ts";

/** What a request is about, to be named in its error. `name` is as the client wrote it. */
export interface Subject {
  readonly kind: "container" | "image" | "volume" | "exec" | "network";
  readonly name: string;
}

interface Rule {
  readonly when: RegExp;
  readonly code: Code;
  readonly say: (match: RegExpExecArray, subject: Subject | undefined) => string;
}

const nameOf = (subject: Subject | undefined, fallback: string | undefined) => subject?.name ?? fallback ?? "";

/** Rows are tried in order, on Podman's message. Docker's words: moby 28, daemon/*.go. */
const RULES: readonly Rule[] = [
  {
    when: /no container with name or ID "?([^"\s]*)"? found|no such container/i,
    code: "not_found",
    say: (m, s) => noSuch({ kind: "container", name: s?.kind === "container" ? s.name : (m[1] ?? nameOf(s, "")) }),
  },
  {
    when: /no such exec session/i,
    code: "not_found",
    say: (_, s) => noSuch({ kind: "exec", name: nameOf(s, "") }),
  },
  {
    when: /(?:volume with name (\S+) not found|no such volume)/i,
    code: "not_found",
    say: (m, s) => noSuch({ kind: "volume", name: s?.kind === "volume" ? s.name : (m[1] ?? "") }),
  },
  {
    when: /(?:no such image:? ?(\S+?)?(?::? image not known)?$|failed to find image (\S+?):|image not known)/i,
    code: "not_found",
    say: (m, s) => noSuch({ kind: "image", name: s?.kind === "image" ? s.name : (m[1] ?? m[2] ?? "") }),
  },
  {
    when: /(?:network (\S+) not found|unable to find network with name or ID (\S+?):|no such network)/i,
    code: "not_found",
    say: (m, s) => noSuch({ kind: "network", name: s?.kind === "network" ? s.name : (m[1] ?? m[2] ?? "") }),
  },
  {
    when: /the container name "\/?([^"]+)" is already in use by (?:container )?"?([0-9a-f]{12,64})"?/i,
    code: "conflict",
    say: (m) =>
      `Conflict. The container name "/${m[1]}" is already in use by container "${m[2]}". ` +
      `You have to remove (or rename) that container to be able to reuse that name.`,
  },
  {
    when: /can only create exec sessions on running containers/i,
    code: "conflict",
    say: (_, s) => `container ${nameOf(s, "")} is not running`,
  },
  {
    when: /can only kill running containers\. ([0-9a-f]+) is in state/i,
    code: "conflict",
    say: (m, s) => `cannot kill container: ${nameOf(s, m[1])}: container ${m[1]} is not running`,
  },
  {
    when: /cannot remove container ([0-9a-f]+) as it is (running|paused)/i,
    code: "conflict",
    say: (m, s) =>
      `cannot remove container "${named(s, m[1])}": container is ${m[2]}: ${
        m[2] === "paused"
          ? "unpause the container before stopping or killing"
          : "stop the container before removing or force remove"
      }`,
  },
  {
    when: /is not running, can't pause/i,
    code: "conflict",
    say: (_, s) => `container ${nameOf(s, "")} is not running`,
  },
  {
    when: /is not paused, can't unpause/i,
    code: "internal",
    say: (_, s) => `Container ${nameOf(s, "")} is not paused`,
  },
  {
    when: /volume (\S+) is being used by the following container\(s\): ([0-9a-f, ]+)/i,
    code: "conflict",
    say: (m) => `remove ${m[1]}: volume is in use - [${(m[2] ?? "").trim()}]`,
  },
  {
    when: /image (\S+) is in use: image used by ([0-9a-f]+)/i,
    code: "conflict",
    say: (m, s) => {
      const image = familiarImageName(nameOf(s, m[1]));
      const container = (m[2] ?? "").slice(0, 12);
      return (
        `conflict: unable to remove repository reference "${image}" (must force) - ` +
        `container ${container} is using its referenced image`
      );
    },
  },
  {
    when: /(?:executable file .*not found|stat \S+: no such file or directory|no such file or directory: OCI runtime attempted)/i,
    code: "invalid",
    say: (m) => `failed to create task for container: ${runtimeSaid(m.input)}: unknown`,
  },
  {
    when: /(?:exec: "[^"]*": permission denied|OCI permission denied)/i,
    code: "invalid",
    say: (m) => `failed to create task for container: ${runtimeSaid(m.input)}: unknown`,
  },
  {
    when: /no command or entrypoint provided/i,
    code: "invalid",
    say: () => "no command specified",
  },
  {
    when: /unknown container state: ([^:]+): invalid argument/i,
    code: "invalid",
    say: (m) => `invalid filter 'status=${m[1]}'`,
  },
  {
    when: /^Path \S+ is not supported$|^Not Found$/i,
    code: "not_found",
    say: () => "page not found",
  },
];

/** The error that an answer of 300 or above stands for. */
export function refusal(status: number, body: string, subject?: Subject): SkepError {
  const message = messageIn(body);
  if (message === "" && status === 404 && subject) return new SkepError("not_found", noSuch(subject), { status });
  const said = message || `the container engine answered with status ${status}`;
  for (const { when, code, say } of RULES) {
    const match = when.exec(said);
    if (match) return new SkepError(code, say(match, subject), { status }, new Error(said));
  }
  return new SkepError(codeOf(status), said, { status });
}

/** Docker's sentence for what is not there. */
export function noSuch(subject: Subject): string {
  switch (subject.kind) {
    case "container":
      return `No such container: ${subject.name}`;
    case "image":
      return `No such image: ${taggedName(subject.name)}`;
    case "volume":
      return `get ${subject.name}: no such volume`;
    case "exec":
      return `No such exec instance: ${subject.name}`;
    case "network":
      return `network ${subject.name} not found`;
  }
}

function named(subject: Subject | undefined, id: string | undefined): string {
  const name = subject?.name ?? "";
  return name === "" || id?.startsWith(name) ? (id ?? name) : `/${name.replace(/^\//, "")}`;
}

/** Docker names a missing image with its tag: "No such image: alpine:latest". What is no name (a short id) stays as it is. */
function taggedName(name: string): string {
  try {
    parseImageName(name);
  } catch {
    return name; // was not understood as a name: shown as the client wrote it
  }
  return familiarImageName(name);
}

/** Podman puts the runtime's name before, and its own classification behind, what the runtime said. */
function runtimeSaid(text: string): string {
  const core = text.replace(/^\w+: /, "").replace(/: OCI (?:runtime attempted|permission denied).*$/, "");
  return `failed to create shim task: OCI runtime create failed: ${core}`;
}

function codeOf(status: number): Code {
  if (status === 304) return "not_modified";
  if (status === 400) return "invalid";
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "not_found";
  if (status === 409) return "conflict";
  if (status === 501) return "unimplemented";
  if (status === 503) return "unavailable";
  return "internal";
}
