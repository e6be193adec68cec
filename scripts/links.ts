// Links in Markdown files that lead nowhere, as a pure function over the repository's files; check-links.ts runs it, links.test.ts feeds
// it violations. Looks at relative links only: whether a page of the world is there is not for a check that must pass without a network.

import { dirname, join, normalize } from "node:path";

/** `[text](target)`, `![text](target)` and `[name]: target`, outside code. */
const INLINE = /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g;
const REFERENCE = /^\s{0,3}\[[^\]]+\]:\s+<?(\S+?)>?\s*$/gm;
const FENCE = /^( {0,8})(`{3,}|~{3,}).*?\n[\s\S]*?^ {0,8}\2\s*$/gm;
const CODE = /(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g;

/**
 * Every link to a file, or to a heading, that is not there; one line each: `file: what is wrong`.
 *
 * @param pages text by path from the repository's root, of all Markdown files
 * @param exists whether there is such a file or directory
 */
export function brokenLinks(pages: ReadonlyMap<string, string>, exists: (path: string) => boolean): string[] {
  return [...pages].flatMap(([page, text]) =>
    targetsIn(text).flatMap((target) => {
      const fault = faultOf(page, target, pages, exists);
      return fault === undefined ? [] : [`${page}: ${target}: ${fault}`];
    }),
  );
}

function faultOf(
  page: string,
  target: string,
  pages: ReadonlyMap<string, string>,
  exists: (path: string) => boolean,
): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target) || target.startsWith("//")) return undefined; // another site
  if (target.startsWith("/")) return "starts at a root that a clone does not have";
  const [file = "", heading] = target.split("#", 2);
  const path = file === "" ? page : normalize(join(dirname(page), decodeURIComponent(file)));
  if (path.startsWith("..")) return "leads out of the repository";
  if (!exists(path)) return "no such file";
  if (heading === undefined) return undefined;
  const text = pages.get(path);
  if (text === undefined) return undefined; // a line of a source file
  return headingsOf(text).has(decodeURIComponent(heading)) ? undefined : "no such heading";
}

function targetsIn(text: string): string[] {
  const prose = text.replace(FENCE, "").replace(CODE, "");
  return [...prose.matchAll(INLINE), ...prose.matchAll(REFERENCE)].map((match) => match[1] ?? "");
}

/** The anchors that GitHub makes of a page's headings. */
function headingsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  return new Set(
    [...text.replace(FENCE, "").matchAll(/^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$/gm)].map((match) => {
      const slug = (match[1] ?? "")
        .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(/\s/g, "-");
      const before = seen.get(slug) ?? 0;
      seen.set(slug, before + 1);
      return before === 0 ? slug : `${slug}-${before}`;
    }),
  );
}
