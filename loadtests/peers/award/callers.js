// Who is calling: EdDSA tokens by fast-jwt, which remembers the ones that were good.
import { createVerifier } from "fast-jwt";
import { config } from "../config.js";
import { Refused } from "./answers.js";

const SCOPE = "awards:write";
const verify = createVerifier({
  key: config.public_key,
  algorithms: ["EdDSA"],
  allowedIss: "stampgate",
  requiredClaims: ["sub", "iat", "exp", "program"],
  cache: 4096,
  // The default hashes the token to look it up, which costs more than all else here.
  cacheKeyBuilder: (token) => token,
});

/** The claims of the header's token. */
export function callerOf(authorization) {
  if (!authorization?.startsWith("Bearer ")) throw new Refused(401, "unauthorized");
  let claims;
  try {
    claims = verify(authorization.slice(7));
  } catch {
    throw new Refused(401, "token_invalid");
  }
  if (!` ${claims.scope} `.includes(` ${SCOPE} `)) throw new Refused(403, "insufficient_scope");
  return claims;
}
