// All routes to the container engine, for the server's list of routes. Each group is in a file of its own next door.
import type { RegisterRoutes } from "../router.ts";
import { containerRoutes } from "./containers.ts";
import type { EngineContext } from "./context.ts";
import { inspectDistribution } from "./distribution.ts";
import { HeldStreams } from "./held-streams.ts";
import { imageRoutes } from "./images.ts";
import { streamRoutes } from "./streams.ts";
import { serviceLogs, taskLogs } from "./swarm-logs.ts";
import { systemRoutes } from "./system.ts";
import { volumeRoutes } from "./volumes.ts";

/** Registers containers, exec, images, volumes, build, events, version, info, auth, distribution, and logs of services and tasks. */
export function engineRoutes(ctx: EngineContext): RegisterRoutes {
  return (router) => {
    systemRoutes(ctx)(router);
    const held = new HeldStreams();
    streamRoutes(ctx, held)(router);
    containerRoutes(ctx, held)(router);
    imageRoutes(ctx)(router);
    volumeRoutes(ctx)(router);
    router.add("GET", "/distribution/{name:.*}/json", (req) => inspectDistribution(req));
    router.add("GET", "/services/{id}/logs", (req, res) => serviceLogs(ctx, req, res));
    router.add("GET", "/tasks/{id}/logs", (req, res) => taskLogs(ctx, req, res));
  };
}
