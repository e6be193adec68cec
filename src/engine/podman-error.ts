// The one translator from Podman's refusals to SkepError. Podman answers {cause, message, response}; the Docker-compatible half of its API
// leaves out all but message. Failures to reach it at all come from http-client.ts.
import { type Code, SkepError } from "../model/errors.ts";
import { familiarImageName, familiarRepository, parseImageName } from "./image-names.ts";

/** Turns an answer of 300 and above into an error; `body` is Podman's own, JSON or not. */
export function podmanError(what: string, status: number, body: string): SkepError {
  const said = messageIn(body) || `status ${status}`;
  const taken = /the container name "(.+?)" is already in use by (\S+?)\./.exec(said);
  if (taken) return nameTaken(taken[1] ?? "", taken[2] ?? "");
  return new SkepError(codeOf(status, said), `${what}: ${said}`, { status });
}

function nameTaken(name: string, by: string): SkepError {
  const text =
    `Conflict. The container name "/${name}" is already in use by container "${by}". ` +
    "You have to remove (or rename) that container to be able to reuse that name.";
  return new SkepError("conflict", text, { name, by });
}

/** Podman's own sentence out of an error body; the body itself where it is no JSON. */
export function messageIn(body: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return body.trim(); // a proxy or a crash answers in plain text, and that is then the message
  }
  if (typeof parsed !== "object" || parsed === null) return body.trim();
  const { message, cause } = parsed as { message?: unknown; cause?: unknown };
  if (typeof message === "string" && message !== "") return message;
  return typeof cause === "string" ? cause : body.trim();
}

/** A failed pull in Docker's words, from what Podman (containers/image) says about the registry's answer. */
export function pullError(ref: string, said: string): SkepError {
  const facts = { image: ref };
  const cause = new Error(said);
  if (/manifest unknown|name unknown|not found: manifest|status code 404|: 404 \(/i.test(said)) {
    const text = `manifest for ${familiarImageName(ref)} not found: manifest unknown: manifest unknown`;
    return new SkepError("not_found", text, facts, cause);
  }
  if (/denied|unauthorized|authentication required|insufficient_scope|status: 40[13]/i.test(said)) {
    const text =
      `pull access denied for ${familiarRepository(parseImageName(ref))}, repository does not exist or may require ` +
      `'docker login': denied: requested access to the resource is denied`;
    return new SkepError("not_found", text, facts, cause);
  }
  // The transport's own line is the last thing quoted: pinging container registry …: Get "https://…/v2/": dial tcp: lookup …
  const transport = /(?:Get|Head|Post) "[^"]+": .*$/m.exec(said)?.[0];
  return new SkepError("unavailable", transport ?? said, facts, cause);
}

/**
 * A failed start in Docker's words: Podman's "runc: runc create failed: REASON: OCI runtime error" is, from Docker, "… OCI runtime create
 * failed: runc create failed: REASON: unknown".
 */
export function startError(id: string, status: number, body: string): SkepError {
  const said = messageIn(body);
  const reason = /^(?:\S+: )?((?:runc|crun)\b.*?)(?:: OCI [^:]*)?$/s.exec(said)?.[1];
  if (reason === undefined) return podmanError(`cannot start container ${id}`, status, body);
  const text = `failed to create task for container: failed to create shim task: OCI runtime create failed: ${reason}: unknown`;
  const userMistake = /executable file not found|no such file or directory|permission denied|exec format error/.test(
    reason,
  );
  return new SkepError(userMistake ? "invalid" : "internal", text, { status }, new Error(said));
}

function codeOf(status: number, said: string): Code {
  if (status === 304) return "not_modified";
  if (status === 404 || /no such (container|image|volume)/i.test(said)) return "not_found";
  // Podman 4 says 500 to a kill of what does not run.
  if (status === 409 || /container state improper/.test(said) || /name .* is already in use|already exists/i.test(said))
    return "conflict";
  if (status === 400) return "invalid";
  if (status === 503) return "unavailable";
  return "internal";
}
