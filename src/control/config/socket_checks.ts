// What goes together in settings of sockets. A key that would change nothing is refused: whoever wrote it expects
// something of it. Whether this machine can do it is tried elsewhere (control/sockets.ts).
import { addressText } from "./address.ts";
import { quoted } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import type { Config } from "./schema.ts";

/** What a unix listener's file has, and what is about addresses of IP. */
const FILE_KEYS = ["mode", "user", "group"];
const NOT_FILE_KEYS = [
  "defer-accept",
  "fast-open",
  "keep-alive",
  "user-timeout",
  "nodelay",
  "interface",
  "mptcp",
  "transparent",
  "v6only",
];

/** `raw` is what `config` was made of: it tells what somebody wrote. */
export function checkSockets(config: Config, raw: unknown): Finding[] {
  return [
    ...Object.entries(config.listeners).flatMap(([name, listener]) => ofListener(name, listener, raw)),
    ...Object.entries(config.upstreams).flatMap(([name, upstream]) => ofUpstream(name, upstream, raw)),
  ];
}

function error(path: Path, what: string, remedy = "leave it out"): Finding {
  return { path, what, remedy, severity: "error" };
}

function written(raw: unknown, base: Path, keys: readonly string[], what: string): Finding[] {
  return keys.map((key) => [...base, key]).filter((path) => valueAt(raw, path) !== undefined)
    .map((path) => error(path, what));
}

function ofListener(name: string, { bind, socket }: Config["listeners"][string], raw: unknown): Finding[] {
  const path = ["listeners", name, "socket"];
  const unix = bind.filter(({ address }) => address.kind === "unix").length;
  const six = bind.some(({ address }) =>
    address.kind === "name" || (address.kind === "ip" && address.family === 6)
  );
  return [
    ...(unix === 0 ? written(raw, path, FILE_KEYS, "only unix: has it") : []),
    ...(unix === bind.length ? written(raw, path, NOT_FILE_KEYS, "unix: does not have it") : []),
    ...(socket.v6only === true && unix < bind.length && !six
      ? [error([...path, "v6only"], "the listener has no address of IPv6")]
      : []),
  ];
}

function ofUpstream(
  name: string,
  { servers, source, "keep-alive": kept }: Config["upstreams"][string],
  raw: unknown,
): Finding[] {
  const path = ["upstreams", name];
  const findings: Finding[] = [];
  if (servers.every(({ address }) => address.kind === "unix")) {
    findings.push(
      ...written(raw, path, ["source"], "unix: does not have it"),
      ...written(raw, [...path, "socket"], [...NOT_FILE_KEYS], "unix: does not have it"),
    );
  }
  if (source === "client" && kept["max-idle"] > 0) {
    findings.push(
      ...written(
        raw,
        path,
        ["keep-alive"],
        "with source: client no connection is kept, each is of one client",
      ),
    );
  }
  if (source === undefined || source === "client") return findings;
  servers.forEach(({ address }, at) => {
    if (address.kind !== "ip" || address.family === source.family) return;
    const what = `${
      quoted(addressText(address))
    } is not to be reached from ${source.ip}, which is IPv${source.family}`;
    findings.push(error([...path, "servers", at], what, "put it into an upstream of its own"));
  });
  return findings;
}
