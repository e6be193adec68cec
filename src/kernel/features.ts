// What this kernel can do, asked of the kernel itself: no modprobe, no reading of its configuration.
import { release } from "node:os";
import { genlFamily } from "./genetlink.ts";
import { hasLibNftables } from "./nft.ts";

export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
  /** As `uname -r` says it. */
  readonly text: string;
}

/** The running kernel's version. */
export function kernelVersion(text: string = release()): KernelVersion {
  const found = /^(\d+)\.(\d+)/.exec(text);
  return { major: Number(found?.[1] ?? 0), minor: Number(found?.[2] ?? 0), text };
}

/** Whether the kernel has IPVS: it answers to that name in the directory of generic netlink families. @throws KernelError */
export function hasIpVs(): boolean {
  return genlFamily("IPVS") !== undefined;
}

/** Whether nftables can be programmed from here. */
export function hasNft(): boolean {
  return hasLibNftables();
}
