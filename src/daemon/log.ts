// The daemon's log: pino behind the narrow interface that rooms know.
import { pino } from "pino";
import type { Log } from "../model/log.ts";
import type { LogLevel } from "./config.ts";

/** JSON lines on standard output, which `skep up` sends to the log file. */
export function createLog(level: LogLevel): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime });
}
