import { deepEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hasCode } from "../model/errors.ts";
import { parseJson } from "./json-text.ts";

test("faults are worded as Go's scanner words them", () => {
  const cases: [text: string, message: string][] = [
    ["", "unexpected EOF"],
    ["{", "unexpected EOF"],
    ['{"a"', "unexpected EOF"],
    ['{"a":"b', "unexpected EOF"],
    ["[1,", "unexpected EOF"],
    ["x", "invalid character 'x' looking for beginning of value"],
    ["{a:1}", "invalid character 'a' looking for beginning of object key string"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1 "b":2}', "invalid character '\"' after object key:value pair"],
    ["[1 2]", "invalid character '2' after array element"],
    ['"a\nb"', "invalid character '\\n' in string literal"],
    ['"\\x"', "invalid character 'x' in string escape code"],
    ['"\\u12G4"', "invalid character 'G' in \\u hexadecimal character escape"],
    ["-x", "invalid character 'x' in numeric literal"],
    ["1.x", "invalid character 'x' after decimal point in numeric literal"],
    ["1ex", "invalid character 'x' in exponent of numeric literal"],
    ["trux", "invalid character 'x' in literal true (expecting 'e')"],
    ["'a'", "invalid character '\\'' looking for beginning of value"],
  ];
  for (const [text, message] of cases) throws(() => parseJson(text), { message: `invalid JSON: ${message}` }, text);
  throws(() => parseJson("{}x"), { message: "unexpected content after JSON" });
  throws(() => parseJson("01"), { message: "unexpected content after JSON" });
});

test("brackets in strings do not count as depth", () => {
  const text = JSON.stringify({ a: "[".repeat(1000), b: '\\"{'.repeat(1000) });
  deepEqual(parseJson(text), JSON.parse(text));
});

test("any text is either what JSON.parse makes of it or refused", () => {
  const json = fc.json({ maxDepth: 5 });
  const damaged = fc.tuple(json, fc.nat(), fc.string({ maxLength: 3 })).map(([text, at, more]) => {
    const i = at % (text.length + 1);
    return text.slice(0, i) + more + text.slice(i + more.length);
  });
  fc.assert(
    fc.property(fc.oneof(json, damaged, fc.string()), (text) => {
      try {
        deepEqual(parseJson(text), JSON.parse(text));
      } catch (e) {
        if (!hasCode(e, "invalid")) throw e;
      }
    }),
    { numRuns: 500 },
  );
});
