// The store room: versioned objects, transactions, watches, and the backends that make them durable.
export { type Backend, type Change, type Commit, MemoryBackend } from "./backend.ts";
export { SqliteBackend } from "./backends/sqlite.ts";
export { type Fresh, Store, type Subscription, type Tx } from "./store.ts";
export type { View } from "./tables.ts";
