// Bun with a write per click: one stream entry and one counter, which Bun.redis pipelines.
import { RedisClient } from "bun";
import { config } from "../config.js";
import { serve } from "./bun_server.js";
import { counterOf, pack } from "./clicks.js";

const redis = new RedisClient(config.redis_bun);
const boot = await redis.incr(config.boots_key);
const partition = boot % config.streams.length;
const [stream, counts] = [config.streams[partition], config.counts[partition]];
let number = 0;

await serve(boot, (click) =>
  Promise.all([
    redis.send("XADD", [stream, "*", "e", pack(boot, ++number, [click])]),
    redis.hincrby(counts, counterOf(click), 1),
  ]),
);
