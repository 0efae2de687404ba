// Node's own http server and ioredis, which pipelines what is sent in one turn.
import http from "node:http";
import { Redis } from "ioredis";
import { clustered } from "../cluster.js";
import { config } from "../config.js";
import {
  PREFETCH_HEADERS, PREFIX, classify, clicker, counterOf, headersOf, isPrefetch, pack, readLinks,
} from "./clicks.js";

await clustered(work);

async function work() {
  const redis = new Redis(config.redis_path, { enableAutoPipelining: true });
  const boot = await redis.incr(config.boots_key);
  const partition = boot % config.streams.length;
  const [stream, counts] = [config.streams[partition], config.counts[partition]];
  const links = readLinks();
  const click = await clicker(boot);
  let number = 0;

  function answer(request, response) {
    const link = request.url.startsWith(PREFIX) && links.get(request.url.slice(PREFIX.length));
    if (!link) return end(response, 404, {});
    const headers = request.headers;
    const agent = headers["user-agent"] ?? "";
    const verdict = classify(
      agent, headers.accept, headers["accept-language"], headers["sec-fetch-dest"],
      purposes(headers),
    );
    if (isPrefetch(verdict)) return end(response, config.prefetch_status, PREFETCH_HEADERS);
    if (request.method === "HEAD") return end(response, link.status, headersOf(link, ""));
    const made = click(
      link, verdict, request.socket.remoteAddress, agent, headers.referer,
      headers["sec-gpc"], headers.dnt,
    );
    Promise.all([
      redis.xadd(stream, "*", "e", pack(boot, ++number, [made])),
      redis.hincrby(counts, counterOf(made), 1),
    ]).then(
      () => end(response, link.status, headersOf(link, made[0])),
      () => end(response, 503, { "Retry-After": "1" }),
    );
  }

  http.createServer(answer).listen(config.port, config.host, 1024);
}

function end(response, status, headers) {
  headers = { ...headers, "Content-Length": 0 };
  response.writeHead(status, headers);
  response.end();
}

function purposes(headers) {
  const sec = headers["sec-purpose"];
  const plain = headers.purpose;
  const moz = headers["x-moz"];
  const other = headers["x-purpose"];
  return sec || plain || moz || other ? [sec, plain, moz, other].join(" ") : "";
}
