// The kernel room: what skep asks of Linux, through libc and netlink from this very thread, without a fork. It knows nothing of
// services or networks. Everything is synchronous and takes microseconds, but for `exec` and the two iptables commands.
//
//     createNetns("/run/skep/netns/1-abc");
//     using rt = RtNetlink.open("/run/skep/netns/1-abc");
//     rt.addBridge("br0", { up: true });
//
// A namespace is named by its path, by an open descriptor, or by undefined: the own one.

export {
  type Connection,
  type ConnectionFilter,
  connections,
  flushConntrack,
  type Protocol,
  type Tuple,
} from "./conntrack.ts";
export { DatagramBatch, type Sender, watchReadable } from "./datagrams.ts";
export { errnoName, isErrno, KernelError } from "./errno.ts";
export { ExecError, type ExecOptions, type ExecResult, exec } from "./exec.ts";
// what there is, and what went wrong
export { hasIpVs, hasNft, type KernelVersion, kernelVersion } from "./features.ts";
// for drivers that speak to other parts of the kernel: netlink itself, and the C library
export { genlAttributes, genlFamily, genlHeader } from "./genetlink.ts";
// text and bytes of addresses
export { bytesToIp, bytesToMac, type Cidr, canonicalCidr, ipToBytes, macToBytes, parseCidr } from "./ip.ts";
export { iptablesRestore, iptablesSave, type RestoreOptions } from "./iptables.ts";
export { check, errno, type Libc, libc } from "./libc.ts";
export { Attributes, align, attributes, type Message, MessageWriter } from "./netlink-codec.ts";
export { NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from "./netlink-socket.ts";
// namespaces
export {
  closeFd,
  createNetns,
  deleteNetns,
  inNetns,
  isNetns,
  listNetns,
  type NetnsRef,
  netnsId,
  netnsOfPid,
  openNetnsFd,
  prepareNetnsDir,
  removeNetnsDir,
  sameNetns,
} from "./netns.ts";
// packet filters and connection tracking
export { Nft, NftError } from "./nft.ts";
export type { Address, AddressOptions, Scope } from "./rt-address.ts";
export type { BridgeOptions, Link, NewLink, VxlanData } from "./rt-link.ts";
export type { FdbEntry, FdbSpec, Neighbour, NeighbourSpec, NeighbourState } from "./rt-neighbour.ts";
export { type Route, type RouteSpec, type RouteType, RT_TABLE_LOCAL, RT_TABLE_MAIN } from "./rt-route.ts";
// links, addresses, routes, neighbours, forwarding entries
export {
  type DevRef,
  type Difference,
  type LinkChange,
  RtNetlink,
  type VethSpec,
  type VxlanOptions,
} from "./rtnetlink.ts";
export { portOf, type SocketOptions, tcpListenerIn, udpSocketIn } from "./sockets.ts";
// settings, sockets, commands
export { readSysctl, writeSysctl } from "./sysctl.ts";
