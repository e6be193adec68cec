// The embedded DNS: names of services and tasks at 127.0.0.11 in each sandbox. Example:
//
//   const dns = new DnsServer({ log });
//   await dns.start();
//   dns.setNetwork(net, "my-swarm-net");
//   dns.setService(net, { serviceId, name: "web", mode: "vip", vip: ["10.0.1.2"] });
//   await dns.listen({ sandboxId, netnsPath: "/run/skep/netns/…", networks: [net] });

export type { EndpointNames, ServiceNames } from "./names.ts";
export { RESOLVER_ADDRESS } from "./redirect.ts";
export { type DnsConfig, hostsText, resolvConfText, userNdots } from "./resolvconf.ts";
export { DnsServer, type SandboxDns } from "./server.ts";
export type { DnsLog } from "./thread.ts";
export { parseResolvConf, type ResolvConf } from "./upstreams.ts";
