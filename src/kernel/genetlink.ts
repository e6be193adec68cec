// Generic netlink: the kernel's directory of families (nlctrl) and requests to one of them. features.ts asks it what there is; a
// balancer that speaks to IPVS would ask through it.
import { isErrno } from "./errno.ts";
import { Attributes, type Message, type MessageWriter } from "./netlink-codec.ts";
import { NETLINK_GENERIC, NetlinkSocket } from "./netlink-socket.ts";
import type { NetnsRef } from "./netns.ts";

const GENL_ID_CTRL = 0x10;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const GENL_HEADER_BYTES = 4;

/** struct genlmsghdr: the body that every generic netlink request begins with. */
export function genlHeader(command: number, version: number): Uint8Array {
  return Uint8Array.of(command, version, 0, 0);
}

/** The attributes of a generic netlink answer. @throws RangeError */
export function genlAttributes(message: Message): Attributes {
  return new Attributes(message.payload.subarray(GENL_HEADER_BYTES));
}

/**
 * The number of a family, or undefined where the kernel has none of that name. Asking may make the kernel load a module that serves it
 * (`net-pf-16-proto-16-family-<name>`), if it has one.
 * @throws KernelError
 */
export function genlFamily(name: string, netns?: NetnsRef): number | undefined {
  using socket = NetlinkSocket.open(NETLINK_GENERIC, netns);
  let id: number | undefined;
  const fill = (m: MessageWriter): void => {
    m.body(genlHeader(CTRL_CMD_GETFAMILY, 1)).string(CTRL_ATTR_FAMILY_NAME, name);
  };
  try {
    socket.request(GENL_ID_CTRL, 0, fill, `find the generic netlink family ${name}`, (m) => {
      id = genlAttributes(m).u16(CTRL_ATTR_FAMILY_ID);
    });
  } catch (e) {
    if (isErrno(e, "ENOENT")) return undefined;
    throw e;
  }
  return id;
}
