// The awards of a process over ioredis, which pipelines what is sent in one turn.
import { Redis } from "ioredis";
import { config } from "../config.js";
import { KEYS, awarder } from "./answers.js";

/** Connect, load our script, and make `award`. */
export async function open() {
  const redis = new Redis(config.redis_path, { enableAutoPipelining: true });
  const sha = await redis.script("LOAD", config.points);
  return awarder(
    () => Promise.all(config.heads.map((head) => redis.hget(head, "gen"))),
    (args) => redis.evalsha(sha, KEYS, ...args),
  );
}
