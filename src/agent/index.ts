// The agent room: a node's side of the swarm.
export { Agent, type AgentNeeds } from "./agent.ts";
export { labelsOf, TASK_LABEL } from "./container-of-task.ts";
