// Bun with our group commit: the clicks of a turn are one call of our own script, up to three of
// which are on their way.
import { RedisClient } from "bun";
import { config } from "../config.js";
import { serve } from "./bun_server.js";
import { counterOf, pack } from "./clicks.js";

const IN_FLIGHT_MAX = 3;
const MARKS = 65536;
const MARK_TTL_S = String(7 * 86400);

const redis = new RedisClient(config.redis_bun);
const script = await redis.send("SCRIPT", ["LOAD", config.click_batch]);
const boot = await redis.incr(config.boots_key);
const run = crypto.getRandomValues(new Uint32Array(1))[0] * 65536 + (boot & 65535);
const partition = boot % config.streams.length;
const [stream, counts] = [config.streams[partition], config.counts[partition]];

let number = 0;
let inFlight = 0;
let isArmed = false;
let waiting = open();

function open() {
  return { clicks: [], ...Promise.withResolvers() };
}

function arm() {
  if (isArmed || inFlight >= IN_FLIGHT_MAX || !waiting.clicks.length) return;
  isArmed = true;
  setImmediate(flush);
}

function flush() {
  const batch = waiting;
  waiting = open();
  isArmed = false;
  inFlight++;
  send(batch.clicks).then(batch.resolve, batch.reject).finally(settled);
}

function settled() {
  inFlight--;
  arm();
}

function send(clicks) {
  const mark = ++number;
  const chunk = Math.floor(mark / MARKS);
  const counters = new Map();
  for (const click of clicks) {
    const name = counterOf(click);
    counters.set(name, (counters.get(name) ?? 0) + 1);
  }
  const args = [
    script, "3", stream, counts, `{c${partition}}:b:${run}:${chunk}`,
    String(mark % MARKS), MARK_TTL_S, pack(boot, mark, clicks),
  ];
  for (const [name, count] of counters) args.push(name, String(count));
  return redis.send("EVALSHA", args);
}

await serve(boot, (click) => {
  waiting.clicks.push(click);
  arm();
  return waiting.promise;
});
