// The part of the schema that says where connections go by what their clients' hellos say: the host name, then the
// protocols (ALPN).
import * as z from "zod";
import { quoted } from "./errors.ts";
import type { Path } from "./finding.ts";
import { key } from "./keys.ts";
import { ALPN_MAX, atMost } from "./tls_schema.ts";
import { readProtocol, readSniName } from "./tls_values.ts";

/** Where a connection goes: as it is, or behind the end of TLS. */
export interface SniTarget {
  readonly to: string;
  readonly terminate: boolean;
  /** The protocol that it is for; undefined: any, and none. */
  readonly protocol: string | undefined;
  /** Where it is written, from the name on. */
  readonly path: Path;
}

/** What becomes of one name: the first target whose protocol the client offers, in the order they are written; what
 * is for any protocol comes last. None fits: the connection is refused. */
export type SniChoice = readonly SniTarget[];

/** By `a.example`, `*.b.example` (any depth below) or `default`, which is also for who asks for no name. */
export type SniChoices = Readonly<Record<string, SniChoice>>;

const NAMES_MAX = 16_384;

const terminate = key(z.string(), {
  description: "TLS ends here, by this listener's tls, and the connection goes on to that upstream",
  placeholder: "UPSTREAM",
});

const choice = z.union([
  z.string(),
  z.strictObject({
    terminate: terminate.optional(),
    to: key(z.string().optional(), {
      description: "the upstream that gets the connection as it is",
      placeholder: "UPSTREAM",
    }),
    alpn: key(
      z.record(
        z.string(),
        key(z.union([z.string(), z.strictObject({ terminate })]), {
          description: "where those go that offer this protocol; the first that fits counts",
          placeholder: "UPSTREAM|{ terminate: UPSTREAM }",
        }),
      ).optional(),
      {
        description: "for those who offer one of these protocols (ALPN), before to and terminate",
        placeholder: "PROTOCOL: UPSTREAM",
      },
    ),
  }),
]);

/** Where the names lead that clients ask for. */
export const sni = z.record(
  z.string(),
  key(choice, {
    description:
      "what becomes of connections for one name: exact, *.NAME for any depth below NAME, default " +
      "for all others; with alpn by the protocols that are offered as well",
    placeholder: "UPSTREAM|{ terminate: UPSTREAM }",
  }),
).transform((names, context): SniChoices => {
  const choices = new Map<string, SniChoice>();
  for (const [name, written] of Object.entries(names)) {
    const error = (message: string, remedy: string, path: Path = [], isKey = true): void => {
      context.addIssue({ code: "custom", path: [name, ...path], message, params: { remedy, isKey } });
    };
    const reading = readSniName(name);
    if (!reading.ok) error(`${quoted(name)} ${reading.what}`, reading.remedy);
    else if (choices.has(reading.value)) {
      error(`${quoted(name)} is given twice, in other letters`, "leave one of them out");
    } else choices.set(reading.value, targetsOf(name, written, error));
  }
  atMost(NAMES_MAX)([...choices.keys()], context);
  if (Object.keys(names).length === 0) {
    const params = { remedy: "write NAME: UPSTREAM for each, and default: UPSTREAM" };
    context.addIssue({ code: "custom", message: "no names", params });
  }
  return Object.fromEntries(choices);
});

function targetsOf(
  name: string,
  written: z.output<typeof choice>,
  error: (message: string, remedy: string, path?: Path, isKey?: boolean) => void,
): SniChoice {
  if (typeof written === "string") {
    return [{ to: written, terminate: false, protocol: undefined, path: [name] }];
  }
  const { to, terminate, alpn = {} } = written, protocols = Object.entries(alpn);
  const targets = protocols.map(([protocol, target]): SniTarget => {
    const reading = readProtocol(protocol), path = [name, "alpn", protocol];
    if (!reading.ok) error(reading.what, reading.remedy, path.slice(1));
    return typeof target === "string"
      ? { to: target, terminate: false, protocol, path }
      : { to: target.terminate, terminate: true, protocol, path: [...path, "terminate"] };
  });
  if (protocols.length > ALPN_MAX) {
    error(`${protocols.length} protocols`, `give at most ${ALPN_MAX}`, ["alpn"]);
  }
  if (to !== undefined && terminate !== undefined) {
    error("contradicts terminate, which is for all as well", "leave one of them out", ["to"]);
  } else if (to !== undefined) {
    targets.push({ to, terminate: false, protocol: undefined, path: [name, "to"] });
  } else if (terminate !== undefined) {
    targets.push({ to: terminate, terminate: true, protocol: undefined, path: [name, "terminate"] });
  }
  if (targets.length === 0) error("leads nowhere", "write UPSTREAM, or { terminate: UPSTREAM }", [], false);
  return targets;
}

/** Every target of a listener. */
export function sniTargets({ sni = {} }: { readonly sni?: SniChoices }): SniTarget[] {
  return Object.values(sni).flat();
}

/** The names for which TLS ends here, for some protocol at least. */
export function endedNames({ sni = {} }: { readonly sni?: SniChoices }): string[] {
  return Object.keys(sni).filter((name) => sni[name].some(({ terminate }) => terminate));
}
