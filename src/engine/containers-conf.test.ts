import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { mergeConf, parseConf, printConf } from "./containers-conf.ts";

const SHIPPED = `# the distribution's
[containers]
default_capabilities = [
  "CHOWN", # owner
  "KILL]",
]
log_driver = "k8s#file" # kept
#pids_limit = 1
[engine]
[engine.runtimes]
runc = ["/usr/sbin/runc"]
`;

test("sections, lists over several lines and comments are read, and written so that they read the same", () => {
  const conf = parseConf(SHIPPED);
  deepEqual([...conf.keys()], ["containers", "engine", "engine.runtimes"]);
  deepEqual([...(conf.get("containers")?.keys() ?? [])], ["default_capabilities", "log_driver"]);
  equal(conf.get("containers")?.get("log_driver"), '"k8s#file"');
  equal(conf.get("containers")?.get("default_capabilities")?.replace(/\s/g, ""), '["CHOWN","KILL]",]');
  deepEqual(parseConf(printConf(conf)), conf);
});

test("the later one wins, key by key", () => {
  const merged = mergeConf(
    parseConf(SHIPPED),
    parseConf("[containers]\npids_limit = 0\nlog_driver = 'x'\n[network]\na = 1"),
  );
  equal(merged.get("containers")?.get("log_driver"), "'x'");
  equal(merged.get("containers")?.get("pids_limit"), "0");
  equal(merged.get("engine.runtimes")?.get("runc"), '["/usr/sbin/runc"]');
  equal(merged.get("network")?.get("a"), "1");
});
