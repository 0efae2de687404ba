// What all peers answer alike: our script's keys and arguments, and what its reply means.
import { hash } from "node:crypto";
import zlib from "node:zlib";
import { Packr } from "msgpackr";
import { PAIRS } from "../base32.js";
import { config } from "../config.js";

export const KEYS = 9;
export const PROBLEM_JSON = "application/problem+json";

const STALE_TRIES = 3;
const STATE = ["head", "ev", "bal", "hold", "exp", "rev", "last", "lease"];
const BARE = /^[!#-~][ -~]{0,254}$/;
const QUOTED = /^"([ !#-~]{1,255})"$/;
const REFUSALS = {
  2: [422, "idempotency_key_reused"],
  3: [404, "member_not_found"],
  4: [409, "limit_reached"],
  5: [409, "limit_reached"],
  6: [409, "budget_exhausted"],
  9: [409, "balance_too_large"],
};
const packr = new Packr({ useRecords: false });

/** What is refused: a status and the stable word. */
export class Refused extends Error {
  constructor(status, code) {
    super(code);
    this.status = status;
    this.problem = JSON.stringify({
      type: `urn:stampgate:error:${code}`, title: code, status, code, detail: code,
    });
  }
}

/** The JSON schema of the body, gateway/awards.py's NewAward. */
export const BODY = {
  type: "object",
  required: ["member", "kind", "amount"],
  additionalProperties: false,
  properties: {
    member: { type: "string", minLength: 1, maxLength: 64 },
    kind: { enum: ["points", "stamps"] },
    amount: { type: "integer", minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    reason: { type: ["string", "null"], minLength: 1, maxLength: 255 },
    reference: { type: ["string", "null"], minLength: 1, maxLength: 255 },
    occurred_at: {
      type: ["string", "null"],
      pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$",
    },
  },
};

/** The idempotency key of the header, quoted or bare. */
export function keyOf(header) {
  if (!header) throw new Refused(400, "idempotency_key_missing");
  const quoted = QUOTED.exec(header);
  if (!quoted && !BARE.test(header)) throw new Refused(400, "idempotency_key_invalid");
  return quoted ? quoted[1] : header;
}

/** Makes `award(caller, key, body)`; `heads()` reads the generations, `evalsha(args)` calls. */
export async function awarder(heads, evalsha) {
  const partitions = Array.from({ length: config.partitions }, () => ({ generation: 0, seen: 0 }));
  for (const [number, generation] of (await heads()).entries()) enter(number, Number(generation));

  function enter(number, generation) {
    partitions[number] = { generation, seen: 0 };
  }

  return async function award(caller, key, body) {
    const now = Date.now();
    const number = zlib.crc32(`${caller.program}:${body.member}`) % config.partitions;
    for (let tries = 0; tries < STALE_TRIES; tries++) {
      const partition = partitions[number];
      const reply = await evalsha(call(number, partition, caller, key, body, now));
      if (reply[0] === "DONE") {
        return decided(number, partition, body, Number(reply[1][0]), reply[1][1]);
      }
      if (reply[0] !== "STALE") break;
      enter(number, Number(reply[1]));
    }
    throw new Refused(503, "not_open");
  };
}

function call(number, { generation, seen }, caller, key, body, now) {
  const { member, kind, amount, reason = null, reference = null, occurred_at = null } = body;
  const tag = `{a${String(number).padStart(2, "0")}}`;
  const digest = hash(
    "sha256", JSON.stringify([member, kind, amount, reason, reference, occurred_at]), "buffer",
  ).subarray(0, 16);
  const occurred = occurred_at ? Date.parse(occurred_at) : now;
  const facts = packr.pack([
    "award", caller.sub, key, digest, reason, reference, BigInt(occurred), BigInt(now), null, null,
  ]);
  return [
    ...STATE.map((name, place) => (place < 2 ? `${tag}:${name}` : `${tag}:${generation}:${name}`)),
    `${tag}:${generation}:i:${caller.program}:${caller.sub}:${member}:${key}`,
    String(generation), String(seen), config.high_water, config.marker_ttl_ms, config.run_id, "1",
    "award", `${caller.program}:${member}:${kind[0]}`, String(amount), digest, facts, String(now),
    "", "",
  ];
}

function decided(number, partition, body, status, text) {
  const refusal = REFUSALS[status];
  if (refusal) throw new Refused(...refusal);
  const [generation, sequence, balance, ms] = text.split(" ");
  const at = Number(ms);
  if (status === 0) partition.seen = Math.max(partition.seen, Number(sequence));
  const createdAt = new Date(at).toISOString();
  const award = {
    id: eventId(number, Number(generation), Number(sequence), at),
    member: body.member,
    kind: body.kind,
    amount: body.amount,
    balance: Number(balance),
    reason: body.reason ?? null,
    reference: body.reference ?? null,
    occurred_at: body.occurred_at ? new Date(body.occurred_at).toISOString() : createdAt,
    created_at: createdAt,
    sequence: Number(sequence),
  };
  return { award, isReplay: status === 1 };
}

// core/ids.py: 48 ms, 4 version, 12 partition, 2 variant, 22 generation, 40 sequence.
function eventId(partition, generation, sequence, ms) {
  const early = Math.floor(ms / 0x100000);
  const late = ms % 0x100000;
  const version = 0x7000 | partition;
  const variant = 0x800000 | generation;
  const high = Math.floor(sequence / 0x100000);
  const low = sequence % 0x100000;
  return (
    "awd_" +
    PAIRS[early >>> 20] + PAIRS[(early >>> 10) & 1023] + PAIRS[early & 1023] +
    PAIRS[late >>> 10] + PAIRS[late & 1023] +
    PAIRS[version >>> 6] + PAIRS[((version & 63) << 4) | (variant >>> 20)] +
    PAIRS[(variant >>> 10) & 1023] + PAIRS[variant & 1023] +
    PAIRS[high >>> 10] + PAIRS[high & 1023] + PAIRS[low >>> 10] + PAIRS[low & 1023]
  );
}
