// DNS: who is asked, and whether the names of the file have addresses.
import { namesOf } from "../discovery.ts";
import { shown } from "../config/errors.ts";
import { counted } from "../config/units.ts";
import type { Check } from "./check.ts";
import type { Load } from "./load.ts";
import type { Machine } from "./machine.ts";

const ANSWER_DEADLINE_MS = 2_000;
/** All are asked at the same time; more than these are not. */
const NAMES_MAX = 256;
const NAMES_TOLD_MAX = 4;
/** An answer that takes longer is told. */
const SLOW_MS = 500;

export async function nameChecks(machine: Machine, { config, given }: Load): Promise<Check[]> {
  const names = given ? [...new Set(namesOf(config))] : [];
  return [servers(machine, names.length > 0), ...(names.length > 0 ? [await answers(machine, names)] : [])];
}

function servers({ read }: Machine, needed: boolean): Check {
  const text = read("/etc/resolv.conf") ?? "";
  const found = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address]) => shown(address));
  return {
    name: "name servers",
    found: found.length === 0 ? "none in /etc/resolv.conf" : found.join(", "),
    verdict: found.length > 0 ? "ok" : needed ? "warn" : "note",
    limits: found.length > 0
      ? "targets that are host names, asked again by their TTL, after 60 s at the latest"
      : "names of the hosts file are found, no others",
    change: [{ when: "for good", command: "echo 'nameserver ADDRESS' >> /etc/resolv.conf" }],
  };
}

interface Asked {
  readonly name: string;
  readonly addresses: number;
  readonly ms: number;
  /** Why it has none. */
  readonly why: string;
}

/** @returns in any case, within the deadline */
async function ask({ addressesOf, monotonicMs }: Machine, name: string): Promise<Asked> {
  const startMs = monotonicMs();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const why = new Error(`no answer within ${ANSWER_DEADLINE_MS / 1_000} s`);
    timer = setTimeout(() => reject(why), ANSWER_DEADLINE_MS);
  });
  try {
    const { length } = await Promise.race([addressesOf(name), late]);
    return { name, addresses: length, ms: monotonicMs() - startMs, why: length === 0 ? "no address" : "" };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { name, addresses: 0, ms: monotonicMs() - startMs, why: shown(code ?? message ?? String(error)) };
  } finally {
    clearTimeout(timer);
  }
}

async function answers(machine: Machine, names: readonly string[]): Promise<Check> {
  const asked = await Promise.all(names.slice(0, NAMES_MAX).map((name) => ask(machine, name)));
  const lost = asked.filter(({ why }) => why !== "");
  const slowest = asked.reduce((one, other) => other.ms > one.ms ? other : one);
  const more = names.length > NAMES_MAX ? ` (of ${names.length}; the others were not asked)` : "";
  const told = lost.slice(0, NAMES_TOLD_MAX).map(({ name, why }) => `${shown(name)}: ${why}`).join("; ");
  const rest = lost.length > NAMES_TOLD_MAX ? `; and ${lost.length - NAMES_TOLD_MAX} more` : "";
  return {
    name: "names of the file",
    found: `${asked.length - lost.length} of ${counted(asked.length, "name")} ` +
      `${asked.length === 1 ? "resolves" : "resolve"}${more}, the slowest, ` +
      `${shown(slowest.name)}, took ${Math.round(slowest.ms)} ms`,
    verdict: lost.length > 0 ? "warn" : slowest.ms > SLOW_MS ? "note" : "ok",
    limits: lost.length > 0
      ? `${told}${rest}. Sluice starts without those servers, and asks again`
      : "the start waits for the first answers, 5 s at most",
    change: lost.length > 0
      ? [{ when: "now", command: `getent ahosts ${shown(lost[0].name)}    # what the system itself finds` }]
      : [],
  };
}
