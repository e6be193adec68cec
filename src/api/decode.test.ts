import { deepEqual, equal, throws } from "node:assert/strict";
import { test } from "node:test";
import { decode } from "./decode.ts";
import { serviceSpec } from "./shapes-service.ts";
import { configSpec, initBody, nodeSpec } from "./shapes-swarm.ts";

const container = (fields: object) => ({ TaskTemplate: { ContainerSpec: fields } });

test("wrong types are worded as Go's encoding/json words them", () => {
  const cases: [spec: unknown, message: string][] = [
    [{ Name: 5 }, "number into Go struct field ServiceSpec.Name of type string"],
    [{ Labels: { a: 1 } }, "number into Go struct field ServiceSpec.Labels of type string"],
    [{ Labels: [] }, "array into Go struct field ServiceSpec.Labels of type map[string]string"],
    [{ TaskTemplate: "x" }, "string into Go struct field ServiceSpec.TaskTemplate of type swarm.TaskSpec"],
    [
      { TaskTemplate: { ForceUpdate: "1" } },
      "string into Go struct field TaskSpec.TaskTemplate.ForceUpdate of type uint64",
    ],
    [
      { TaskTemplate: { ForceUpdate: -1 } },
      "number -1 into Go struct field TaskSpec.TaskTemplate.ForceUpdate of type uint64",
    ],
    [
      container({ Image: {} }),
      "object into Go struct field ContainerSpec.TaskTemplate.ContainerSpec.Image of type string",
    ],
    [
      container({ Env: "a" }),
      "string into Go struct field ContainerSpec.TaskTemplate.ContainerSpec.Env of type []string",
    ],
    [container({ Init: 1 }), "number into Go struct field ContainerSpec.TaskTemplate.ContainerSpec.Init of type bool"],
    [
      container({ StopGracePeriod: 1.5 }),
      "number 1.5 into Go struct field ContainerSpec.TaskTemplate.ContainerSpec.StopGracePeriod of type time.Duration",
    ],
    [
      { Mode: { Replicated: { Replicas: true } } },
      "bool into Go struct field ReplicatedService.Mode.Replicated.Replicas of type uint64",
    ],
    [
      { EndpointSpec: { Ports: [{ TargetPort: 4294967296 }] } },
      "number 4294967296 into Go struct field PortConfig.EndpointSpec.Ports.TargetPort of type uint32",
    ],
  ];
  for (const [spec, message] of cases) {
    throws(() => decode(serviceSpec, spec), { message: `invalid JSON: json: cannot unmarshal ${message}` });
  }
});

test("names match whatever their case, unknown ones and nulls count for nothing", () => {
  const spec = decode(serviceSpec, {
    name: "web",
    NAME2: 1,
    tasktemplate: { containerspec: { IMAGE: "a", Env: null } },
  });
  deepEqual(spec, {
    Name: "web",
    Labels: {},
    TaskTemplate: { ContainerSpec: { Image: "a" }, ForceUpdate: 0 },
    Mode: {},
  });
});

test("zero values are dropped where Go omits them, pointers are kept", () => {
  const spec = decode(serviceSpec, {
    Name: "web",
    TaskTemplate: {
      ContainerSpec: {
        Image: "a",
        Init: false,
        ReadOnly: false,
        Env: [],
        StopGracePeriod: 0,
        DNSConfig: {},
        Labels: {},
      },
      Resources: { Limits: {}, Reservations: { NanoCPUs: 0 } },
    },
    Mode: { Replicated: { Replicas: 0 } },
  });
  deepEqual(spec.TaskTemplate, {
    ContainerSpec: { Image: "a", Init: false, StopGracePeriod: 0, DNSConfig: {} },
    Resources: { Limits: {}, Reservations: {} },
    ForceUpdate: 0,
  });
  deepEqual(spec.Mode, { Replicated: { Replicas: 0 } });
});

test("fields come out in the order of moby's structs, whatever the order they came in", () => {
  const spec = decode(serviceSpec, {
    EndpointSpec: {},
    Mode: {},
    Labels: { b: "1", a: "2" },
    TaskTemplate: {},
    Name: "x",
  });
  deepEqual(Object.keys(spec), ["Name", "Labels", "TaskTemplate", "Mode", "EndpointSpec"]);
  deepEqual(Object.keys(spec.Labels), ["b", "a"]);
});

test("keys that mean something to JavaScript are only keys", () => {
  const hostile = JSON.parse(
    '{"Name":"x","__proto__":{"Name":"y"},"constructor":1,"Labels":{"__proto__":"z","toString":"q"}}',
  );
  const spec = decode(serviceSpec, hostile);
  equal(spec.Name, "x");
  equal(Object.getPrototypeOf(spec.Labels), Object.prototype);
  deepEqual(Object.entries(spec.Labels), [
    ["__proto__", "z"],
    ["toString", "q"],
  ]);
});

test("bytes must be base64", () => {
  equal(decode(configSpec, { Name: "a", Data: "YWJj" }).Data, "YWJj");
  equal(decode(configSpec, { Name: "a", Data: "" }).Data, undefined);
  throws(() => decode(configSpec, { Data: "abc!" }), { message: "invalid JSON: illegal base64 data at input byte 0" });
  throws(() => decode(configSpec, { Data: "YWJjZ" }), { message: /illegal base64 data at input byte 4/ });
  throws(() => decode(configSpec, { Data: 7 }), { message: /cannot unmarshal number into .* of type \[\]uint8/ });
});

test("no body at all is an empty request", () => {
  deepEqual(decode(nodeSpec, undefined), { Labels: {}, Role: "", Availability: "" });
  equal(decode(initBody, undefined).Spec.Name, "");
});
