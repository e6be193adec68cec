import { equal, match, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { hasCode, messageOf } from "../model/errors.ts";
import { noFacts, type Step } from "./walk.ts";
import { dockerEnvironment, runStep, shown } from "./walk-run.ts";

const env = process.env;

test("a step's output is heard as it comes, and its check sees standard output alone", async () => {
  const heard: string[] = [];
  const seen: string[] = [];
  const step = sh("echo out; echo err >&2", (output) => void seen.push(output));
  await runStep(step, noFacts("/x"), { env, hear: (text) => void heard.push(text) });
  equal(seen.join(), "out\n");
  equal(heard.sort().join(""), "err\nout\n");
});

test("a command that fails fails the step, with its output, and is not checked", async () => {
  const step = sh("echo half; exit 3", () => ok(false, "checked all the same"));
  await rejects(runStep(step, noFacts("/x"), { env }), (e) => {
    ok(hasCode(e, "internal"));
    match(messageOf(e), /^sh -c 'echo half; exit 3': exit code 3\nhalf\n$/);
    return true;
  });
});

test("a program that is not there fails the step", async () => {
  const step: Step = { ...sh("", () => {}), command: () => ["no-such-program"] };
  await rejects(runStep(step, noFacts("/x"), { env }), /no-such-program/);
});

test("an interrupted step ends its command", async () => {
  const interrupt = new AbortController();
  const running = runStep(
    sh("echo there; exec sleep 1000", () => {}),
    noFacts("/x"),
    {
      env,
      signal: interrupt.signal,
      hear: () => interrupt.abort(),
    },
  );
  await rejects(running, { name: "AbortError" });
});

test("a command is shown as one would type it", () => {
  equal(
    shown(["docker", "ps", "--format", "table {{.ID}}\t{{.Names}}"]),
    "docker ps --format 'table {{.ID}}\\t{{.Names}}'",
  );
  equal(
    shown(["nsenter", "--net=/run/skep/netns/lb_x", "ip", "address"]),
    "nsenter --net=/run/skep/netns/lb_x ip address",
  );
});

test("the user's own docker settings do not lead the walk to another daemon", (t) => {
  process.env.DOCKER_CONTEXT = "elsewhere";
  t.after(() => delete process.env.DOCKER_CONTEXT);
  const made = dockerEnvironment("unix:///s");
  equal(made.DOCKER_HOST, "unix:///s");
  equal(made.DOCKER_CONTEXT, undefined);
});

function sh(script: string, check: Step["check"]): Step {
  return { command: () => ["sh", "-c", script], shows: "", checks: "", check };
}
