// Awards on Fastify, with its own validation and serialization by schema.
import Fastify from "fastify";
import { clustered } from "../cluster.js";
import { config } from "../config.js";
import { BODY, PROBLEM_JSON, Refused, keyOf } from "./answers.js";
import { callerOf } from "./callers.js";
import { open } from "./ioredis.js";

const TEXT = { type: "string" };
const AWARD = {
  type: "object",
  properties: {
    id: TEXT, member: TEXT, kind: TEXT, amount: { type: "integer" }, balance: { type: "integer" },
    reason: { type: "string", nullable: true }, reference: { type: "string", nullable: true },
    occurred_at: TEXT, created_at: TEXT, sequence: { type: "integer" },
  },
};

await clustered(serve);

async function serve() {
  const award = await open();
  const app = Fastify({
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allowUnionTypes: true } },
  });
  app.setErrorHandler(refuse);
  app.post(
    "/v1/awards",
    { schema: { body: BODY, response: { 201: AWARD } }, onRequest: authenticate },
    async (request, reply) => {
      const key = keyOf(request.headers["idempotency-key"]);
      const made = await award(request.caller, key, request.body);
      reply.code(201);
      if (made.isReplay) reply.header("Idempotent-Replayed", "true");
      return made.award;
    },
  );
  await app.listen({ host: config.host, port: config.port, backlog: 1024 });
}

function authenticate(request, _reply, done) {
  request.caller = callerOf(request.headers.authorization);
  done();
}

function refuse(error, _request, reply) {
  const refused = error instanceof Refused ? error : translated(error);
  reply.code(refused.status).header("Content-Type", PROBLEM_JSON).send(refused.problem);
}

function translated(error) {
  if (error.validation) return new Refused(422, "invalid_request");
  if (error.statusCode === 400) return new Refused(400, "invalid_json");
  return new Refused(503, "outcome_unknown");
}
