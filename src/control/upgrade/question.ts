// What is asked by POST /upgrade.
import { type ConfigProblem, shown } from "../config/errors.ts";

/** Reads `{ "path": "/usr/local/bin/sluice" }`, or `{}`. */
export function readUpgradeQuestion(text: string): { path?: string } | { problems: ConfigProblem[] } {
  const form = 'write { "path": "/PATH/OF/sluice" }, or {} for the executable that it was started as';
  const problem = (where: string, what: string): { problems: ConfigProblem[] } => ({
    problems: [{ where, what, remedy: form, severity: "error" }],
  });
  let asked: unknown;
  try {
    asked = JSON.parse(text);
  } catch {
    return problem("", "no JSON");
  }
  if (typeof asked !== "object" || asked === null || Array.isArray(asked)) return problem("", "no object");
  const { path, ...others } = asked as Record<string, unknown>;
  const [other] = Object.keys(others);
  if (other !== undefined) return problem(shown(other), "unknown key");
  if (path === undefined) return {};
  if (typeof path !== "string" || !path.startsWith("/") || path.includes("\0")) {
    return problem("path", "no absolute path");
  }
  return { path };
}
