import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { brokenLinks } from "./links.ts";

const CASES: readonly { what: string; page: string; wrong: readonly string[] }[] = [
  { what: "a file that is there", page: "[a](docs/a.md) ![b](b.png)", wrong: [] },
  { what: "a file that is not there", page: "[a](docs/none.md)", wrong: ["README.md: docs/none.md: no such file"] },
  { what: "another site, and mail", page: "[a](https://example.com/x) [b](mailto:a@b)", wrong: [] },
  { what: "a heading", page: "[a](docs/a.md#two-words) [b](#here)\n\n# Here", wrong: [] },
  { what: "the second heading of that name", page: "[a](docs/a.md#two-words-1)", wrong: [] },
  { what: "a heading that is not there", page: "[a](#gone)", wrong: ["README.md: #gone: no such heading"] },
  { what: "a link in code, which is none", page: "`[a](x)`\n\n```\n[b](y)\n```\n", wrong: [] },
  { what: "a link by reference", page: "[a]\n\n[a]: x.md", wrong: ["README.md: x.md: no such file"] },
  { what: "a way out", page: "[a](../x.md)", wrong: ["README.md: ../x.md: leads out of the repository"] },
  {
    what: "an absolute path",
    page: "[a](/docs/a.md)",
    wrong: ["README.md: /docs/a.md: starts at a root that a clone does not have"],
  },
];

for (const { what, page, wrong } of CASES) {
  test(`links: ${what}`, () => {
    const pages = new Map([
      ["README.md", page],
      ["docs/a.md", "# Two words\n## `Two` words"],
    ]);
    deepEqual(
      brokenLinks(pages, (path) => pages.has(path) || path === "b.png"),
      wrong,
    );
  });
}
