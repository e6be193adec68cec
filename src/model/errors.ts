// The one error class of skep and its codes. What a code means to an HTTP client is in src/api/errors.ts' use of STATUS.

/** Every error code, with the HTTP status that the Docker Engine API gives that kind of failure. */
export const STATUS = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  not_modified: 304,
  too_large: 413,
  stale: 500, // Docker answers "update out of sequence" with 500, and clients look for the text
  unimplemented: 501,
  unavailable: 503,
  timeout: 504,
  internal: 500,
} as const;

export type Code = keyof typeof STATUS;

/**
 * The error that crosses rooms. `message` is lower case and says what was tried, on what, and why not (or Docker's exact words where a
 * Docker client sees it); `facts` are for logs and for code that must decide.
 */
export class SkepError extends Error {
  override readonly name = "SkepError";
  readonly code: Code;
  readonly facts: Readonly<Record<string, string | number>>;

  constructor(code: Code, message: string, facts: Record<string, string | number> = {}, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
    this.facts = facts;
  }
}

/** Whether `e` is a SkepError of this code. The only way to ask what kind of error it is: never match text. */
export function hasCode(e: unknown, code: Code): e is SkepError {
  return e instanceof SkepError && e.code === code;
}

/** The message of anything that was thrown. */
export function messageOf(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}
