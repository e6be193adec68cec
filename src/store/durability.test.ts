// Every acknowledged write survives kill -9: a writer process is killed at random moments, many times, and its file is looked at each time.
import { deepEqual, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { SqliteBackend } from "./backends/sqlite.ts";
import { Store } from "./store.ts";

const WRITER = fileURLToPath(new URL("./testing/writer.ts", import.meta.url));
const KILLS = 32;
/** The writer is killed within this time after its first acknowledged commit. */
const MAX_LIFE_MS = 150;
const PER_COMMIT = 3;
const KEPT = 20;

/** Runs the writer until it is killed. @returns the number of the last commit it had acknowledged */
function writeUntilKilled(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const writer = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", WRITER, path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    writer.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      if (text === "") setTimeout(() => writer.kill("SIGKILL"), Math.random() * MAX_LIFE_MS);
      text += chunk;
    });
    writer.on("error", reject).on("close", (_code, signal) => {
      const lines = text.split("\n").filter((line) => line !== "");
      if (signal === "SIGKILL") resolve(Number(lines.at(-1)));
      else reject(new Error(`the writer ended by itself (${signal})`));
    });
  });
}

test(`after each of ${KILLS} kills all that was acknowledged is there, and nothing by halves`, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "skep-durability-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "skep.db");
  let total = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const acknowledged = await writeUntilKilled(path);
    const store = await Store.open(SqliteBackend.open(path));
    const { revision } = store.view;
    ok(revision >= acknowledged, `kill ${kill}: ${acknowledged} was acknowledged, ${revision} is there`);
    ok(revision <= acknowledged + 1, `kill ${kill}: at most the commit under way may be there beyond ${acknowledged}`);
    const counts = new Map<number, number>();
    for (const { spec } of store.view.all("config"))
      counts.set(Number(spec.Name), (counts.get(Number(spec.Name)) ?? 0) + 1);
    const newest = Array.from({ length: Math.min(KEPT, revision) }, (_, i) => revision - i);
    deepEqual(
      [...counts.keys()].sort((a, b) => b - a),
      newest,
    );
    ok([...counts.values()].every((n) => n === PER_COMMIT));
    total = revision;
    await store.close();
  }
  ok(total > KILLS, "it wrote something");
});
