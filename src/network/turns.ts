// The order in which a node's network is changed: one job at a time, so that no job sees another half done; urgent ones (taking something
// out of use) before the others; and the event loop gets its turn between any two.

interface Job {
  run(): void;
}

export class Turns {
  readonly #urgent: Job[] = [];
  readonly #plain: Job[] = [];
  #running = false;

  /** Runs `work` when its turn has come; settles as `work` does. */
  take<T>(work: () => T | Promise<T>, options: { readonly urgent?: boolean } = {}): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = (): void => {
      void (async () => {
        try {
          resolve(await work());
        } catch (e) {
          reject(e);
        }
        setImmediate(() => this.#next());
      })();
    };
    (options.urgent ? this.#urgent : this.#plain).push({ run });
    if (!this.#running) this.#next();
    return promise;
  }

  #next(): void {
    const job = this.#urgent.shift() ?? this.#plain.shift();
    this.#running = job !== undefined;
    job?.run();
  }
}
