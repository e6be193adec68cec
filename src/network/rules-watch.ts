// Tells when packet filter rules of a namespace change, whoever changes them (nfnetlink's own notifications): a firewall that is reloaded
// takes others' rules with it. Nothing is polled. iptables-legacy says nothing; its changes are seen when something else changes.
import {
  check,
  closeFd,
  errno,
  inNetns,
  isErrno,
  KernelError,
  libc,
  NETLINK_NETFILTER,
  type NetnsRef,
  watchReadable,
} from "../kernel/index.ts";
import type { Clock, Timer } from "../model/clock.ts";

const AF_NETLINK = 16;
const SOCK_FLAGS = 3 | 0x80000 | 0x800; // raw, close on exec, non-blocking
const NFNLGRP_NFTABLES = 7;
const ADDRESS_BYTES = 12;
const RECEIVE_BYTES = 32 * 1024;
/** Long enough to gather a reload, which is many changes, short enough not to be missed by people. */
const GATHER_MS = 300;

export class RulesWatch {
  readonly #fd: number;
  readonly #poll: { close(): void };
  readonly #clock: Clock;
  readonly #onChange: () => void;
  readonly #buffer = Buffer.alloc(RECEIVE_BYTES);
  #timer: Timer | undefined;

  /** @param needs.onChange called some moments after a change; further ones meanwhile are one with it. @throws KernelError */
  constructor(needs: { readonly netns: NetnsRef; readonly clock: Clock; readonly onChange: () => void }) {
    this.#clock = needs.clock;
    this.#onChange = needs.onChange;
    this.#fd = inNetns(needs.netns, () =>
      check("socket", libc().socket(AF_NETLINK, SOCK_FLAGS, NETLINK_NETFILTER), "watch packet filter rules"),
    );
    check("bind", libc().bind(this.#fd, listener(), ADDRESS_BYTES), "watch packet filter rules");
    this.#poll = watchReadable(this.#fd, () => this.#drain());
  }

  close(): void {
    this.#timer?.cancel();
    this.#poll.close();
    closeFd(this.#fd);
  }

  #drain(): void {
    for (;;) {
      if (libc().recv(this.#fd, this.#buffer, this.#buffer.length, 0) >= 0) continue;
      const e = new KernelError("recv", errno(), { what: "watch packet filter rules" });
      if (isErrno(e, "EAGAIN")) break;
      if (!isErrno(e, "ENOBUFS")) throw e; // that one: more changes than fit, and so there are some
    }
    this.#timer ??= this.#clock.after(GATHER_MS, () => {
      this.#timer = undefined;
      this.#onChange();
    });
  }
}

/** sockaddr_nl: the kernel gives the number, and the group is a bit. */
function listener(): Buffer {
  const address = Buffer.alloc(ADDRESS_BYTES);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(1 << (NFNLGRP_NFTABLES - 1), 8);
  return address;
}
