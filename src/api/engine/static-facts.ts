// The engine's answers about itself that change only with its version, kept for a while: Podman runs a package manager's query for each
// program that they name, 150 ms a time.
import type { Clock } from "../../model/clock.ts";
import { type Json, object } from "./json.ts";
import type { Upstream } from "./upstream.ts";

const KEPT_MS = 60_000;

export class StaticFacts {
  readonly #upstream: Upstream;
  readonly #clock: Clock;
  readonly #answers = new Map<string, { readonly at: number; readonly answer: Promise<Json> }>();

  constructor(upstream: Upstream, clock: Clock) {
    this.#upstream = upstream;
    this.#clock = clock;
  }

  /** The JSON object at a path, asked for at most once a minute. @throws SkepError "unavailable" */
  get(path: string): Promise<Json> {
    const now = this.#clock.now();
    const kept = this.#answers.get(path);
    if (kept && now - kept.at < KEPT_MS) return kept.answer;
    const answer = this.#upstream.json("GET", path).then(object);
    this.#answers.set(path, { at: now, answer });
    answer.catch(() => this.#answers.delete(path)); // a failure is the caller's to hear, and the next one asks again
    return answer;
  }
}
