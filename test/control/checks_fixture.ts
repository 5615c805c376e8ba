// What the checks of the fixture's servers expect, as a configuration says it.
import type { Expectation } from "../../src/control/config/escapes.ts";
import type { HttpCheck } from "../../src/control/config/http_check.ts";
import type { StatusRange } from "../../src/control/config/http_values.ts";
import type { Directory, ProbeEntry } from "../../src/control/directory.ts";

/** Has a check of the directory expect this. */
export function expectOf(directory: Directory, probe: number, check: ProbeEntry["check"]): void {
  const entry = directory.probes.get(probe);
  if (entry === undefined) throw new Error(`no check ${probe}`);
  directory.probes.set(probe, { ...entry, check });
}

/** A check by HTTP that is content with these. */
export function asks(...statuses: StatusRange[]): HttpCheck {
  return { method: "GET", target: "/up", host: undefined, header: {}, statuses };
}

export function text(expected: string): Expectation {
  return { kind: "text", bytes: new TextEncoder().encode(expected) };
}

export function pattern(source: string): Expectation {
  return { kind: "pattern", source: new TextEncoder().encode(source) };
}
