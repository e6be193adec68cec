// Kernel settings below /proc/sys. Those under net/ belong to the namespace of the *thread* that opens the file, so they are opened with
// synchronous calls from inside it (an asynchronous one would open them on a pool thread, at home).
import { readFileSync, writeFileSync } from "node:fs";
import { inNetns, type NetnsRef } from "./netns.ts";

/** The value of `net.ipv4.ip_forward` in that namespace, without the line's end. @throws Error with code ENOENT when there is no such setting */
export function readSysctl(netns: NetnsRef, name: string): string {
  const path = sysctlPath(name);
  return inNetns(netns, () => readFileSync(path, "utf8").trimEnd());
}

/** Sets it. @throws Error with node's code: ENOENT, EINVAL (a value that it does not take), EPERM */
export function writeSysctl(netns: NetnsRef, name: string, value: string | number): void {
  const path = sysctlPath(name);
  inNetns(netns, () => writeFileSync(path, String(value)));
}

/** As in sysctl(8): dots part the words, and a slash stands for a dot in one of them (`net.ipv4.conf.eth0/100.rp_filter`). */
function sysctlPath(name: string): string {
  const words = name.split(".").map((word) => word.replaceAll("/", "."));
  if (!words.every((word) => /^[\w.@:+-]+$/.test(word) && word !== "." && word !== "..")) {
    throw new TypeError(`not a sysctl name: ${name}`);
  }
  return `/proc/sys/${words.join("/")}`;
}
