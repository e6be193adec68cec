import { doesNotThrow, throws } from "node:assert/strict";
import { test } from "node:test";
import { normalServiceSpec } from "./service-defaults.ts";
import type { ContainerSpec, ServiceSpec, TaskSpec } from "./spec.ts";
import { validateServiceSpec } from "./validate-service.ts";

function aSpec(changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return { Name: "web", Labels: {}, TaskTemplate: { ContainerSpec: { Image: "alpine" } }, Mode: {}, ...changes };
}

const withContainer = (fields: Partial<ContainerSpec>) =>
  aSpec({ TaskTemplate: { ContainerSpec: { Image: "alpine", ...fields } } });
const withTask = (fields: Partial<TaskSpec>) =>
  aSpec({ TaskTemplate: { ContainerSpec: { Image: "alpine" }, ...fields } });
const withPorts = (Ports: object[], Mode?: string) => aSpec({ EndpointSpec: { Mode, Ports } as never });
const secret = (name: string, file?: string) => ({
  SecretID: `id of ${name}`,
  SecretName: name,
  ...(file !== undefined && { File: { Name: file, UID: "0", GID: "0", Mode: 0 } }),
});

test("refused specs are refused in swarmkit's words", () => {
  const cases: [spec: ServiceSpec, message: string][] = [
    [aSpec({ Name: "" }), "meta: name must be provided"],
    [aSpec({ Name: "-x" }), "name must be valid as a DNS name component"],
    [aSpec({ Name: "a.b" }), "name must be valid as a DNS name component"],
    [aSpec({ Name: "a".repeat(64) }), "name must be 63 characters or fewer"],
    [withContainer({ Image: "" }), "ContainerSpec: image reference must be provided"],
    [withContainer({ Image: "Not An Image" }), 'ContainerSpec: "Not An Image" is not a valid repository/tag'],
    [
      withContainer({
        Mounts: [
          { Target: "/a", Type: "tmpfs" },
          { Target: "/a", Type: "tmpfs" },
        ],
      }),
      "ContainerSpec: duplicate mount point: /a",
    ],
    [withContainer({ Mounts: [{ Target: "a", Type: "tmpfs" }] }), "invalid mount target, must be an absolute path: a"],
    [
      withContainer({ Mounts: [{ Target: "/a", Source: "b", Type: "bind" }] }),
      "invalid bind mount source, must be an absolute path: b",
    ],
    [
      withContainer({ Mounts: [{ Target: "/a", Source: "/b", Type: "volume" }] }),
      "invalid volume mount source, must not be an absolute path: /b",
    ],
    [
      withContainer({ Healthcheck: { Interval: 1 } }),
      "ContainerSpec: Interval in HealthConfig cannot be less than 1ms",
    ],
    [withContainer({ Healthcheck: { Retries: -1 } }), "ContainerSpec: Retries in HealthConfig cannot be negative"],
    [withContainer({ Secrets: [secret("")] }), "malformed secret reference"],
    [withContainer({ Secrets: [secret("a")] }), "malformed secret reference, no target provided"],
    [
      withContainer({ Secrets: [secret("a", "")] }),
      "malformed file secret reference, invalid target file name provided",
    ],
    [
      withContainer({ Secrets: [secret("a", "f"), secret("b", "f")] }),
      "secret references 'a' and 'b' have a conflicting target: 'f'",
    ],
    [withTask({ Resources: { Limits: { NanoCPUs: 1000 } } }), "invalid cpu value 0.000001: Must be at least 0.001"],
    [
      withTask({ Resources: { Reservations: { MemoryBytes: 1000 } } }),
      "invalid memory value 1000: Must be at least 4MiB",
    ],
    [withTask({ RestartPolicy: { Delay: -1 } }), "TaskSpec: restart-delay cannot be negative"],
    [withTask({ RestartPolicy: { Window: -1 } }), "TaskSpec: restart-window cannot be negative"],
    [withTask({ Placement: { Constraints: ["node.role"] } }), "constraint expected one operator from ==, !="],
    [withTask({ Placement: { Constraints: ["!==x"] } }), "key '' is invalid"],
    [aSpec({ UpdateConfig: { Parallelism: 1, Delay: -1 } }), "TaskSpec: update-delay cannot be negative"],
    [
      aSpec({ RollbackConfig: { Parallelism: 1, MaxFailureRatio: 2 } }),
      "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
    ],
    [
      withPorts([{ TargetPort: 80 }], "dnsrr"),
      "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
    ],
    [
      withPorts([
        { TargetPort: 80, PublishedPort: 1 },
        { TargetPort: 81, PublishedPort: 1 },
      ]),
      "EndpointSpec: duplicate published ports provided",
    ],
    [withPorts([{ PublishedPort: 1 }]), "EndpointSpec: invalid target port 0"],
    [withPorts([{ TargetPort: 80, PublishedPort: 70_000 }]), "EndpointSpec: invalid published port 70000"],
    [aSpec({ Mode: { GlobalJob: {} } }), "job services (replicated-job, global-job) are not supported"],
    [aSpec({ Mode: { Replicated: { Replicas: 1e12 } } }), "Number of replicas must be at most 65536"],
  ];
  for (const [spec, message] of cases) throws(() => validateServiceSpec(normalServiceSpec(spec)), { message });
});

test("values outside an enumeration are refused before anything is stored", () => {
  const cases: [spec: ServiceSpec, message: string][] = [
    [aSpec({ TaskTemplate: {} }), "mismatched Runtime and *Spec fields"],
    [withTask({ Runtime: "attachment" }), "unsupported runtime"],
    [withTask({ RestartPolicy: { Condition: "often" as never } }), 'invalid RestartCondition: "often"'],
    [withContainer({ Mounts: [{ Type: "nfs" as never }] }), 'invalid MountType: "nfs"'],
    [withContainer({ Mounts: [{ Type: "bind", BindOptions: { Propagation: "x" } }] }), 'invalid MountPropagation: "x"'],
    [aSpec({ UpdateConfig: { Parallelism: 1, FailureAction: "x" as never } }), "unrecognized update failure action x"],
    [aSpec({ UpdateConfig: { Parallelism: 1, Order: "x" as never } }), "unrecognized update order x"],
    [aSpec({ EndpointSpec: { Mode: "x" as never } }), 'invalid resolution mode: "x"'],
    [withPorts([{ Protocol: "icmp", TargetPort: 1 }]), 'invalid port protocol: "icmp"'],
    [aSpec({ Mode: { Global: {}, Replicated: {} } }), "must specify only one service mode"],
    [
      withContainer({ Configs: [{ ConfigID: "a", ConfigName: "b" }] }),
      "invalid Config: either File or Runtime should be set",
    ],
  ];
  for (const [spec, message] of cases) throws(() => normalServiceSpec(spec), { message });
});

test("what Swarm allows is allowed", () => {
  const allowed = [
    aSpec({ Name: "a" }),
    aSpec({ Name: `A_b-9${"x".repeat(58)}` }),
    withContainer({ Image: "localhost:5000/team/app:v1@sha256:".concat("a".repeat(64)) }),
    withContainer({ Mounts: [{ Target: "/a", Source: "{{.Task.Slot}}", Type: "bind" }] }),
    withContainer({ Mounts: [{ Target: "/a", Type: "volume" }] }),
    withPorts([{ TargetPort: 80, PublishMode: "host" }], "dnsrr"),
    withPorts([
      { TargetPort: 53, PublishedPort: 53, Protocol: "UDP" },
      { TargetPort: 53, PublishedPort: 53 },
    ]),
    withPorts([{ TargetPort: 80 }, { TargetPort: 81 }]),
    aSpec({ Mode: { Replicated: { Replicas: 0 } } }),
    aSpec({ Mode: { Global: {} } }),
  ];
  for (const spec of allowed) doesNotThrow(() => validateServiceSpec(normalServiceSpec(spec)), JSON.stringify(spec));
});
