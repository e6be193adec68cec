// A connection to Podman's service that says nothing and is held: the kernel tells the moment the other end dies, and neither side has to poll
// (Podman's event stream would: its reader looks at the events file four times a second).
import { connect } from "node:net";

/** Resolves when the service hangs up, cannot be reached, or `signal` aborts; never rejects. */
export function heldUntilGone(socketPath: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const socket = connect(socketPath);
    const done = () => {
      signal.removeEventListener("abort", done);
      socket.destroy();
      resolve();
    };
    signal.addEventListener("abort", done);
    socket.on("error", done);
    socket.on("close", done);
    socket.resume(); // an end is only seen by those who read
  });
}
