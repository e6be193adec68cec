// Who may publish which port.
import { doesNotThrow, throws } from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "./errors.ts";
import type { ServiceId } from "./ids.ts";
import type { Service } from "./objects.ts";
import { checkPublishedPorts } from "./published-ports.ts";
import type { PortConfig } from "./spec.ts";

const port = (PublishedPort: number, more: Partial<PortConfig> = {}): PortConfig => ({
  TargetPort: 80,
  PublishedPort,
  ...more,
});
const gsvc: Service = {
  kind: "service",
  id: "abc" as ServiceId,
  version: 1,
  createdAt: "",
  updatedAt: "",
  spec: { Name: "gsvc", Labels: {}, TaskTemplate: {}, Mode: {} },
  specVersion: 1,
  endpoint: { spec: {}, ports: [port(8080), port(9090, { PublishMode: "host" })], virtualIPs: [] },
};

const cases: readonly [string, PortConfig, clash: boolean][] = [
  ["another port", port(8081), false],
  ["the same port", port(8080), true],
  ["the same port by udp", port(8080, { Protocol: "udp" }), false],
  ["on the host, what another has on ingress", port(8080, { PublishMode: "host" }), true],
  ["on ingress, what another has on the host", port(9090), true],
  ["on the host, what another has on the host", port(9090, { PublishMode: "host" }), false],
  ["no number", { TargetPort: 80 }, false],
];
for (const [what, wanted, clash] of cases) {
  test(`${clash ? "refused" : "allowed"}: ${what}`, () => {
    const check = () => checkPublishedPorts([wanted], [gsvc]);
    if (clash)
      throws(
        check,
        (e) =>
          hasCode(e, "invalid") &&
          /^rpc error: code = InvalidArgument desc = port '\d+' is already in use by service 'gsvc' \(abc\) as an? (ingress|host-published) port$/.test(
            e.message,
          ),
      );
    else doesNotThrow(check);
    doesNotThrow(() => checkPublishedPorts([wanted], [gsvc], "abc"), "a service is not in its own way");
  });
}
