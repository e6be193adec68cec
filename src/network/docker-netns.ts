// The link /var/run/docker/netns → our namespaces: the place where people who know Swarm look. Only where no Docker has that directory.
import { lstatSync, mkdirSync, readdirSync, readlinkSync, rmdirSync, symlinkSync, unlinkSync } from "node:fs";
import { join } from "node:path";

const DOCKER_RUN = "/var/run/docker";
const LINK = "netns";

/** Makes the link, unless the directory holds anything else. @param dockerRun for tests */
export function linkDockerNetns(netnsDir: string, dockerRun = DOCKER_RUN): void {
  mkdirSync(dockerRun, { recursive: true, mode: 0o700 });
  if (readdirSync(dockerRun).length === 0) symlinkSync(netnsDir, join(dockerRun, LINK));
}

/** Takes the link away again if it is ours, and the directory if that leaves it empty. */
export function unlinkDockerNetns(netnsDir: string, dockerRun = DOCKER_RUN): void {
  const link = join(dockerRun, LINK);
  try {
    if (!lstatSync(link).isSymbolicLink() || readlinkSync(link) !== netnsDir) return;
    unlinkSync(link);
    if (readdirSync(dockerRun).length === 0) rmdirSync(dockerRun);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
  }
}
