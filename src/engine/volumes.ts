// What must exist before a container with these mounts can be created: bind sources, and volumes with their driver's options. The mounts
// themselves go into the container's spec (spec-generator.ts).
import { mkdir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { SkepError } from "../model/errors.ts";
import type { BindMount, ContainerMount, VolumeMount } from "./container-spec.ts";
import type { PodmanClient } from "./http-client.ts";
import { object, text } from "./podman-answers.ts";
import { podmanError } from "./podman-error.ts";

/**
 * Makes the named volumes and wished-for mount points, and resolves with the mounts as Podman can take them: a volume's subpath becomes a
 * bind of that directory. Idempotent.
 * @throws SkepError "invalid" in Docker's words when a bind source is missing
 */
export async function prepareMounts(
  client: PodmanClient,
  mounts: readonly ContainerMount[],
): Promise<readonly ContainerMount[]> {
  return Promise.all(
    mounts.map(async (mount) => {
      if (mount.type === "bind") await prepareBind(mount);
      if (mount.type !== "volume" || mount.source === undefined) return mount;
      const mountpoint = await ensureVolume(client, mount);
      return mount.subpath ? bindOfSubpath(mount, mountpoint, mount.subpath) : mount;
    }),
  );
}

async function prepareBind(mount: BindMount): Promise<void> {
  if (mount.createMountpoint) await mkdir(mount.source, { recursive: true, mode: 0o755 });
  try {
    await stat(mount.source);
  } catch (e) {
    const text = `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`;
    throw new SkepError("invalid", text, { source: mount.source }, e);
  }
}

/** Resolves with the volume's directory. An existing volume keeps its own options, as in Docker. */
async function ensureVolume(client: PodmanClient, mount: VolumeMount): Promise<string> {
  const name = mount.source ?? "";
  const inspect = async () => {
    const answer = await client.ask("GET", `/libpod/volumes/${encodeURIComponent(name)}/json`);
    if (answer.status === 404) return undefined;
    if (answer.status >= 300) throw podmanError(`cannot look up volume ${name}`, answer.status, answer.body);
    return text(object(JSON.parse(answer.body)).Mountpoint);
  };
  const existing = await inspect();
  if (existing !== undefined) return existing;
  const json = {
    Name: name,
    Driver: mount.driver?.name || "local",
    Options: mount.driver?.options ?? {},
    Labels: mount.labels ?? {},
  };
  const answer = await client.ask("POST", "/libpod/volumes/create", { json });
  if (answer.status < 300) return text(object(JSON.parse(answer.body)).Mountpoint);
  const madeMeanwhile = await inspect(); // by another task of the same service
  if (madeMeanwhile !== undefined) return madeMeanwhile;
  throw podmanError(`cannot create volume ${name}`, answer.status, answer.body);
}

async function bindOfSubpath(mount: VolumeMount, mountpoint: string, subpath: string): Promise<BindMount> {
  const root = await realpath(mountpoint);
  const source = await realpath(join(root, subpath)).catch((e: unknown) => {
    throw new SkepError("invalid", `cannot access path ${join(root, subpath)}: no such file or directory`, {}, e);
  });
  // A link inside the volume must not lead out of it.
  if (source !== root && !source.startsWith(`${root}/`)) {
    throw new SkepError("invalid", `subpath ${subpath} of volume ${mount.source} leads out of it`);
  }
  return { type: "bind", source, target: mount.target, readOnly: mount.readOnly };
}
