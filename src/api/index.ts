// The api room's door: the Docker Engine API server, what it needs of the daemon, and what a room that adds routes uses. Example:
//   const server = new ApiServer({ context, routes: [engineRoutes(engine)] });
//   await server.listen([{ kind: "unix", path: "/run/skep/skep.sock" }]);

export { API_VERSION, MAX_API_MINOR, MIN_API_MINOR, MIN_API_VERSION } from "./api-version.ts";
export type {
  ActiveSwarm,
  ApiContext,
  ConnectRequest,
  ConnectTarget,
  Features,
  LocalNetworks,
  NetworkConnections,
  NetworkContainer,
  NetworkCreateRequest,
  NetworkResource,
  NetworkService,
  NetworkStatus,
  NetworkStatusSource,
  SwarmControl,
  SwarmInit,
  SwarmJoin,
} from "./context.ts";
export { ALL_FEATURES } from "./context.ts";
export { keepAttachments } from "./engine/attachment-keeper.ts";
export { EngineConnections } from "./engine/connections.ts";
export type {
  About,
  Attachment,
  AttachmentRequest,
  Attachments,
  ContainerEndpoint,
  ContainerNetworking,
  ContainerNetworks,
  EngineContext,
} from "./engine/context.ts";
export { EngineFeed } from "./engine/feed.ts";
export { PodmanNetworks } from "./engine/podman-networks.ts";
export { engineRoutes } from "./engine/routes.ts";
export { Upstream } from "./engine/upstream.ts";
export { errorReply, rpcError } from "./errors.ts";
export { type ApiEvent, EventBus, eventJson, type NewEvent } from "./event-bus.ts";
export { type ApiRequest, boolParam, type Handler, type HijackHandler, jsonBody, param, type Reply } from "./http.ts";
export type { ListenAddress } from "./listen.ts";
export { isAnswered } from "./listen.ts";
export type { Method, RegisterRoutes, Router } from "./router.ts";
export { ApiServer, type ApiServerInit, type ApiTls } from "./server.ts";
export { followSwarm } from "./swarm-events.ts";
export { swarmInfoJson } from "./swarm-json.ts";
