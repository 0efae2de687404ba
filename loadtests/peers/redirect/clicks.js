// From a slug and a visitor to a Location and the click that is recorded: what all peers share.
import { readFileSync } from "node:fs";
import { Packr } from "msgpackr";
import { config } from "../config.js";
import { minter, signedBy } from "./clickid.js";
import { eyes, isPrivate, kept } from "./visitor.js";

export const PREFIX = "/r/";
export const PREFETCH_HEADERS = { "Cache-Control": "no-store", "X-Robots-Tag": "noindex" };

const packr = new Packr({ useRecords: false });

/** The stream entry of core.events.ClickBatch. */
export const pack = (boot, number, clicks) => packr.pack([boot, number, clicks]);

export const { classify, network, isPrefetch } = eyes(config.declared);

/** The links by slug. Made at the start: no peer has to look for a link while it is measured. */
export function readLinks() {
  const programs = new Map();
  const links = new Map();
  for (const [slug, link] of Object.entries(JSON.parse(readFileSync(config.links, "utf8")))) {
    if (!programs.has(link.program_id)) programs.set(link.program_id, signedBy(link.program_id));
    links.set(slug, { ...link, signed: programs.get(link.program_id) });
  }
  return links;
}

/** Makes `click(link, verdict, …)` for one boot; the click is an array as core.events.Click. */
export async function clicker(boot) {
  const mint = await minter(config.key_id, Buffer.from(config.key, "hex"), boot);
  return function click(link, verdict, address, agent, referrer, gpc, dnt) {
    const hidden = isPrivate(gpc, dnt);
    return [
      mint(Date.now(), link.signed, link.link_bits),
      link.link_id,
      link.program_id,
      verdict[0],
      verdict[1],
      hidden ? null : network(address),
      null,
      kept(agent),
      kept(referrer),
      hidden,
      null,
      null,
      null,
      false,
    ];
  };
}

/** The field of the live counter. */
export const counterOf = (click) => `${click[1]}:${click[3]}`;

/** The headers of the redirect; `clickId` is empty for HEAD. */
export function headersOf(link, clickId) {
  return {
    Location: link.is_static ? link.prefix : link.prefix + clickId + link.suffix,
    "Cache-Control": "private, no-store",
    "Referrer-Policy": link.referrer_policy,
    "X-Robots-Tag": "noindex",
  };
}
