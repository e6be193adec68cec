// The embedded backend: one SQLite file, one row an object. Durable before it answers (WAL, synchronous=FULL).
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { SkepError } from "../../model/errors.ts";
import type { StoredObject } from "../../model/objects.ts";
import type { Backend, Commit } from "../backend.ts";

/** Of the table layout below; a file with a higher one was written by a newer skep and is not touched. */
const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS object (kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS revision (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);
  INSERT OR IGNORE INTO revision VALUES (1, 0);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

export class SqliteBackend implements Backend {
  readonly #db: DatabaseSync;
  readonly #put: StatementSync;
  readonly #drop: StatementSync;
  readonly #setRevision: StatementSync;

  private constructor(db: DatabaseSync) {
    this.#db = db;
    this.#put = db.prepare("INSERT OR REPLACE INTO object (kind, id, json) VALUES (?, ?, ?)");
    this.#drop = db.prepare("DELETE FROM object WHERE kind = ? AND id = ?");
    this.#setRevision = db.prepare("UPDATE revision SET value = ?");
  }

  /**
   * Opens (or makes) the store's file. Only one process may have it open.
   * @throws SkepError "unavailable" when another process has it, or a newer skep wrote it
   */
  static open(path: string): SqliteBackend {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const db = new DatabaseSync(path);
    try {
      // The exclusive lock makes a second daemon on the same data root fail here instead of corrupting the swarm.
      db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
      const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
      if (version > SCHEMA_VERSION) {
        throw new SkepError(
          "unavailable",
          `${path} was written by a newer skep (schema ${version}, this one knows ${SCHEMA_VERSION})`,
        );
      }
      db.exec(SCHEMA);
      return new SqliteBackend(db);
    } catch (e) {
      db.close();
      if (e instanceof Error && /database is locked/.test(e.message)) {
        throw new SkepError("unavailable", `${path} is in use by another skep daemon`, {}, e);
      }
      throw e;
    }
  }

  async load() {
    const { value } = this.#db.prepare("SELECT value FROM revision").get() as { value: number };
    const rows = this.#db.prepare("SELECT json FROM object").all() as { json: string }[];
    return { revision: value, objects: rows.map((r) => JSON.parse(r.json) as StoredObject) };
  }

  async commit(commit: Commit) {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      for (const { action, object } of commit.changes) {
        if (action === "remove") this.#drop.run(object.kind, object.id);
        else this.#put.run(object.kind, object.id, JSON.stringify(object));
      }
      this.#setRevision.run(commit.revision);
      this.#db.exec("COMMIT");
    } catch (e) {
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw new SkepError("unavailable", `cannot store commit ${commit.revision}: ${(e as Error).message}`, {}, e);
    }
  }

  async wipe() {
    this.#db.exec("DELETE FROM object");
  }

  async close() {
    this.#db.close();
  }
}
