import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { violationsOf } from "./rooms.ts";

const CASES: readonly { what: string; files: Record<string, string>; wrong: readonly string[] }[] = [
  {
    what: "arrows of the design are let through",
    files: {
      "src/cli/main.ts": 'import { runDaemon } from "../daemon/index.ts";\nimport { x } from "../daemon/config.ts";',
      "src/api/services.ts": 'import { Store } from "../store/index.ts";\nimport { y } from "../model/names.ts";',
      "src/network/overlay.ts":
        'import {\n  a,\n  b,\n} from "../kernel/index.ts";\nimport { c } from "./lb/table.ts";',
      "src/kernel/netns.ts": 'import { SkepError } from "../model/errors.ts";',
    },
    wrong: [],
  },
  {
    what: "an arrow that points back",
    files: { "src/store/table.ts": 'import type { Loop } from "../manager/index.ts";' },
    wrong: ["src/store/table.ts: imports src/manager/index.ts: there is no arrow store → manager"],
  },
  {
    what: "a way round an arrow by export, bare import and import()",
    files: {
      "src/engine/a.ts": 'export { x } from "../store/index.ts";',
      "src/engine/b.ts": 'import "../store/index.ts";',
      "src/engine/c.ts": 'const s = await import("../store/index.ts");',
    },
    wrong: ["a", "b", "c"].map(
      (f) => `src/engine/${f}.ts: imports src/store/index.ts: there is no arrow engine → store`,
    ),
  },
  {
    what: "an import spread over lines",
    files: { "src/api/x.ts": 'import {\n  a,\n  type B,\n} from "../network/index.ts";' },
    wrong: ["src/api/x.ts: imports src/network/index.ts: there is no arrow api → network"],
  },
  {
    what: "model that knows somebody",
    files: { "src/model/service.ts": 'import { x } from "../kernel/index.ts";' },
    wrong: ["src/model/service.ts: imports src/kernel/index.ts: there is no arrow model → kernel"],
  },
  {
    what: "kernel that knows more of model than its errors",
    files: { "src/kernel/a.ts": 'import { x } from "../model/task.ts";' },
    wrong: ["src/kernel/a.ts: imports src/model/task.ts; kernel may import src/model/errors.ts and nothing else"],
  },
  {
    what: "a way into a room past its front door",
    files: { "src/agent/run.ts": 'import { x } from "../engine/podman.ts";' },
    wrong: ["src/agent/run.ts: imports src/engine/podman.ts past its room's index.ts"],
  },
  {
    what: "a room's own index imported inside it",
    files: { "src/store/a.ts": 'import { x } from "./index.ts";' },
    wrong: ["src/store/a.ts: imports its own room's index.ts; import the file that has it"],
  },
  {
    what: "a file outside the rooms",
    files: { "src/utils.ts": 'import { x } from "./model/a.ts";' },
    wrong: [
      "src/utils.ts: src/ holds rooms only: put this file in one of cli, daemon, api, manager, agent, cluster, network, store, engine, kernel, model",
    ],
  },
  {
    what: "tests reach anything below them, and nothing above",
    files: {
      "src/agent/run.test.ts": 'import { x } from "../kernel/netns.ts";\nimport { w } from "../testing/world.ts";',
      "src/store/a.test.ts": 'import { x } from "../manager/index.ts";',
    },
    wrong: ["src/store/a.test.ts: imports src/manager/index.ts: there is no arrow store → manager"],
  },
  {
    what: "test helpers in code that ships",
    files: { "src/agent/run.ts": 'import { w } from "../testing/world.ts";' },
    wrong: ["src/agent/run.ts: imports src/testing/world.ts, which is for tests only"],
  },
  {
    what: "a circle of files",
    files: {
      "src/store/a.ts": 'import { b } from "./b.ts";',
      "src/store/b.ts": 'import { c } from "./c.ts";',
      "src/store/c.ts": 'import { a } from "./a.ts";',
    },
    wrong: ["src/store/a.ts: imports itself by src/store/a.ts → src/store/b.ts → src/store/c.ts → src/store/a.ts"],
  },
  {
    what: "circles of types only, or by import(), load fine",
    files: {
      "src/store/a.ts": 'import type { B } from "./b.ts";',
      "src/store/b.ts": 'import { a } from "./a.ts";\nconst c = () => import("./b.ts");',
    },
    wrong: [],
  },
  {
    what: "imports in comments are not imports",
    files: { "src/store/a.ts": '// import { x } from "../api/index.ts";\n/** import("../api/index.ts") */' },
    wrong: [],
  },
];

for (const { what, files, wrong } of CASES) {
  test(what, () => deepEqual(violationsOf(new Map(Object.entries(files))), wrong));
}
