// Several processes on one port, in Node's way.
import cluster from "node:cluster";
import { config } from "./config.js";

/** Run `work` here, or in as many processes as are wanted. */
export async function clustered(work) {
  if (config.processes === 1 || cluster.isWorker) return work();
  for (let count = 0; count < config.processes; count++) cluster.fork();
}
