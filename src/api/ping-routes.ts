// `_ping`: what every CLI asks first, to learn the API version from the headers.
import type { ApiContext } from "./context.ts";
import type { Handler } from "./http.ts";
import type { RegisterRoutes } from "./router.ts";

export function pingRoutes(context: ApiContext): RegisterRoutes {
  const ping: Handler = (req) => ({
    headers: {
      "Builder-Version": "1", // Podman builds: no BuildKit
      "Cache-Control": "no-cache, no-store, must-revalidate",
      "Content-Type": "text/plain; charset=utf-8",
      Pragma: "no-cache",
      Swarm: swarmStatus(context),
    },
    text: req.method === "HEAD" ? "" : "OK",
  });
  return (router) => {
    router.add("GET", "/_ping", ping);
    router.add("HEAD", "/_ping", ping);
  };
}

/** "inactive", "active/manager"…: since API 1.42 (moby: Cluster.Status). */
function swarmStatus({ swarm }: ApiContext): string {
  const me = swarm.active();
  return me ? `${swarm.state()}/${me.manager ? "manager" : "worker"}` : swarm.state();
}
