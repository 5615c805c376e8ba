// `sluice doctor`: what of this machine limits Sluice, in numbers, and the command that changes it. With a
// file, what that file asks of it.
import process from "node:process";
import { shown } from "../config/errors.ts";
import { parseFlags } from "../config/flags.ts";
import { parseRun } from "../config/run.ts";
import type { Config } from "../config/schema.ts";
import type { VerbArguments } from "../config/verbs.ts";
import type { Check } from "../doctor/check.ts";
import { clockChecks } from "../doctor/clock.ts";
import { descriptorChecks } from "../doctor/descriptors.ts";
import { kernelChecks } from "../doctor/kernel.ts";
import { type Load, loadOf } from "../doctor/load.ts";
import { type Machine, thisMachine } from "../doctor/machine.ts";
import { memoryChecks } from "../doctor/memory.ts";
import { nameChecks } from "../doctor/names.ts";
import { reportJson, reportText } from "../doctor/report.ts";
import { rightChecks } from "../doctor/rights.ts";
import { serviceChecks } from "../doctor/service.ts";
import { socketChecks } from "../doctor/sockets.ts";
import { tlsChecks } from "../doctor/tls.ts";
import { inColour, refused, type Said, said, saidNo } from "./said.ts";

/** Every check, in the order of the report. */
export async function checksOf(machine: Machine, load: Load): Promise<Check[]> {
  return [
    ...kernelChecks(machine, load),
    ...descriptorChecks(machine, load),
    ...socketChecks(machine, load),
    ...memoryChecks(machine, load),
    ...clockChecks(machine),
    ...await nameChecks(machine, load),
    ...tlsChecks(machine, load),
    ...rightChecks(machine, load),
    ...serviceChecks(machine),
  ];
}

/**
 * Looks at this machine. Status 1 when something fails, 2 for a bad command line or file; else 0.
 * @param library where the C library is; throws when there is no way to have one
 */
export async function doctor({ values, rest }: VerbArguments, library: () => string): Promise<Said> {
  if (rest.length > 0) {
    const remedy = "write sluice doctor, or sluice doctor -c FILE";
    return saidNo({ where: shown(rest[0]), what: "neither a flag nor a file", remedy });
  }
  const file = values.get("--config")?.[0];
  const parsed = file === undefined ? undefined : parseRun(["doctor", "-c", file]);
  if (parsed !== undefined && "problems" in parsed) {
    return refused(parsed.problems);
  }
  const machine = await thisMachine(library);
  const load = loadOf(parsed?.config ?? configOfDefaults(), parsed !== undefined, machine);
  const checks = await checksOf(machine, load);
  const colour = inColour(process.stdout);
  const json = values.get("--format")?.[0] === "json";
  const status = checks.some(({ verdict }) => verdict === "fail") ? 1 : 0;
  return said(json ? reportJson(checks) : reportText(checks, colour), status);
}

/** What Sluice works by if nobody says otherwise: one listener, one server. */
export function configOfDefaults(): Config {
  const parsed = parseFlags(["tcp://:0=127.0.0.1:1"], process.env);
  if ("problems" in parsed) throw new Error(`doctor: its own flags are refused: ${parsed.problems[0].what}`);
  return parsed.config;
}
