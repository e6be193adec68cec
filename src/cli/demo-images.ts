// `skep demo-images`: the two images of the walk, containous/whoami and xiaopeng163/net-box, put into the container engine: pulled where a
// registry can be reached, else built here. What goes into them is demo-whoami.ts and demo-netbox.ts. Nothing is written outside the
// engine's storage and one temporary directory, which is removed.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DaemonConfig } from "../daemon/config.ts";
import { type ContainerEngine, type ImageInfo, PodmanEngine, podmanOptions } from "../engine/index.ts";
import { messageOf, SkepError } from "../model/errors.ts";
import { silent } from "../model/log.ts";
import { netBox } from "./demo-netbox.ts";
import { whoami } from "./demo-whoami.ts";

/** How long a registry may take to answer: on a machine without one, the demo should not hang. */
const REGISTRY_TIMEOUT_MS = 10_000;

/** Marks the images that were built here, and from what. */
const CONTENT_LABEL = "io.skep.content";

/** An image that can be built here. */
export interface DemoImage {
  readonly name: string;
  /** Files that decide what is built, besides `recipe`. */
  readonly sources: readonly string[];
  /** Dockerfile instructions. */
  readonly changes: readonly string[];
  /** The code that builds it; a change in it is a new image. */
  readonly recipe: string;
  /** Fills the empty directory `root` with the image's files; `scratch` is for anything else. */
  build(root: string, scratch: string): Promise<void>;
}

export interface EnsureOptions {
  /** Build even where an image could be pulled, or was. */
  readonly build?: boolean;
}

type ImageStore = Pick<ContainerEngine, "imageExists" | "pullImage" | "importImage">;

/**
 * Resolves when both images are in the engine. What is there already is left as it is, so a second call takes milliseconds.
 *
 * @param say told what is being done, a line each
 * @throws SkepError "unavailable" when an image can neither be pulled nor built
 */
export async function ensureDemoImages(
  engine: ImageStore,
  say: (line: string) => void,
  options: EnsureOptions = {},
): Promise<ImageInfo[]> {
  const done: ImageInfo[] = [];
  let registry = options.build !== true;
  for (const image of [whoami, netBox]) {
    const content = await contentOf(image);
    const present = await engine.imageExists(image.name);
    const ours = present?.labels[CONTENT_LABEL];
    if (present !== undefined && (ours === content || (ours === undefined && options.build !== true))) {
      say(`${image.name}: already there`);
      done.push(present);
      continue;
    }
    const pulled = registry ? await tryPull(engine, image.name, say) : undefined;
    registry &&= pulled !== undefined; // one silence is enough
    done.push(pulled ?? (await buildAndImport(engine, image, content, say)));
  }
  return done;
}

/** The command: on the daemon's Podman, or, when no daemon runs, on the same Podman started for as long as it takes. */
export async function demoImages(
  config: DaemonConfig,
  options: EnsureOptions & { readonly say: (line: string) => void },
): Promise<void> {
  const engine = new PodmanEngine({ ...podmanOptions(config.execRoot, config.podman), log: silent });
  const answeredBefore = await engine.ping().then(
    () => true,
    () => false,
  );
  try {
    if (!answeredBefore && config.podman.kind === "running") await engine.ping(); // `start` would wait for it for ever
    await engine.start();
    await ensureDemoImages(engine, options.say, options);
  } finally {
    await (answeredBefore ? engine.close() : engine.stopService());
  }
}

async function tryPull(engine: ImageStore, name: string, say: (line: string) => void): Promise<ImageInfo | undefined> {
  say(`${name}: pulling`);
  try {
    return await engine.pullImage(name, { signal: AbortSignal.timeout(REGISTRY_TIMEOUT_MS) });
  } catch (e) {
    say(`${name}: cannot be pulled (${messageOf(e)}), building it`);
    return undefined;
  }
}

async function buildAndImport(
  engine: ImageStore,
  image: DemoImage,
  content: string,
  say: (line: string) => void,
): Promise<ImageInfo> {
  const started = performance.now();
  const scratch = await mkdtemp(join(tmpdir(), "skep-image-"));
  try {
    const root = await mkdtemp(join(scratch, "root-"));
    await image.build(root, scratch);
    const made = await importTree(engine, root, image, content);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(`${image.name}: built in ${seconds} s, ${(made.sizeBytes / 1e6).toFixed(1)} MB`);
    return made;
  } catch (e) {
    throw new SkepError("unavailable", `cannot build image ${image.name}: ${messageOf(e)}`, { image: image.name }, e);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function importTree(engine: ImageStore, root: string, image: DemoImage, content: string): Promise<ImageInfo> {
  const tar = spawn("tar", ["-C", root, "--owner=0", "--group=0", "--numeric-owner", "--sort=name", "-c", "."], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(tar, "close");
  const changes = [...image.changes, `LABEL ${CONTENT_LABEL}=${content}`];
  const made = await engine.importImage(tar.stdout, { reference: image.name, changes });
  const [code] = await ended;
  if (code !== 0) throw new SkepError("internal", `tar ended with ${code}`);
  return made;
}

/** A hash of all that decides what is built, except the Debian packages, whose updates are no reason to build again. */
async function contentOf(image: DemoImage): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify([image.name, image.changes, image.recipe]));
  for (const file of image.sources) hash.update(await readFile(file));
  return hash.digest("hex").slice(0, 16);
}
