// Links, addresses, routes, neighbours and forwarding entries of one namespace, over one rtnetlink socket. How each looks on the wire is
// next door: rt-link.ts, rt-address.ts, rt-route.ts, rt-neighbour.ts; the socket itself is netlink-socket.ts.
import { isErrno, KernelError } from "./errno.ts";
import { canonicalCidr, familyOf, macToBytes } from "./ip.ts";
import { AF_BRIDGE, AF_INET, AF_INET6 } from "./libc.ts";
import { type MessageWriter, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./netlink-codec.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "./netlink-socket.ts";
import { closeFd, type NetnsRef, openNetnsFd } from "./netns.ts";
import * as address from "./rt-address.ts";
import * as link from "./rt-link.ts";
import * as neighbour from "./rt-neighbour.ts";
import * as route from "./rt-route.ts";

/** An interface by its name or its index. */
export type DevRef = string | number;

export interface VethSpec {
  readonly name: string;
  readonly peer: string;
  /** Where the peer is born; default: the same namespace. */
  readonly peerNetns?: NetnsRef;
  /** Where this end is born; default: the socket's namespace. */
  readonly netns?: NetnsRef;
  /** Of both ends. */
  readonly mtu?: number;
  readonly mac?: string;
  readonly peerMac?: string;
  readonly up?: boolean;
  readonly peerUp?: boolean;
  /** Bridge (in the socket's namespace) that this end joins. */
  readonly master?: DevRef;
}

export interface VxlanOptions extends link.VxlanSettings {
  /** Where the device is to live. Its underlay stays in the socket's namespace: so open the socket on the host, and name the overlay's here. */
  readonly netns?: NetnsRef;
  /** The other way round: the device lives in the socket's namespace, and its underlay is in this one. */
  readonly linkNetns?: NetnsRef;
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  /** null: leave the present master. With `netns` it is looked up there. */
  readonly master?: DevRef | null;
  /** New name. */
  readonly name?: string;
  /** Move it there (with its new name, so that names may collide on the way). */
  readonly netns?: NetnsRef;
}

/** What an `ensure…` changed: nothing, if both are empty. */
export interface Difference {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export class RtNetlink {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Opens a socket in that namespace (default: the own one). It keeps the namespace alive until `close`. @throws KernelError */
  static open(netns?: NetnsRef): RtNetlink {
    return new RtNetlink(NetlinkSocket.open(NETLINK_ROUTE, netns));
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** All interfaces, by index. @throws KernelError */
  links(): link.Link[] {
    return this.#socket.dump(link.RTM_GETLINK, (m) => link.writeGetLink(m), "list links", link.readLink);
  }

  /** One interface, or undefined when there is none. @throws KernelError */
  link(dev: DevRef): link.Link | undefined {
    let found: link.Link | undefined;
    const fill = (m: MessageWriter): void =>
      typeof dev === "number" ? link.writeGetLink(m, dev) : link.writeGetLink(m, 0, link.checkIfname(dev));
    try {
      this.#socket.request(link.RTM_GETLINK, 0, fill, `find link ${dev}`, (m) => {
        found = link.readLink(m);
      });
    } catch (e) {
      if (isErrno(e, "ENODEV")) return undefined;
      throw e;
    }
    return found;
  }

  /** Makes a veth pair in one step, each end in its place under its final name. @throws KernelError (EEXIST: a name is taken at either end) */
  addVeth(spec: VethSpec): void {
    const master = spec.master === undefined ? undefined : this.#index(spec.master);
    withFds([spec.netns, spec.peerNetns], ([fd, peerFd]) => {
      this.#newLink(`add veth ${spec.name} with peer ${spec.peer}`, spec.name, spec, fd, (m) => {
        if (master !== undefined) m.u32(link.IFLA_MASTER, master);
        const peer = { name: spec.peer, mac: spec.peerMac, mtu: spec.mtu, netnsFd: peerFd };
        link.writeVeth(m, peer);
      });
      if (spec.peerUp) this.#raisePeer(spec, fd, peerFd);
    });
  }

  /** @throws KernelError (EEXIST: the name is taken) */
  addBridge(name: string, options: link.BridgeOptions = {}): void {
    this.#newLink(`add bridge ${name}`, name, options, undefined, (m) => link.writeBridge(m, options));
  }

  /** @throws KernelError (EEXIST: the name, or the id and port in the underlay's namespace, are taken) */
  addVxlan(name: string, options: VxlanOptions): void {
    const { linkNetns, netns, ...settings } = options;
    if (linkNetns !== undefined) {
      const own = this.#socket.netnsFd();
      try {
        using underlay = RtNetlink.open(linkNetns);
        underlay.addVxlan(name, { ...settings, netns: netns ?? own });
      } finally {
        closeFd(own);
      }
      return;
    }
    withFds([netns], ([fd]) => {
      this.#newLink(`add vxlan ${name} with id ${options.id}`, name, options, fd, (m) => link.writeVxlan(m, settings));
    });
  }

  /** Changes an interface, all in one message. @throws KernelError (ENODEV: there is none) */
  setLink(dev: DevRef, change: LinkChange): void {
    const index = this.#index(dev);
    const master = this.#masterFor(change);
    withFds([change.netns], ([fd]) => {
      const flags = change.up === undefined ? 0 : link.IFF_UP;
      this.#socket.request(
        link.RTM_NEWLINK,
        0,
        (m) => {
          m.body(link.ifinfomsg(index, change.up ? link.IFF_UP : 0, flags));
          if (fd !== undefined) m.u32(link.IFLA_NET_NS_FD, fd);
          if (change.name !== undefined) m.string(link.IFLA_IFNAME, link.checkIfname(change.name));
          if (change.mtu !== undefined) m.u32(link.IFLA_MTU, change.mtu);
          if (change.mac !== undefined) m.bytes(link.IFLA_ADDRESS, macToBytes(change.mac));
          if (master !== undefined) m.u32(link.IFLA_MASTER, master);
        },
        `change link ${dev}`,
      );
    });
  }

  /** Deletes an interface (and a veth's peer with it). True if there was one. @throws KernelError */
  deleteLink(dev: DevRef): boolean {
    return this.#gone(["ENODEV"], link.RTM_DELLINK, `delete link ${dev}`, (m) => {
      m.body(link.ifinfomsg(typeof dev === "number" ? dev : 0));
      if (typeof dev === "string") m.string(link.IFLA_IFNAME, link.checkIfname(dev));
    });
  }

  /** The addresses of one interface, or of all. @throws KernelError (ENODEV) */
  addresses(dev?: DevRef): address.Address[] {
    const index = dev === undefined ? 0 : this.#index(dev);
    const names = this.#names(typeof dev === "string" ? [dev, index] : undefined);
    const fill = (m: MessageWriter): void => address.writeGetAddresses(m, index);
    return this.#socket.dump(address.RTM_GETADDR, fill, "list addresses", (m) => address.readAddress(m, names));
  }

  /** @throws KernelError (EEXIST: the interface has it; ENODEV), TypeError */
  addAddress(dev: DevRef, cidr: string, options: address.AddressOptions = {}): void {
    const index = this.#index(dev);
    const fill = (m: MessageWriter): void => address.writeAddress(m, index, cidr, options);
    this.#socket.request(address.RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, fill, `add address ${cidr} to ${dev}`);
  }

  /** True if the interface had it. Also true of one that Linux drops by itself with this one: IPv4 secondaries go with their primary. @throws KernelError */
  deleteAddress(dev: DevRef, cidr: string): boolean {
    return this.#onDev(dev, (index) =>
      this.#gone(["EADDRNOTAVAIL", "ENODEV"], address.RTM_DELADDR, `delete address ${cidr} from ${dev}`, (m) =>
        address.writeDeleteAddress(m, index, cidr),
      ),
    );
  }

  /** Adds the address unless it is there; true if it was added. @throws KernelError (ENODEV) */
  ensureAddress(dev: DevRef, cidr: string, options: address.AddressOptions = {}): boolean {
    try {
      this.addAddress(dev, cidr, options);
      return true;
    } catch (e) {
      if (isErrno(e, "EEXIST")) return false;
      throw e;
    }
  }

  /**
   * Makes the interface's addresses exactly the wanted ones, in as few changes as it takes. IPv6 link-local addresses that the kernel made
   * are left alone. Removal comes first, and what Linux took along with it (secondaries of a removed IPv4 primary) is put back.
   * @throws KernelError (ENODEV), TypeError
   */
  ensureAddresses(dev: DevRef, wanted: readonly string[], options: address.AddressOptions = {}): Difference {
    const want = new Set(wanted.map(canonicalCidr));
    const removed = this.addresses(dev)
      .filter((a) => !want.has(a.cidr) && !(a.family === 6 && a.scope === "link"))
      .map((a) => a.cidr);
    for (const cidr of removed) this.deleteAddress(dev, cidr);
    const have = new Set(this.addresses(dev).map((a) => a.cidr));
    const added = [...want].filter((cidr) => !have.has(cidr));
    for (const cidr of added) this.ensureAddress(dev, cidr, options);
    return { added, removed };
  }

  /** The routes of one table (default: main), IPv4 first. @throws KernelError */
  routes(table: number | "all" = route.RT_TABLE_MAIN): route.Route[] {
    const names = this.#names();
    const all = [AF_INET, AF_INET6].flatMap((family) =>
      this.#socket.dump(
        route.RTM_GETROUTE,
        (m) => route.writeGetRoutes(m, family),
        "list routes",
        (m) => (m.payload.readUInt8(0) === family ? route.readRoute(m, names) : undefined),
      ),
    );
    return table === "all" ? all : all.filter((r) => r.table === table);
  }

  /** @throws KernelError (EEXIST; ENETUNREACH: no way to the gateway; EINVAL: bits beyond the prefix), TypeError */
  addRoute(spec: route.RouteSpec): void {
    this.#route(NLM_F_CREATE | NLM_F_EXCL, spec);
  }

  /** Adds the route, or puts it in the place of one to the same destination with the same metric and table. @throws KernelError, TypeError */
  ensureRoute(spec: route.RouteSpec): void {
    this.#route(NLM_F_CREATE | NLM_F_REPLACE, spec);
  }

  /** Deletes the first route that fits what the spec says. True if there was one. @throws KernelError, TypeError */
  deleteRoute(spec: route.RouteSpec): boolean {
    const remove = (index: number | undefined): boolean =>
      this.#gone(["ESRCH", "ENODEV"], route.RTM_DELROUTE, `delete route to ${spec.dst}`, (m) =>
        route.writeRoute(m, spec, index, true),
      );
    return spec.dev === undefined ? remove(undefined) : this.#onDev(spec.dev, remove);
  }

  /** The ARP and ND tables, of one interface or all. @throws KernelError (ENODEV) */
  neighbours(dev?: DevRef): neighbour.Neighbour[] {
    const index = dev === undefined ? undefined : this.#index(dev);
    const names = this.#names(typeof dev === "string" ? [dev, index!] : undefined);
    return [AF_INET, AF_INET6].flatMap((family) =>
      this.#socket.dump(
        neighbour.RTM_GETNEIGH,
        (m) => neighbour.writeGetNeighbours(m, family),
        "list neighbours",
        (m) => {
          const found = m.payload.readUInt8(0) === family ? neighbour.readNeighbour(m, names) : undefined;
          return index === undefined || found?.ifindex === index ? found : undefined;
        },
      ),
    );
  }

  /** Adds the entry or changes it to this. @throws KernelError (ENODEV), TypeError */
  setNeighbour(spec: neighbour.NeighbourSpec): void {
    const index = this.#index(spec.dev);
    const fill = (m: MessageWriter): void => neighbour.writeNeighbour(m, index, spec);
    this.#socket.request(
      neighbour.RTM_NEWNEIGH,
      NLM_F_CREATE | NLM_F_REPLACE,
      fill,
      `set neighbour ${spec.ip} on ${spec.dev}`,
    );
  }

  /** True if there was one. @throws KernelError, TypeError */
  deleteNeighbour(spec: Pick<neighbour.NeighbourSpec, "dev" | "ip">): boolean {
    familyOf(spec.ip);
    return this.#onDev(spec.dev, (index) =>
      this.#gone(["ENOENT", "ENODEV"], neighbour.RTM_DELNEIGH, `delete neighbour ${spec.ip} on ${spec.dev}`, (m) =>
        neighbour.writeDeleteNeighbour(m, index, spec.ip),
      ),
    );
  }

  /** The forwarding entries of one device (a VXLAN, a bridge's port) or of all. @throws KernelError (ENODEV) */
  fdb(dev?: DevRef): neighbour.FdbEntry[] {
    const index = dev === undefined ? undefined : this.#index(dev);
    const names = this.#names(typeof dev === "string" ? [dev, index!] : undefined);
    const fill = (m: MessageWriter): void => neighbour.writeGetNeighbours(m, AF_BRIDGE);
    return this.#socket.dump(neighbour.RTM_GETNEIGH, fill, "list forwarding entries", (m) => {
      const found = neighbour.readFdb(m, names);
      return index === undefined || found?.ifindex === index ? found : undefined;
    });
  }

  /** Adds the entry or moves the MAC to this destination; with `append` adds a destination. @throws KernelError, TypeError */
  setFdb(spec: neighbour.FdbSpec): void {
    const index = this.#index(spec.dev);
    const flags = NLM_F_CREATE | (spec.append ? NLM_F_APPEND : NLM_F_REPLACE);
    const what = `set forwarding entry ${spec.mac} on ${spec.dev}`;
    this.#socket.request(neighbour.RTM_NEWNEIGH, flags, (m) => neighbour.writeFdb(m, index, spec), what);
  }

  /** True if there was one. @throws KernelError, TypeError */
  deleteFdb(spec: Pick<neighbour.FdbSpec, "dev" | "mac" | "dst">): boolean {
    const what = `delete forwarding entry ${spec.mac} on ${spec.dev}`;
    return this.#onDev(spec.dev, (index) =>
      this.#gone(["ENOENT", "ENODEV"], neighbour.RTM_DELNEIGH, what, (m) => neighbour.writeFdb(m, index, spec)),
    );
  }

  #newLink(
    what: string,
    name: string,
    o: link.NewLink,
    fd: number | undefined,
    kind: (m: MessageWriter) => void,
  ): void {
    const fill = (m: MessageWriter): void => {
      m.body(link.newLinkBody(o.up));
      link.writeCommon(m, name, o);
      if (fd !== undefined) m.u32(link.IFLA_NET_NS_FD, fd);
      kind(m);
    };
    this.#socket.request(link.RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, fill, what);
  }

  // The kernel refuses to make a veth whose peer is born up (ENOTCONN: drivers/net/veth.c), so that takes a second message.
  #raisePeer(spec: VethSpec, fd: number | undefined, peerFd: number | undefined): void {
    try {
      using there = peerFd === undefined ? undefined : RtNetlink.open(peerFd);
      (there ?? this).setLink(spec.peer, { up: true });
    } catch (e) {
      if (fd === undefined) this.deleteLink(spec.name);
      throw e;
    }
  }

  #route(flags: number, spec: route.RouteSpec): void {
    const index = spec.dev === undefined ? undefined : this.#index(spec.dev);
    const fill = (m: MessageWriter): void => route.writeRoute(m, spec, index, false);
    this.#socket.request(route.RTM_NEWROUTE, flags, fill, `add route to ${spec.dst}`);
  }

  #index(dev: DevRef): number {
    if (typeof dev === "number") return dev;
    const found = this.link(dev);
    if (found === undefined) throw new KernelError("netlink", 19, { what: `find link ${dev}` }); // ENODEV
    return found.ifindex;
  }

  #masterFor(change: LinkChange): number | undefined {
    if (change.master === undefined) return undefined;
    if (change.master === null) return 0;
    if (typeof change.master === "number" || change.netns === undefined) return this.#index(change.master);
    using there = RtNetlink.open(change.netns);
    return there.#index(change.master);
  }

  /** For removals: a device that is gone took everything on it along. */
  #onDev(dev: DevRef, remove: (index: number) => boolean): boolean {
    const index = typeof dev === "number" ? dev : this.link(dev)?.ifindex;
    return index === undefined ? false : remove(index);
  }

  #gone(absent: readonly string[], type: number, what: string, fill: (m: MessageWriter) => void): boolean {
    try {
      this.#socket.request(type, 0, fill, what);
      return true;
    } catch (e) {
      if (isErrno(e, ...absent)) return false;
      throw e;
    }
  }

  // Names for the indexes in a dump, taken before it: one socket carries one exchange at a time.
  #names(known?: [name: string, index: number]): (ifindex: number) => string {
    const names = new Map(
      known === undefined ? this.links().map((l) => [l.ifindex, l.name] as const) : [[known[1], known[0]]],
    );
    return (ifindex) => names.get(ifindex) ?? `if${ifindex}`; // the way `ip` prints one that vanished meanwhile
  }
}

/** Opens those that are given by path, for the time of `use`. */
function withFds(refs: readonly NetnsRef[], use: (fds: (number | undefined)[]) => void): void {
  const opened: number[] = [];
  try {
    use(
      refs.map((ref) => {
        if (typeof ref !== "string") return ref;
        const fd = openNetnsFd(ref);
        opened.push(fd);
        return fd;
      }),
    );
  } finally {
    opened.forEach(closeFd);
  }
}
