// The keys of the schema by their paths; and what an unknown one was probably meant to be: a slip, a key of
// another place, another proxy's word.
import { editDistance, nearest, NOT_SUPPORTED, quoted } from "./errors.ts";
import type { Finding, Path } from "./finding.ts";
import { type Key, KEYS } from "./schema.ts";

/** What others call it. Those of these names count that are keys of the place. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  algorithm: ["balance"],
  backend: ["to", "servers"],
  backends: ["servers"],
  "ca-file": ["ca"],
  cafile: ["ca"],
  certfile: ["cert"],
  "cert-file": ["cert"],
  certificate: ["certificates", "cert"],
  chain: ["cert"],
  cidr: ["client"],
  ciphers: ["policy"],
  code: ["status"],
  content: ["body"],
  crt: ["cert"],
  delete: ["remove"],
  domain: ["host"],
  endpoints: ["servers"],
  "force-https": ["redirect-to-https"],
  fullchain: ["cert"],
  healthcheck: ["health"],
  host: ["address"],
  hostname: ["host"],
  hosts: ["servers"],
  "https-redirect": ["redirect-to-https"],
  html: ["body"],
  "include-subdomains": ["subdomains"],
  includesubdomains: ["subdomains"],
  insecure: ["verify"],
  "insecure-skip-verify": ["verify"],
  ip: ["client", "address"],
  keyfile: ["key"],
  "key-file": ["key"],
  lb: ["balance"],
  listen: ["bind"],
  location: ["path", "to"],
  maxconn: ["max-connections"],
  "max-conns": ["max-connections"],
  "min-version": ["policy"],
  policy: ["balance"],
  port: ["bind", "address"],
  prefix: ["add-prefix"],
  "private-key": ["key"],
  protocols: ["alpn", "policy"],
  "proxy-pass": ["to"],
  server: ["address"],
  servername: ["server-name"],
  "skip-verify": ["verify"],
  sni: ["server-name"],
  source: ["client"],
  ssl: ["tls"],
  "ssl-certificate": ["tls", "cert"],
  "ssl-certificate-key": ["tls", "key"],
  stapling: ["ocsp"],
  strategy: ["balance"],
  "strict-transport-security": ["hsts"],
  target: ["to", "address"],
  targets: ["servers"],
  text: ["body"],
  timeout: ["idle"],
  "tls-handshake": ["handshake"],
  "proxy-protocol": ["accept-proxy", "send-proxy"],
  unset: ["remove"],
  upstream: ["to"],
  uri: ["path", "http"],
  url: ["address", "to", "http"],
  verb: ["method"],
  verify: ["mode"],
  vhost: ["host"],
};

/** Sections whose keys are looked for in other places. */
const ENTITIES: readonly (readonly [path: readonly string[], name: string])[] = [
  [["listeners", "*", "routes", "*"], "a route"],
  [["upstreams", "*", "servers", "*"], "a server"],
  [["listeners", "*"], "a listener"],
  [["upstreams", "*"], "an upstream"],
  [["log"], "log"],
  [["listeners", "*", "tls", "certificates", "*"], "a certificate"],
];

export function keyAt(path: Path): Key | undefined {
  return KEYS.find((key) => key.path.length === path.length && matches(key.path, path));
}

/** The keys of a section, without those that are names of the user's. */
export function keysIn(path: Path): string[] {
  const keys = KEYS.filter((key) => key.path.length === path.length + 1 && matches(key.path, path));
  return [...new Set(keys.map((key) => key.path[path.length]))].filter((name) => name !== "*");
}

/** Whether `pattern` (with `*` for any step) fits `path` as far as both go. */
function matches(pattern: readonly string[], path: Path): boolean {
  return path.every((step, at) => at >= pattern.length || pattern[at] === "*" || pattern[at] === step);
}

/** The candidate that was meant: one that is near, or one that the word begins or is begun by. */
export function meantBy(word: string, candidates: readonly string[]): string | undefined {
  const near = nearest(word, candidates);
  if (near !== undefined || word.length < 4) return near;
  const [begun, ...more] = candidates.filter((one) =>
    one.length >= 4 && (word.startsWith(one) || one.startsWith(word))
  );
  return more.length === 0 ? begun : undefined;
}

/** @param section what the key stands in */
export function unknownKey(path: Path, unknown: string, section: unknown): Finding {
  const known = keysIn(path), later = laterIn(path);
  const error = (what: string, remedy: string, meant?: string): Finding => ({
    path: [...path, unknown],
    what,
    remedy,
    severity: "error",
    isKey: true,
    ...(meant === undefined ? {} : { meant }),
  });
  if (later.includes(unknown)) return error(`${quoted(unknown)} is ${NOT_SUPPORTED}`, "leave it out");
  const what = `unknown key ${quoted(unknown)}`;
  const above = unindentedFrom(path, unknown, section);
  if (above !== undefined) return error(what, `indent it, to be a part of ${above}`);
  const timeouts = path[path.length - 1] === "timeouts" ? ownerOfTimeout(unknown) : undefined;
  if (timeouts !== undefined && timeouts !== path[0]) {
    const owner = timeouts === "listeners" ? "a listener" : "an upstream";
    return error(`${quoted(unknown)} belongs to ${owner}`, `write it under ${timeouts}.NAME.timeouts`);
  }
  const near = nearest(unknown, [...known, ...later]);
  const isSlip = near !== undefined && editDistance(unknown.toLowerCase(), near) === 1;
  const below = isSlip ? undefined : holderBelow(path, unknown);
  if (below !== undefined) {
    const place = below.filter((step) => step !== "*").join(".");
    return error(`${quoted(unknown)} belongs to ${ownerOf([...path, ...below])}`, `write it under ${place}`);
  }
  const meant = near ?? synonymOf(unknown, known) ?? meantBy(unknown, [...known, ...later]);
  if (meant !== undefined) return error(what, `did you mean ${quoted(meant)}?`, meant);
  const elsewhere = ENTITIES.find(([entity]) => keysIn(entity).includes(unknown));
  if (elsewhere !== undefined) {
    const [entity, owner] = elsewhere;
    const list = entity.length > 2 ? entity.slice(0, -1) : entity;
    return error(
      `${quoted(unknown)} belongs to ${owner}`,
      `write it under ${list.join(".").replace("*", "NAME")}`,
    );
  }
  if (KEYS.some(({ doc }) => doc.later?.includes(unknown))) {
    return error(`${quoted(unknown)} is ${NOT_SUPPORTED}`, "leave it out");
  }
  return error(what, `the keys here are ${known.join(", ")}`);
}

function laterIn(path: Path): string[] {
  return KEYS.filter((key) => key.path.length === path.length && matches(key.path, path))
    .flatMap((key) => key.doc.later ?? []);
}

/** What others call a key of this place. */
function synonymOf(unknown: string, known: readonly string[]): string | undefined {
  const word = unknown.toLowerCase().replaceAll("_", "-");
  const names = Object.hasOwn(SYNONYMS, word) ? SYNONYMS[word] : [];
  return names.find((name) => known.includes(name));
}

/** The section without a value that the key was to be in, had it been indented. */
function unindentedFrom(path: Path, unknown: string, section: unknown): string | undefined {
  if (typeof section !== "object" || section === null) return undefined;
  const names = Object.keys(section);
  const empty = names.slice(0, names.indexOf(unknown)).findLast((name) =>
    (section as Record<string, unknown>)[name] === null
  );
  if (empty === undefined) return undefined;
  const value = (section as Record<string, unknown>)[unknown];
  const isNamed = keyAt([...path, empty, "NAME"]) !== undefined && typeof value === "object";
  return isNamed || keysIn([...path, empty]).includes(unknown) ? empty : undefined;
}

/** The section below a place that has such a key, the nearest one: its path from there. */
function holderBelow(path: Path, name: string): readonly string[] | undefined {
  const below = KEYS.filter((key) =>
    key.path.length > path.length + 1 && key.path[key.path.length - 1] === name && matches(key.path, path) &&
    (path.length > 0 || !key.path.includes("*"))
  ).sort((a, b) => a.path.length - b.path.length);
  return below[0]?.path.slice(path.length, -1);
}

function ownerOf(section: Path): string {
  const entity = ENTITIES.find(([path]) => path.length === section.length && matches(path, section));
  return entity?.[1] ?? String(section[section.length - 1]);
}

/** The section whose entries have a timeout of that name. */
function ownerOfTimeout(name: string): string | undefined {
  return KEYS.find(({ path: [, , timeouts, key] }) => timeouts === "timeouts" && key === name)?.path[0];
}
