import { equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../../model/errors.ts";
import { hostsText, resolvConfText, userNdots } from "./resolvconf.ts";

const NO_HOST = { search: [], options: [] };

test("without wishes resolv.conf is Docker's", () => {
  equal(resolvConfText({}, NO_HOST), "nameserver 127.0.0.11\noptions ndots:0\n");
});

test("search and options: the service's replace the host's, and ndots is added only where there is none", () => {
  const host = { search: ["lan", "example.com"], options: ["timeout:1"] };
  const cases: [service: Parameters<typeof resolvConfText>[0], text: string][] = [
    [{}, "search lan example.com\noptions timeout:1 ndots:0\n"],
    [{ search: ["a.b"] }, "search a.b\noptions timeout:1 ndots:0\n"],
    [{ search: ["."] }, "options timeout:1 ndots:0\n"],
    [{ search: [], options: [] }, "search lan example.com\noptions timeout:1 ndots:0\n"],
    [{ options: ["ndots:5", "use-vc"] }, "search lan example.com\noptions ndots:5 use-vc\n"],
    [{ options: ["use-vc"], nameservers: ["8.8.8.8"] }, "search lan example.com\noptions use-vc ndots:0\n"],
  ];
  for (const [service, text] of cases) equal(resolvConfText(service, host), `nameserver 127.0.0.11\n${text}`);
});

test("a setting that spans lines is refused", () => {
  for (const service of [{ search: ["a\nnameserver 6.6.6.6"] }, { options: ["a\rb"] }]) {
    throws(
      () => resolvConfText(service, NO_HOST),
      (e) => hasCode(e, "invalid"),
    );
  }
});

test("only ndots above 0 keeps short names in", () => {
  equal(userNdots(["timeout:1", "ndots:2"]), true);
  for (const options of [undefined, [], ["ndots:0"], ["ndots:x"], ["timeout:3"]]) equal(userNdots(options), false);
});

test("hosts is Docker's, with extra hosts and the task's own line last", () => {
  const text = hostsText(["10.9.9.9 db db.lan", "fd00::1\tsix"], { address: "10.0.1.7/24", hostname: "94fb5e52b0a1" });
  equal(
    text,
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n" +
      "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n10.9.9.9\tdb db.lan\nfd00::1\tsix\n10.0.1.7\t94fb5e52b0a1\n",
  );
});

test("an extra host without a name, or with a line of its own, is refused", () => {
  for (const bad of ["", "10.9.9.9", "10.9.9.9 a\n127.0.0.1 b"])
    throws(
      () => hostsText([bad], undefined),
      (e) => hasCode(e, "invalid"),
    );
});
