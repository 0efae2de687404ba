// Awards on Express. jsonwebtoken does not know EdDSA, so its tokens are read by fast-jwt as well.
import { Ajv } from "ajv";
import express from "express";
import { clustered } from "../cluster.js";
import { config } from "../config.js";
import { BODY, PROBLEM_JSON, Refused, keyOf } from "./answers.js";
import { callerOf } from "./callers.js";
import { open } from "./ioredis.js";

const isValid = new Ajv({ allowUnionTypes: true }).compile(BODY);

await clustered(serve);

async function serve() {
  const award = await open();
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.post("/v1/awards", authenticate, express.json(), async (request, response) => {
    const key = keyOf(request.headers["idempotency-key"]);
    if (!isValid(request.body)) throw new Refused(422, "invalid_request");
    const made = await award(request.caller, key, request.body);
    if (made.isReplay) response.set("Idempotent-Replayed", "true");
    response.status(201).json(made.award);
  });
  app.use(refuse);
  app.listen(config.port, config.host, 1024);
}

function authenticate(request, _response, next) {
  request.caller = callerOf(request.headers.authorization);
  next();
}

// Express tells a handler of errors by its four arguments.
function refuse(error, _request, response, _next) {
  const refused = error instanceof Refused ? error : translated(error);
  response.status(refused.status).type(PROBLEM_JSON).send(refused.problem);
}

function translated(error) {
  return error.type === "entity.parse.failed"
    ? new Refused(400, "invalid_json")
    : new Refused(503, "outcome_unknown");
}
