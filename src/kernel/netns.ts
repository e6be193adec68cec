// Network namespaces: made, named (bind-mounted on a file), entered, compared, deleted. No process is forked. Sockets that are opened
// inside one are in sockets.ts and netlink-socket.ts; commands that run inside one in exec.ts.
import {
  access,
  closeSync,
  type Dirent,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statfsSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { isErrno, KernelError } from "./errno.ts";
import {
  CLONE_NEWNET,
  check,
  errno,
  libc,
  MNT_DETACH,
  MS_BIND,
  MS_REC,
  MS_SHARED,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDONLY,
} from "./libc.ts";

/** A namespace: the path of its file, an open descriptor of it, or undefined for the one the caller is in. */
export type NetnsRef = string | number | undefined;

const OWN = "/proc/thread-self/ns/net"; // thread-self: /proc/self is the main thread, wherever the caller runs
const NSFS_MAGIC = 0x6e736673; // include/uapi/linux/magic.h
const NS_GET_NSTYPE = 0xb703; // ioctl_ns(2)

/**
 * Makes a network namespace and binds it to a file at `path`, making the directory if need be. Nothing in it is brought up, not even lo.
 * If `path` is a network namespace already it is left as it is; a plain file there (left by a crash between the two steps) is taken over.
 * The directory becomes a shared mount, as with `ip netns add`, so that mount namespaces made from now on see later changes.
 * @throws KernelError
 */
export function createNetns(path: string): void {
  if (isNetns(path)) return;
  prepareNetnsDir(dirname(path));
  closeSync(openSync(path, "a", 0o444));
  away(() => {
    check("unshare", libc().unshare(CLONE_NEWNET), "make a network namespace");
    check("mount", libc().mount(OWN, path, null, MS_BIND, null), `bind a network namespace to ${path}`);
  });
}

/**
 * Takes the name away; the namespace itself goes with the last process, socket or descriptor in it. Gone already is success.
 * @throws KernelError
 */
export function deleteNetns(path: string): void {
  // more than once if several were stacked on the same file; and nothing but namespaces, whatever the path turns out to be
  while (isNsfs(path)) {
    if (libc().umount2(path, MNT_DETACH) === 0) continue;
    const e = new KernelError("umount2", errno(), { what: `unmount ${path}` });
    if (!isErrno(e, "EINVAL", "ENOENT")) throw e; // EINVAL: no longer a mount point
    break;
  }
  try {
    unlinkSync(path);
  } catch (e) {
    if (!isErrno(e, "ENOENT", "ENOTDIR")) throw e;
  }
}

/** Whether `path` is a bound network namespace (false for a missing file, and for namespaces of other kinds). */
export function isNetns(path: string): boolean {
  if (!isNsfs(path)) return false;
  const fd = libc().open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd === -1) return false; // deleted between the two looks
  try {
    return libc().ioctl(fd, NS_GET_NSTYPE, 0) === CLONE_NEWNET;
  } finally {
    closeFd(fd);
  }
}

/** The paths of the network namespaces bound in `dir`, sorted; plain files and other things there are left out. A missing directory is empty. */
export function listNetns(dir: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(dir, { withFileTypes: true });
  } catch (e) {
    if (isErrno(e, "ENOENT")) return [];
    throw e;
  }
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(dir, entry.name))
    .filter(isNetns)
    .sort();
}

/**
 * Makes `dir` ready to hold namespaces: there, a mount point (bound onto itself if it was not one), and shared, in the way of
 * `ip netns add`. Repeatable.
 * @throws KernelError
 */
export function prepareNetnsDir(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  if (libc().mount("", dir, "none", MS_SHARED | MS_REC, null) === 0) return;
  const e = new KernelError("mount", errno(), { what: `share ${dir}` });
  if (!isErrno(e, "EINVAL")) throw e; // EINVAL: not a mount point yet
  check("mount", libc().mount(dir, dir, "none", MS_BIND | MS_REC, null), `bind ${dir} onto itself`);
  check("mount", libc().mount("", dir, "none", MS_SHARED | MS_REC, null), `share ${dir}`);
}

/**
 * Undoes `prepareNetnsDir`: unmounts the directory from itself and removes it if it is empty. Refuses (ENOTEMPTY) while namespaces are
 * bound there. Gone already is success.
 * @throws KernelError
 */
export function removeNetnsDir(dir: string): void {
  if (listNetns(dir).length > 0)
    throw new KernelError("umount2", 39, { what: `remove ${dir}, which holds namespaces` });
  // Only what lies on the directory itself: another file system that someone mounted there (device differs) is not ours.
  while (isOwnBind(dir) && libc().umount2(dir, MNT_DETACH) === 0);
  try {
    rmdirSync(dir);
  } catch (e) {
    if (!isErrno(e, "ENOENT", "ENOTEMPTY")) throw e;
  }
}

/** The file through which the network namespace of a process can be entered. */
export function netnsOfPid(pid: number): string {
  return `/proc/${pid}/ns/net`;
}

/** Opens a namespace, which then lives at least as long as the descriptor. @throws KernelError */
export function openNetnsFd(ref: NetnsRef): number {
  const path = typeof ref === "number" ? `/proc/thread-self/fd/${ref}` : (ref ?? OWN);
  return check("open", libc().open(path, O_RDONLY | O_CLOEXEC), `open the namespace ${path}`);
}

/** Closes any descriptor that this room gave out. @throws KernelError */
export function closeFd(fd: number): void {
  check("close", libc().close(fd), `close descriptor ${fd}`);
}

/** Whether both are the same namespace (by device and inode, as the kernel tells them apart). */
export function sameNetns(a: NetnsRef, b: NetnsRef): boolean {
  const [x, y] = [netnsId(a), netnsId(b)];
  return x === y;
}

/** A namespace's identity while it lives: `net:[4026531840]`, as /proc prints it. The inode is used again after the namespace is gone. */
export function netnsId(ref: NetnsRef): string {
  const path = typeof ref === "number" ? `/proc/thread-self/fd/${ref}` : (ref ?? OWN);
  return `net:[${statSync(path).ino}]`;
}

// The namespace this thread was born in, and where it is now. The home descriptor stays open for the life of the process.
let home: number | undefined;
let here: number | undefined;

/**
 * Runs `fn` with the calling thread inside a namespace, and comes home whatever happens: it returns, it throws, or, if the way
 * home is barred, the process aborts (everything after would act on the wrong network). `fn` is synchronous by type; it must not start
 * anything that opens sockets later either, since that would happen back home. May be nested. With undefined it just calls `fn`.
 * @throws KernelError when the namespace cannot be entered; whatever `fn` throws
 */
export function inNetns<T>(ref: NetnsRef, fn: () => T extends PromiseLike<unknown> ? never : T): T {
  if (ref === undefined) return fn();
  const fd = typeof ref === "number" ? ref : openNetnsFd(ref);
  try {
    return away(() => {
      check("setns", libc().setns(fd, CLONE_NEWNET), `enter the namespace ${ref}`);
      const outer = here;
      here = fd;
      try {
        return fn();
      } finally {
        here = outer;
      }
    });
  } finally {
    if (typeof ref !== "number") closeFd(fd);
  }
}

/** Runs `leave`, which may change the thread's namespace, then puts the thread back where it was. */
function away<T>(leave: () => T): T {
  if (home === undefined) {
    // A thread inherits the namespace of the one that starts it, so libuv's pool must not be started from inside another. This starts it now.
    access("/", () => {});
    home = openNetnsFd(undefined);
  }
  const back = here ?? home;
  try {
    return leave();
  } finally {
    if (libc().setns(back, CLONE_NEWNET) !== 0) {
      process.stderr.write(`skep: cannot return to the own network namespace (errno ${errno()}), aborting\n`);
      process.abort();
    }
  }
}

function isNsfs(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch (e) {
    if (isErrno(e, "ENOENT", "ENOTDIR")) return false;
    throw e;
  }
}

function isOwnBind(dir: string): boolean {
  try {
    return statSync(dir).dev === statSync(dirname(dir)).dev;
  } catch (e) {
    if (isErrno(e, "ENOENT")) return false;
    throw e;
  }
}
