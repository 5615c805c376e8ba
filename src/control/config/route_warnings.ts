// What is odd about a route but possible: it does something, and hardly what was meant.
import { PathKind } from "../../plan/routing.ts";
import { quoted, shown } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import { decodedText, type PathSpec, readRoutePath } from "./route_paths.ts";
import type { Route } from "./route_schema.ts";
import { latin1 } from "./route_tables.ts";
import type { HeaderEdits } from "./routes.ts";

/** `route` without errors, at `base`; `raw` is what the configuration was made of. */
export function routeWarnings(route: Route, base: Path, raw: unknown): Finding[] {
  const { match, rewrite, headers } = route;
  return [
    ...ofStar([...base, "match", "path"], raw),
    ...ofColon([...base, "match", "path"], raw),
    ...ofStripPrefix(match.path ?? { kind: "any" }, rewrite["strip-prefix"], [
      ...base,
      "rewrite",
      "strip-prefix",
    ]),
    ...ofEdits(headers.request, [...base, "headers", "request"], raw),
    ...ofEdits(headers.response, [...base, "headers", "response"], raw),
  ];
}

function warning(path: Path, what: string, remedy: string): Finding {
  return { path, what, remedy, severity: "warning" };
}

/** A star at the end means a prefix elsewhere. Whoever writes exact means it. */
function ofStar(path: Path, raw: unknown): Finding[] {
  for (const place of [path, [...path, "prefix"]]) {
    const text = valueAt(raw, place);
    if (typeof text !== "string" || !text.endsWith("/*")) continue;
    return [
      warning(
        place,
        `the star in ${quoted(text)} stands for itself`,
        `write ${shown(text.slice(0, -1))} for a prefix`,
      ),
    ];
  }
  return [];
}

/** A segment that begins with a colon is a named part elsewhere. */
function ofColon(path: Path, raw: unknown): Finding[] {
  const text = valueAt(raw, path);
  if (typeof text !== "string" || !/\/:[A-Za-z]/.test(text)) return [];
  const meant = text.replace(/\/:([A-Za-z][A-Za-z0-9_-]*)/g, "/{$1}");
  return [
    warning(
      path,
      `the colon in ${quoted(text)} stands for itself`,
      `write ${quoted(meant)} for a named part`,
    ),
  ];
}

/** Prefixes are stripped at whole segments (policy/template.ts). */
function ofStripPrefix(spec: PathSpec, stripPrefix: string | undefined, path: Path): Finding[] {
  const stripped = stripPrefix === undefined ? undefined : decodedText(stripPrefix);
  const taken = readRoutePath(spec);
  if (stripped === undefined || !stripped.ok || !taken.ok) return [];
  const strip = withSlash(latin1(stripped.value)), { kind, text } = taken.value, begins = latin1(text);
  if (kind === PathKind.Any || kind === PathKind.Regex) return [];
  const whole = kind === PathKind.Pattern ? begins : withSlash(begins);
  // What is longer than the text that all paths begin with may still be the beginning of some.
  if (whole.startsWith(strip) || (kind !== PathKind.Exact && strip.startsWith(whole))) return [];
  return [
    warning(
      path,
      `no path that the route takes begins with ${quoted(stripPrefix ?? "")}`,
      "write what its match.path begins with, at whole segments",
    ),
  ];
}

function withSlash(text: string): string {
  return text.endsWith("/") ? text : `${text}/`;
}

/** To set a field removes those of its name. */
function ofEdits({ set, remove }: HeaderEdits, base: Path, raw: unknown): Finding[] {
  const names = new Set(Object.keys(set).map((name) => name.toLowerCase()));
  return remove.flatMap((name, at) => {
    if (!names.has(name.toLowerCase())) return [];
    const isList = Array.isArray(valueAt(raw, [...base, "remove"]));
    const path = [...base, "remove", ...(isList ? [at] : [])];
    return [
      warning(path, `${quoted(name)} is set as well, and has that value alone`, "leave one of them out"),
    ];
  });
}
