// Awards on Bun.serve and Bun.redis.
import { Ajv } from "ajv";
import { RedisClient } from "bun";
import { config } from "../config.js";
import { BODY, KEYS, PROBLEM_JSON, Refused, awarder, keyOf } from "./answers.js";
import { callerOf } from "./callers.js";

const isValid = new Ajv({ allowUnionTypes: true }).compile(BODY);
const redis = new RedisClient(config.redis_bun);
const sha = await redis.send("SCRIPT", ["LOAD", config.points]);
const award = await awarder(
  () => Promise.all(config.heads.map((head) => redis.hget(head, "gen"))),
  (args) => redis.send("EVALSHA", [sha, String(KEYS), ...args]),
);

async function answer(request) {
  try {
    const caller = callerOf(request.headers.get("authorization"));
    const key = keyOf(request.headers.get("idempotency-key"));
    const made = await award(caller, key, await read(request));
    const headers = made.isReplay ? { "Idempotent-Replayed": "true" } : undefined;
    return Response.json(made.award, { status: 201, headers });
  } catch (error) {
    const refused = error instanceof Refused ? error : new Refused(503, "outcome_unknown");
    return new Response(refused.problem, {
      status: refused.status, headers: { "Content-Type": PROBLEM_JSON },
    });
  }
}

async function read(request) {
  let body;
  try {
    body = await request.json();
  } catch {
    throw new Refused(400, "invalid_json");
  }
  if (!isValid(body)) throw new Refused(422, "invalid_request");
  return body;
}

Bun.serve({
  hostname: config.host,
  port: config.port,
  reusePort: config.processes > 1,
  routes: { "/v1/awards": { POST: answer } },
  fetch: () => new Response(null, { status: 404 }),
});
