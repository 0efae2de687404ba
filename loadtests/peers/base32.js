// Crockford base32, ten bits at a time.
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

export const PAIRS = [...ALPHABET].flatMap((first) => [...ALPHABET].map((second) => first + second));

/** The last `length` (an even number) characters of a BigInt in base32. */
export function encode(number, length) {
  let text = "";
  for (let shift = BigInt(length * 5 - 10); shift >= 0n; shift -= 10n) {
    text += PAIRS[Number((number >> shift) & 1023n)];
  }
  return text;
}
