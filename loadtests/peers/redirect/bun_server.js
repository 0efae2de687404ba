// The redirector on Bun.serve; `record` is how a click gets to Redis.
import { config } from "../config.js";
import {
  PREFETCH_HEADERS, PREFIX, classify, clicker, headersOf, isPrefetch, readLinks,
} from "./clicks.js";

/** Serve; `record(click)` is done when Redis has acknowledged the click. */
export async function serve(boot, record) {
  const links = readLinks();
  const click = await clicker(boot);

  async function answer(request, server) {
    const link = links.get(request.params.slug);
    if (!link) return missing();
    const headers = request.headers;
    const agent = headers.get("user-agent") ?? "";
    const verdict = classify(
      agent, headers.get("accept"), headers.get("accept-language"), headers.get("sec-fetch-dest"),
      purposes(headers),
    );
    if (isPrefetch(verdict)) {
      return new Response(null, { status: config.prefetch_status, headers: PREFETCH_HEADERS });
    }
    if (request.method === "HEAD") {
      return new Response(null, { status: link.status, headers: headersOf(link, "") });
    }
    const made = click(
      link, verdict, server.requestIP(request).address, agent, headers.get("referer"),
      headers.get("sec-gpc"), headers.get("dnt"),
    );
    try {
      await record(made);
    } catch {
      return new Response(null, { status: 503, headers: { "Retry-After": "1" } });
    }
    return new Response(null, { status: link.status, headers: headersOf(link, made[0]) });
  }

  Bun.serve({
    hostname: config.host,
    port: config.port,
    reusePort: config.processes > 1,
    // Three percent cheaper than to cut the slug out of the address in `fetch`.
    routes: { [`${PREFIX}:slug`]: answer },
    fetch: missing,
  });
}

const missing = () => new Response(null, { status: 404 });

function purposes(headers) {
  const sec = headers.get("sec-purpose");
  const plain = headers.get("purpose");
  const moz = headers.get("x-moz");
  const other = headers.get("x-purpose");
  return sec || plain || moz || other ? [sec, plain, moz, other].join(" ") : "";
}
