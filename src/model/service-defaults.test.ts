import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { concernsTasks, normalServiceSpec, withDefaults } from "./service-defaults.ts";
import type { ServiceSpec } from "./spec.ts";

const spec: ServiceSpec = {
  Name: "web",
  Labels: {},
  TaskTemplate: {
    ContainerSpec: {
      Image: "alpine",
      Mounts: [{ Source: "/a", Target: "/b", BindOptions: {} }],
      CapabilityAdd: ["CAP_NET_ADMIN"],
    },
    RestartPolicy: {},
    ForceUpdate: 0,
  },
  Mode: {},
  UpdateConfig: { Parallelism: 0 },
  EndpointSpec: { Ports: [{ TargetPort: 80, Protocol: "TCP" as never }] },
};

test("enumerations are spelled out as dockerd gives them back", () => {
  deepEqual(normalServiceSpec(spec), {
    Name: "web",
    Labels: {},
    TaskTemplate: {
      ContainerSpec: {
        Image: "alpine",
        Mounts: [{ Type: "bind", Source: "/a", Target: "/b" }],
        Isolation: "default",
        CapabilityAdd: ["CAP_NET_ADMIN"],
      },
      RestartPolicy: { Condition: "any", MaxAttempts: 0 },
      ForceUpdate: 0,
      Runtime: "container",
    },
    Mode: { Replicated: { Replicas: 1 } },
    UpdateConfig: { Parallelism: 0, FailureAction: "pause", MaxFailureRatio: 0, Order: "stop-first" },
    EndpointSpec: { Mode: "vip", Ports: [{ Protocol: "tcp", TargetPort: 80, PublishMode: "ingress" }] },
  });
});

test("a normal spec stays as it is", () => {
  const normal = normalServiceSpec(spec);
  equal(JSON.stringify(normalServiceSpec(normal)), JSON.stringify(normal));
});

test("defaults fill gaps only", () => {
  const full = withDefaults(normalServiceSpec(spec));
  equal(full.TaskTemplate.ContainerSpec?.StopGracePeriod, 10_000_000_000);
  deepEqual(full.TaskTemplate.RestartPolicy, { Condition: "any", Delay: 5_000_000_000, MaxAttempts: 0 });
  equal(full.UpdateConfig?.Parallelism, 0);
  equal(full.UpdateConfig?.Monitor, 5_000_000_000);
  equal(full.RollbackConfig?.Parallelism, 1);
  equal(JSON.stringify(withDefaults(full)), JSON.stringify(full));
});

test("tasks are concerned by their template and by ports and mode, not by the rest", () => {
  const before = normalServiceSpec(spec);
  const { TaskTemplate, EndpointSpec } = before;
  const concerning: Partial<ServiceSpec>[] = [
    { TaskTemplate: { ...TaskTemplate, ForceUpdate: 1 } },
    { TaskTemplate: { ...TaskTemplate, ContainerSpec: { ...TaskTemplate.ContainerSpec, Env: ["a=b"] } } },
    { TaskTemplate: { ...TaskTemplate, Networks: [{ Target: "n" }] } },
    { EndpointSpec: { ...EndpointSpec, Mode: "dnsrr" } },
    { EndpointSpec: { ...EndpointSpec, Ports: [] } },
  ];
  for (const change of concerning) equal(concernsTasks(before, { ...before, ...change }), true, JSON.stringify(change));
  const others: Partial<ServiceSpec>[] = [
    {},
    { Labels: { a: "b" } },
    { Mode: { Replicated: { Replicas: 9 } } },
    { UpdateConfig: { Parallelism: 4 } },
    { RollbackConfig: { Parallelism: 4 } },
  ];
  for (const change of others) equal(concernsTasks(before, { ...before, ...change }), false, JSON.stringify(change));
});
