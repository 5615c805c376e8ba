// Where the running process is asked, as the flags of a verb say it: --admin, else the file of -c, else where it is by
// default; with the token of --admin-token, else of the environment, else of the file.
import { statSync } from "node:fs";
import process from "node:process";
import type { Door } from "../admin_client.ts";
import { defaultAdmin, RUN_DIRECTORY } from "../config/check.ts";
import type { ConfigProblem } from "../config/errors.ts";
import { hereAndNow, parseRun } from "../config/run.ts";
import { type Admin, readAdmin, readToken } from "../config/schema.ts";
import type { VerbArguments } from "../config/verbs.ts";

/** The token, where no flag has it: what is in the environment is in no list of processes. */
export const TOKEN_VARIABLE = "SLUICE_ADMIN_TOKEN";

type Problems = { readonly problems: ConfigProblem[] };

function error(where: string, what: string, remedy: string): Problems {
  return { problems: [{ where, what, remedy, severity: "error" }] };
}

/** A default, or where else a Sluice is by default (one that is no longer root, or that systemd started) if it is the
 * one that was started last: of one that was killed the file is left. */
function found(admin: Admin): Admin {
  const path = `${RUN_DIRECTORY}/sluice.sock`, own = admin.kind === "unix" ? madeAtMs(admin.address.path) : 0;
  if (!admin.byDefault || madeAtMs(path) <= own) return admin;
  return { kind: "unix", address: { kind: "unix", path }, byDefault: true };
}

function madeAtMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

export function doorOf(values: VerbArguments["values"]): Door | Problems {
  const [given] = values.get("--admin") ?? [], [file] = values.get("--config") ?? [];
  const parsed = file === undefined ? undefined : parseRun(["run", "-c", file]);
  if (parsed !== undefined && "problems" in parsed) return parsed;
  const reading = given === undefined ? undefined : readAdmin(given);
  if (reading?.ok === false) return error("--admin", reading.what, reading.remedy);
  const admin = reading?.value ?? found(parsed?.config.admin ?? defaultAdmin(hereAndNow()));
  if (admin.kind === "off") {
    return error(
      given === undefined ? "" : "--admin",
      "no admin API to ask",
      "say where it is: --admin unix:/PATH or http://HOST:PORT",
    );
  }
  const [flag] = values.get("--admin-token") ?? [], variable = process.env[TOKEN_VARIABLE];
  const source = flag !== undefined ? "--admin-token" : TOKEN_VARIABLE, text = flag ?? variable;
  if (text === undefined || text === "") return { admin, token: parsed?.config["admin-token"] };
  const token = readToken(text);
  return token.ok ? { admin, token: token.value } : error(source, token.what, token.remedy);
}
