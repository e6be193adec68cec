// JSON text to a value, with the very words of Go's encoding/json where it is none: clients and people know them. Types are decode.ts'.
import { SkepError } from "../model/errors.ts";
import { invalid } from "./errors.ts";

/** No spec nests deeper than a dozen levels. Keeps hostile text from exhausting the stack of whoever walks the value. */
const DEPTH_LIMIT = 200;

/** @throws SkepError "invalid": "invalid JSON: …", or "unexpected content after JSON" */
export function parseJson(text: string): unknown {
  if (depthOf(text) > DEPTH_LIMIT) throw invalid("invalid JSON: exceeded max depth");
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new SkepError("invalid", faultOf(text), {}, e);
  }
}

/** How deep brackets nest, counting those of strings out. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (quoted) {
      if (c === 0x5c) i++;
      else if (c === 0x22) quoted = false;
    } else if (c === 0x22) quoted = true;
    else if (c === 0x7b || c === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (c === 0x7d || c === 0x5d) depth--;
  }
  return deepest;
}

const EOF = "unexpected EOF";

/** What Go would say of text that JSON.parse refused. */
function faultOf(text: string): string {
  try {
    new Scanner(text).value();
  } catch (e) {
    if (e instanceof Fault) return `invalid JSON: ${e.message}`;
    throw e;
  }
  return "unexpected content after JSON";
}

class Fault extends Error {}

/** Walks text once and throws its first fault as Go's scanner words it (encoding/json/scanner.go). Only run on text that has one. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): void {
    const c = this.#next();
    if (c === "{") this.#object();
    else if (c === "[") this.#array();
    else if (c === '"') this.#string();
    else if (c === "-" || /^\d$/.test(c)) this.#number(c);
    else if (c === "t" || c === "f" || c === "n") this.#word({ t: "true", f: "false", n: "null" }[c]);
    else this.#fail(c, "looking for beginning of value");
  }

  #object(): void {
    let c = this.#next();
    if (c === "}") return;
    for (;;) {
      if (c !== '"') this.#fail(c, "looking for beginning of object key string");
      this.#string();
      c = this.#next();
      if (c !== ":") this.#fail(c, "after object key");
      this.value();
      c = this.#next();
      if (c === "}") return;
      if (c !== ",") this.#fail(c, "after object key:value pair");
      c = this.#next();
    }
  }

  #array(): void {
    const start = this.#at;
    if (this.#next() === "]") return;
    this.#at = start;
    for (;;) {
      this.value();
      const c = this.#next();
      if (c === "]") return;
      if (c !== ",") this.#fail(c, "after array element");
    }
  }

  #string(): void {
    for (;;) {
      const c = this.#text[this.#at++] ?? "";
      if (c === '"') return;
      if (c === "") this.#fail(c, "");
      if (c < " ") this.#fail(c, "in string literal");
      if (c !== "\\") continue;
      const escaped = this.#text[this.#at++] ?? "";
      if (escaped === "" || !'bfnrt\\/"u'.includes(escaped)) this.#fail(escaped, "in string escape code");
      if (escaped !== "u") continue;
      for (let i = 0; i < 4; i++) {
        const digit = this.#text[this.#at++] ?? "";
        if (!/^[0-9a-fA-F]$/.test(digit)) this.#fail(digit, "in \\u hexadecimal character escape");
      }
    }
  }

  #number(first: string): void {
    let c = first;
    if (c === "-") {
      c = this.#text[this.#at++] ?? "";
      if (!/^\d$/.test(c)) this.#fail(c, "in numeric literal");
    }
    if (c !== "0") this.#digits();
    if (this.#text[this.#at] === ".") {
      this.#at++;
      if (!this.#digits()) this.#fail(this.#text[this.#at] ?? "", "after decimal point in numeric literal");
    }
    if (/^[eE]$/.test(this.#text[this.#at] ?? "")) {
      this.#at++;
      if (/^[+-]$/.test(this.#text[this.#at] ?? "")) this.#at++;
      if (!this.#digits()) this.#fail(this.#text[this.#at] ?? "", "in exponent of numeric literal");
    }
  }

  #digits(): boolean {
    const start = this.#at;
    while (/^\d$/.test(this.#text[this.#at] ?? "")) this.#at++;
    return this.#at > start;
  }

  #word(word: string): void {
    for (let i = 1; i < word.length; i++) {
      const c = this.#text[this.#at++] ?? "";
      if (c !== word[i]) this.#fail(c, `in literal ${word} (expecting ${goQuote(word[i] ?? "")})`);
    }
  }

  #next(): string {
    while (/^[ \t\r\n]$/.test(this.#text[this.#at] ?? "")) this.#at++;
    return this.#text[this.#at++] ?? "";
  }

  #fail(c: string, where: string): never {
    throw new Fault(c === "" ? EOF : `invalid character ${goQuote(c)} ${where}`);
  }
}

/** A character as Go quotes it (encoding/json: quoteChar). */
function goQuote(c: string): string {
  if (c === "'") return "'\\''";
  if (c === '"') return `'"'`;
  return `'${JSON.stringify(c).slice(1, -1)}'`;
}
