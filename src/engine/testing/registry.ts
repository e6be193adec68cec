// For tests: a registry on 127.0.0.1 with one image, `app:1`, that anyone may pull, and `private:1`, which needs a password. Speaks as much
// of the distribution protocol (github.com/opencontainers/distribution-spec) as a pull needs.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";

export const USER = "someone";
export const PASSWORD = "something";

/** Resolves with the registry's "host:port". */
export async function aRegistry(t: TestContext): Promise<string> {
  const blobs = new Map<string, Buffer>();
  const put = (content: Buffer) => {
    const digest = digestOf(content);
    blobs.set(digest, content);
    return { digest, size: content.length };
  };
  const tar = Buffer.alloc(1024); // an archive of nothing is two empty blocks
  const layer = put(gzipSync(tar));
  const config = put(
    Buffer.from(
      JSON.stringify({
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
        os: "linux",
        config: { Cmd: ["/nothing"], Labels: { from: "registry" } },
        rootfs: { type: "layers", diff_ids: [digestOf(tar)] },
      }),
    ),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...layer }],
    }),
  );
  const server = createServer((request, response) => answer(request, response, manifest, blobs));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  manifest: Buffer,
  blobs: ReadonlyMap<string, Buffer>,
): void {
  const url = request.url ?? "";
  const refuse = (status: number, code: string): void => {
    response.writeHead(status, { "content-type": "application/json", "www-authenticate": 'Basic realm="test"' });
    response.end(JSON.stringify({ errors: [{ code, message: code.toLowerCase().replace("_", " ") }] }));
  };
  const wanted = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString("base64")}`;
  const known = request.headers.authorization === wanted;
  const blob = blobs.get(/\/blobs\/(.*)/.exec(url)?.[1] ?? "");
  // As real registries: the first request is always refused, and that tells clients how to log in, if they can.
  if (!known && (url === "/v2/" || url.startsWith("/v2/private/"))) refuse(401, "UNAUTHORIZED");
  else if (url === "/v2/") response.end("{}");
  else if (blob !== undefined) response.end(blob);
  else if (!/^\/v2\/(app|private)\/manifests\/1$/.test(url)) refuse(404, "MANIFEST_UNKNOWN");
  else {
    response.writeHead(200, {
      "content-type": "application/vnd.oci.image.manifest.v1+json",
      "docker-content-digest": digestOf(manifest),
    });
    response.end(request.method === "HEAD" ? undefined : manifest);
  }
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
