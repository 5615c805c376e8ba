// Lists of a Plan from texts, without a configuration around them.
import type { Guards } from "../../src/plan/guards.ts";
import { makePlan, NO_SIZES } from "../../src/plan/plan.ts";
import { placeGuards } from "../../src/control/config/compile_guards.ts";
import type { NumberedListener } from "../../src/control/config/compile_listeners.ts";
import { checkConfig } from "../../src/control/config/check.ts";
import { encodeAddress, ipAddress } from "../../src/control/config/address.ts";
import { readList } from "../../src/control/config/list_entries.ts";

/** The guards of listeners 1, 2, ... each with these keys; files of lists by their paths. */
export function guardsOf(
  listeners: readonly Readonly<Record<string, unknown>>[],
  files: Readonly<Record<string, string>> = {},
): Guards {
  const names = listeners.map((_, at) => `l${at}`);
  const read = (path: string): Uint8Array => new TextEncoder().encode(files[path]);
  const { config, findings } = checkConfig({
    listeners: Object.fromEntries(
      names.map((name, at) => [name, { bind: `tcp://:${at + 1}`, to: "u", ...listeners[at] }]),
    ),
    upstreams: { u: { servers: ["10.0.0.1:1"] } },
  }, { env: {}, uid: 0, disk: { read, list: () => [] } });
  if (config === undefined) throw new Error(findings.map(({ what }) => what).join("\n"));
  const lists = new Map(
    Object.entries(files).map(([path, text]) => {
      const entries = readList(text);
      if ("flaws" in entries) throw new Error(entries.flaws[0].what);
      return [path, entries];
    }),
  );
  const numbered = names.map((name, at): NumberedListener => ({
    number: at + 1,
    name,
    configured: config.listeners[name],
    port: at + 1,
    profile: 0,
    leaves: false,
  }));
  const placed = placeGuards(numbered, lists, (name) => names.indexOf(name) + 1);
  const { guards } = makePlan(1, { ...NO_SIZES, listeners: names.length + 1, guards: placed.sizes });
  placed.fill(guards);
  return guards;
}

/** The peer record of an address; "unix" is who comes through a unix socket. */
export function recordOf(ip: string): Uint8Array {
  if (ip === "unix") return Uint8Array.from([1, ...Array(23).fill(0)]);
  const address = ipAddress(ip, 40_000);
  if (address === undefined) throw new Error(`${ip} is no address`);
  return encodeAddress(address).slice(0, 24);
}
