// The logger that rooms are given: pino's shape, narrowed, so that no room depends on a logging library.

export interface Log {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
  child(facts: object): Log;
}

/** Says nothing. For tests. */
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };
