// What holds between the keys of one upstream: its servers beside each other, its checks.
import { SERVERS_PER_UPSTREAM_MAX } from "../../base/limits.ts";
import { targetText } from "./address.ts";
import { quoted } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { serverText } from "./protocols.ts";
import type { Config } from "./schema.ts";
import { formatDuration } from "./units.ts";

type Upstream = Config["upstreams"][string];
type Server = Upstream["servers"][number];

/** `raw` is what `config` was made of. */
export function checkUpstreams({ upstreams }: Config, raw: unknown): Finding[] {
  return Object.entries(upstreams).flatMap(([name, upstream]) => [
    ...checkHealth(name, upstream),
    ...checkCount(name, upstream),
    ...checkTwice(name, upstream),
    ...checkOptions(name, upstream, raw),
  ]);
}

function checkHealth(name: string, { health }: Upstream): Finding[] {
  if (health === "off" || health.timeout <= health.interval) return [];
  return [{
    path: ["upstreams", name, "health", "timeout"],
    orPath: ["upstreams", name, "health", "interval"],
    what: `the timeout of a check, ${formatDuration(health.timeout)}, is longer than its interval, ` +
      formatDuration(health.interval),
    remedy: "a check that hangs delays the next; choose a shorter timeout or a longer interval",
    severity: "warning",
  }];
}

function checkCount(name: string, { servers: { length } }: Upstream): Finding[] {
  if (length <= SERVERS_PER_UPSTREAM_MAX) return [];
  return [{
    path: ["upstreams", name, "servers"],
    what: `${length} servers`,
    remedy: `give at most ${SERVERS_PER_UPSTREAM_MAX}`,
    severity: "error",
  }];
}

function checkTwice(name: string, { servers }: Upstream): Finding[] {
  const findings: Finding[] = [], seen = new Map<string, Server>();
  servers.forEach((server, at) => {
    const text = targetText(server), id = `${server.tls} ${text}`;
    const before = seen.get(id);
    if (before === undefined) {
      seen.set(id, server);
      return;
    }
    findings.push({
      path: ["upstreams", name, "servers", at],
      what: `${quoted(text)} is given twice${whatOf(before, server)}`,
      remedy: before.backup === server.backup
        ? "leave one of them out"
        : "leave one of them out, or write another server as the backup",
      severity: "warning",
    });
  });
  return findings;
}

/** What comes of two that are one server. */
function whatOf(one: Server, other: Server): string {
  if (one.backup !== other.backup) return ", as a server and as its backup: both are down at once";
  const alone = one.backup ? " where backups are used" : "";
  if (one.weight === other.weight) return ` and gets twice the share${alone}`;
  return `, with weights ${one.weight} and ${other.weight}, and gets the share of both${alone}`;
}

const OPTIONS = ["max-connections", "weight", "backup"] as const;

/** What is said behind an address and beside it. */
function checkOptions(name: string, { servers }: Upstream, raw: unknown): Finding[] {
  return servers.flatMap((_, at) => {
    const path: Path = ["upstreams", name, "servers", at];
    const [, ...behind] = serverText(raw, name, at).split(";");
    return OPTIONS.filter((option) =>
      valueAt(raw, [...path, option]) !== undefined && behind.some((text) => text.split("=")[0] === option)
    ).map((option): Finding => ({
      path: [...path, option],
      what: `given twice, here and as ";${option}" behind the address`,
      remedy: "leave one of them out",
      severity: "error",
    }));
  });
}
