// For tests: waiting for what comes by itself, and networks in the store.
import type { TestContext } from "node:test";
import { type NetworkId, newId } from "../../../model/ids.ts";
import type { FrontDoor } from "./front-door.ts";

/** Waits until `found` gives something; looks again and again for ten seconds. */
export async function eventually<T>(t: TestContext, found: () => Promise<T | undefined>): Promise<T> {
  for (let n = 0; n < 500 && !t.signal.aborted; n++) {
    const value = await found();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("it never came");
}

/** Puts an overlay network into the store. */
export async function overlayNetwork(door: FrontDoor, name: string, isAttachable: boolean): Promise<NetworkId> {
  const id = newId<NetworkId>();
  await door.store.update((tx) => {
    tx.create<"network">({
      kind: "network",
      id,
      spec: {
        Name: name,
        Labels: {},
        Driver: "overlay",
        Options: {},
        EnableIPv6: false,
        Internal: false,
        Attachable: isAttachable,
        Ingress: false,
      },
    });
  });
  return id;
}
