// The manager room: control loops over the store. For the daemon:
//
//   const manager = new Manager({ store, clock: systemClock, log, hostRoutes: () => routesOfThisHost() });
//   await manager.start();
//   const session = await manager.dispatcher.connect(nodeId, description);
export { NODE_GRACE_MS } from "./dispatcher/dispatcher.ts";
export { Manager, type ManagerNeeds } from "./manager.ts";
