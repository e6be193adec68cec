// A stream of progress as Docker's pull and push print it: JSON documents, one a line, and reading the engine's own. What they say is
// image-pull.ts' and image-push.ts'.
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Json, object } from "./json.ts";

/** Progress on its way to a client. Its head goes out with the first document, so that until then an error can still be the answer. */
export class Progress {
  readonly #res: ServerResponse;
  readonly #opening: readonly object[];

  /** @param opening what is said before the first document */
  constructor(res: ServerResponse, opening: readonly object[] = []) {
    this.#res = res;
    this.#opening = opening;
  }

  get begun(): boolean {
    return this.#res.headersSent;
  }

  /** Resolves when the client takes more, or has gone. */
  async say(...documents: readonly object[]): Promise<void> {
    const all = this.begun ? documents : [...this.#opening, ...documents];
    if (!this.begun) this.#res.writeHead(200, { "Content-Type": "application/json" });
    const text = all.map((document) => `${JSON.stringify(document)}\r\n`).join("");
    if (text === "" || this.#res.write(text) || this.#res.destroyed) return;
    await new Promise<void>((resolve) => {
      this.#res.once("drain", resolve);
      this.#res.once("close", resolve);
    });
  }

  /** The last document of a stream that failed after its beginning. */
  fail(message: string): Promise<void> {
    return this.say({ errorDetail: { message }, error: message });
  }

  /** Resolves when everything is sent, or the client has gone. */
  async end(): Promise<void> {
    if (this.#res.destroyed) return;
    await new Promise<void>((resolve) => {
      this.#res.once("close", resolve);
      this.#res.end(resolve);
    });
  }
}

/** The documents of an engine's answer; plain text between them is a status. */
export async function* documentsOf(answer: IncomingMessage): AsyncGenerator<Json, void, void> {
  let rest = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield parsed(line);
  }
  if (rest.trim() !== "") yield parsed(rest);
}

function parsed(line: string): Json {
  try {
    return object(JSON.parse(line));
  } catch {
    return { status: line.trim() }; // no JSON: shown as it is
  }
}
