// The image xiaopeng163/net-box, built here: busybox, and over it the real curl, ping, dig and iproute2 with their libraries, in the file layout
// of a small Debian. The walk's client, and where people look around from inside a network.
import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { copyPrograms, findProgram, output, there, unpack } from "./debian-files.ts";
import type { DemoImage } from "./demo-images.ts";

const PROGRAMS = [
  // Not busybox's shell: it runs applets of its own in place of the real programs.
  { name: "dash", debianPackage: "dash" },
  { name: "bash", debianPackage: "bash" },
  { name: "curl", debianPackage: "curl" },
  { name: "ping", debianPackage: "iputils-ping" },
  { name: "dig", debianPackage: "bind9-dnsutils" },
  { name: "nslookup", debianPackage: "bind9-dnsutils" },
  { name: "ip", debianPackage: "iproute2" },
  { name: "ss", debianPackage: "iproute2" },
  { name: "bridge", debianPackage: "iproute2" },
  { name: "tc", debianPackage: "iproute2" },
];

const DIRECTORIES = [
  "dev",
  "etc/ssl/certs",
  "home",
  "proc",
  "root",
  "run",
  "sys",
  "usr/bin",
  "usr/lib",
  "usr/lib64",
  "var",
];
/** Debian's merged /usr: what the libraries' paths were recorded for. */
const LINKS = {
  bin: "usr/bin",
  sbin: "usr/bin",
  lib: "usr/lib",
  lib64: "usr/lib64",
  "usr/sbin": "bin",
  "usr/bin/sh": "dash",
  "var/run": "/run",
};
const FILES = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  "etc/group": "root:x:0:\nnogroup:x:65534:\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
  "etc/os-release": 'NAME="net-box"\nID=net-box\nPRETTY_NAME="net-box, built by skep from Debian packages"\n',
  "etc/hosts": "",
  "etc/hostname": "",
  "etc/resolv.conf": "",
};
const CERTIFICATES = "etc/ssl/certs/ca-certificates.crt";

export const netBox: DemoImage = {
  name: "xiaopeng163/net-box:latest",
  sources: [],
  changes: ['CMD ["sh"]', "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
  recipe: JSON.stringify(["2", PROGRAMS, DIRECTORIES, LINKS, FILES]),
  async build(root, scratch) {
    for (const dir of DIRECTORIES) await mkdir(join(root, dir), { recursive: true });
    await mkdir(join(root, "tmp"));
    await chmod(join(root, "tmp"), 0o1777);
    for (const [link, to] of Object.entries(LINKS)) await symlink(to, join(root, link));
    for (const [file, text] of Object.entries(FILES)) await writeFile(join(root, file), text);
    if (await there(`/${CERTIFICATES}`)) await copyFile(`/${CERTIFICATES}`, join(root, CERTIFICATES));
    await copyPrograms(PROGRAMS, root, scratch);
    await addBusybox(join(root, "usr/bin"), scratch);
  },
};

/** busybox, under the names of all its applets that no real program has taken. */
async function addBusybox(bin: string, scratch: string): Promise<void> {
  const local = await findProgram("busybox");
  const source = local !== undefined && (await isStatic(local)) ? local : await downloaded(scratch);
  await copyFile(source, join(bin, "busybox"));
  for (const applet of (await output([source, "--list"])).split("\n")) {
    if (applet !== "" && !(await there(join(bin, applet)))) await symlink("busybox", join(bin, applet));
  }
}

async function isStatic(program: string): Promise<boolean> {
  return output(["ldd", program]).then(
    () => false,
    () => true, // ldd refuses what is "not a dynamic executable"
  );
}

async function downloaded(scratch: string): Promise<string> {
  const into = await unpack(["busybox-static"], join(scratch, "busybox"));
  return join(into, "bin/busybox");
}
