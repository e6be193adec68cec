// `docker network connect` and `disconnect`: a swarm network goes through the container's attachment, a local one is Podman's.
import { SkepError } from "../../model/errors.ts";
import type { TaskId } from "../../model/ids.ts";
import type { ConnectRequest, ConnectTarget, NetworkConnections } from "../context.ts";
import { attachmentRequest } from "./container-create.ts";
import { rawInspect } from "./container-inspect.ts";
import { ATTACHMENT_LABEL, type EngineContext, TASK_LABEL } from "./context.ts";
import { object, strings, text } from "./json.ts";
import { podmanName } from "./podman-networks.ts";
import { refusal } from "./refusals.ts";
import { COMPAT } from "./upstream.ts";

export class EngineConnections implements NetworkConnections {
  readonly #ctx: Pick<EngineContext, "upstream" | "attachments">;

  constructor(ctx: Pick<EngineContext, "upstream" | "attachments">) {
    this.#ctx = ctx;
  }

  async connect(target: ConnectTarget, request: ConnectRequest): Promise<void> {
    const container = await this.#look(request.Container);
    if ("swarm" in target) {
      const { swarm } = target;
      const wanted = attachmentRequest(swarm, swarm.spec.Name, object(request.EndpointConfig));
      if (container.attachment === undefined) throw notOurs(container.name, swarm.spec.Name);
      return this.#ctx.attachments.connect(container.attachment, wanted);
    }
    await this.#podman(target.local.Name, "connect", {
      Container: container.id,
      EndpointConfig: request.EndpointConfig ?? {},
    });
  }

  async disconnect(
    target: ConnectTarget,
    request: { readonly Container: string; readonly Force: boolean },
  ): Promise<void> {
    const container = await this.#look(request.Container);
    if ("swarm" in target) {
      const { swarm } = target;
      if (container.attachment === undefined) {
        throw new SkepError("forbidden", `container ${container.id} is not connected to network ${swarm.spec.Name}`);
      }
      return this.#ctx.attachments.disconnect(container.attachment, swarm.id);
    }
    await this.#podman(target.local.Name, "disconnect", { Container: container.id, Force: request.Force });
  }

  async #look(id: string): Promise<{ id: string; name: string; attachment: TaskId | undefined }> {
    const raw = object(await rawInspect(this.#ctx, id));
    const labels = strings(object(raw.Config).Labels);
    if (labels[TASK_LABEL] !== undefined) {
      throw new SkepError("forbidden", `container ${id} belongs to a service: its networks are the service's`);
    }
    return {
      id: text(raw.Id),
      name: text(raw.Name).replace(/^\//, ""),
      attachment: labels[ATTACHMENT_LABEL] as TaskId | undefined,
    };
  }

  async #podman(network: string, action: "connect" | "disconnect", json: object): Promise<void> {
    const path = `${COMPAT}/networks/${encodeURIComponent(podmanName(network))}/${action}`;
    const { status, text: said } = await this.#ctx.upstream.ask("POST", path, { json }); // "OK" is all it says
    if (status >= 300) throw refusal(status, said, { kind: "network", name: network });
  }
}

/** Podman cannot move a container that it gave a network of its own into another namespace. */
function notOurs(container: string, network: string): SkepError {
  return new SkepError(
    "unimplemented",
    `container ${container} was created without an overlay network and cannot be connected to ${network}: ` +
      `create it with --network ${network}`,
  );
}
