// Who follows a link: the rules of core/classes.py and redirector/visitors.py. The pattern of the
// user agents comes from there.
const [HUMAN, SUSPECT, BOT, PREVIEW, PREFETCH, MONITOR] = [0, 1, 2, 3, 4, 5];
const TEXT_MAX = 512;
const AGENTS_MAX = 8192;
const NONE = [];
const PURPOSE = /\b(?:prefetch|prerender|preview)\b/i;
const VERDICTS = {
  monitor: [MONITOR, ["uptime_monitor"]],
  preview: [PREVIEW, ["preview_fetcher"]],
  headless: [SUSPECT, ["headless_browser"]],
  library: [SUSPECT, ["http_library"]],
  crawler: [BOT, ["declared_crawler"]],
};

/** Makes `see`, which remembers user agents and the networks of addresses. */
export function eyes(declaredPattern) {
  const declared = new RegExp(declaredPattern);
  const agents = new Map();
  const networks = new Map();

  function judge(agent) {
    const text = agent.toLowerCase();
    if (!text.trim()) return [SUSPECT, ["no_user_agent"]];
    const groups = declared.exec(text)?.groups;
    if (groups) return VERDICTS[Object.keys(groups).find((name) => groups[name] !== undefined)];
    const isBrowser = text.startsWith("mozilla/") || text.startsWith("opera/");
    return isBrowser ? [HUMAN, NONE] : [SUSPECT, ["not_a_browser"]];
  }

  /** The class of a request and its reasons; headers that were not sent are null or undefined. */
  function classify(agent, accept, language, destination, purposes) {
    if (purposes !== "" && PURPOSE.test(purposes)) return [PREFETCH, ["prefetch_header"]];
    const verdict = remembered(agents, agent, judge);
    if (verdict[0] !== HUMAN && verdict[0] !== SUSPECT) return verdict;
    const isNavigation = !destination || destination === "document";
    if (accept != null && language != null && isNavigation) return verdict;
    const reasons = [...verdict[1]];
    if (accept == null) reasons.push("no_accept");
    if (language == null) reasons.push("no_accept_language");
    if (!isNavigation) reasons.push("not_a_navigation");
    return [SUSPECT, reasons];
  }

  return {
    classify,
    network: (address) => remembered(networks, address, cut),
    isPrefetch: (verdict) => verdict[0] === PREFETCH,
  };
}

/** Whether Sec-GPC or DNT asks for privacy. */
export function isPrivate(gpc, dnt) {
  return (gpc != null && gpc.trim() === "1") || (dnt != null && dnt.trim() === "1");
}

/** What is kept of a header. */
export function kept(text) {
  if (!text) return null;
  return text.length > TEXT_MAX ? text.slice(0, TEXT_MAX) : text;
}

// The /24 of an address; the peers listen on IPv4 only.
function cut(address) {
  return `${address.slice(0, address.lastIndexOf("."))}.0`;
}

function remembered(known, key, find) {
  let value = known.get(key);
  if (value === undefined) {
    value = find(key);
    if (known.size >= AGENTS_MAX) known.clear();
    known.set(key, value);
  }
  return value;
}
