// The network room: a node's data plane. For the daemon:
//
//     const network = createNodeNetwork({ execRoot: "/run/skep", log, clock });
//     await network.start();
//     await network.apply(assignments);
//     const { netnsPath } = await network.ensureSandbox(spec);

export { sandboxIdOf } from "./names.ts";
export { createNodeNetwork, type NodeNetworkOptions } from "./node-network.ts";
export type {
  EndpointStatus,
  GatewayBridgeStatus,
  LbInfo,
  NetworkStatus,
  NodeNetwork,
  Sandbox,
  SandboxAttachment,
  SandboxEndpoint,
  SandboxSpec,
  ServiceStatus,
} from "./port.ts";
