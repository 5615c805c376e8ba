// What changes something is asked by a small object of JSON: here it is read. What is wrong is told all at once.
import { type ConfigProblem, didYouMean, quoted, shown } from "./config/errors.ts";
import { SERVER_WEIGHT } from "./config/address.ts";
import { FILTERS } from "./connections/columns.ts";
import { readId } from "./connections/tags.ts";
import { type Level, LEVELS } from "./log.ts";
import type { ServerChange, ServersMeant } from "./overrides.ts";
import type { Given } from "./parameters.ts";

type Problems = { readonly problems: readonly ConfigProblem[] };

/** The keys of an object as they are taken out of it. */
class Asked {
  readonly problems: ConfigProblem[] = [];
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #form: string;

  /** @param form how the whole is written, for whoever got it wrong */
  constructor(text: string, keys: readonly string[], form: string) {
    this.#form = form;
    this.#values = this.#read(text);
    for (const key of Object.keys(this.#values)) {
      if (!keys.includes(key)) this.error(shown(key), "unknown key", didYouMean(key, keys, form));
    }
  }

  error(where: string, what: string, remedy: string = this.#form): void {
    this.problems.push({ where, what, remedy, severity: "error" });
  }

  text(key: string, isNeeded: boolean): string | undefined {
    const value = this.#values[key];
    if (value === undefined && !isNeeded) return undefined;
    if (typeof value === "string" && value !== "") return value;
    this.error(key, "no text");
    return undefined;
  }

  flag(key: string): boolean {
    const value = this.#values[key] ?? false;
    if (typeof value !== "boolean") this.error(key, "neither true nor false");
    return value === true;
  }

  /** One text or several; none if it is not there. */
  texts(key: string): string[] {
    const value = this.#values[key] ?? [], all = Array.isArray(value) ? value : [value];
    if (all.every((each) => typeof each === "string")) return all;
    this.error(key, "neither a text nor a list of texts");
    return [];
  }

  get(key: string): unknown {
    return this.#values[key];
  }

  /** What was made of it, if nothing was wrong. */
  done<T extends object>(made: () => T): T | Problems {
    return this.problems.length > 0 ? { problems: this.problems } : made();
  }

  #read(text: string): Readonly<Record<string, unknown>> {
    try {
      const asked: unknown = JSON.parse(text);
      if (typeof asked === "object" && asked !== null && !Array.isArray(asked)) {
        return asked as Record<string, unknown>;
      }
      this.error("", "no object");
    } catch {
      this.error("", "no JSON");
    }
    return {};
  }
}

export interface ServerQuestion {
  readonly meant: ServersMeant;
  readonly change: ServerChange;
}

/** Of /drain, /disable, /enable and /weight. */
export function readServerQuestion(kind: ServerChange["kind"], text: string): ServerQuestion | Problems {
  const more = kind === "drain" ? ', "undo": true' : kind === "weight" ? ', "weight": 5' : "";
  const optional = kind === "drain" ? "the last two if wanted" : "the upstream if wanted";
  const form = `write { "server": "10.0.0.1:80", "upstream": "NAME"${more} }, ${optional}`;
  const own = kind === "drain" ? ["undo"] : kind === "weight" ? ["weight"] : [];
  const asked = new Asked(text, ["server", "upstream", ...own], form);
  if (asked.problems.length > 0) return { problems: asked.problems };
  const server = asked.text("server", true), upstream = asked.text("upstream", false);
  const change = changeOf(kind, asked);
  return asked.done(() => ({ meant: { server: server!, upstream }, change: change! }));
}

function changeOf(kind: ServerChange["kind"], asked: Asked): ServerChange | undefined {
  switch (kind) {
    case "drain":
      return { kind, undo: asked.flag("undo") };
    case "weight":
      return { kind, weight: weightOf(asked) };
    default:
      return { kind };
  }
}

/** Undefined: as configured. */
function weightOf(asked: Asked): number | undefined {
  const value = asked.get("weight"), { min, max } = SERVER_WEIGHT;
  if (value === null) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
  asked.error(
    "weight",
    `no whole number from ${min} to ${max}`,
    `write one of them, or null for the configured one`,
  );
  return undefined;
}

/** Connections to be closed: named ones, all that filters let through, or all. */
export interface CloseQuestion {
  readonly ids: readonly string[];
  readonly filters: readonly Given[];
}

export function readCloseQuestion(text: string): CloseQuestion | Problems {
  const asked = new Asked(
    text,
    ["connections", "all", ...FILTERS],
    'write { "connections": ["ID", ...] }, filters such as { "listener": "web" }, or { "all": true }',
  );
  if (asked.problems.length > 0) return { problems: asked.problems };
  const ids = asked.texts("connections"), isAll = asked.flag("all");
  const filters = FILTERS.flatMap((filter) => asked.texts(filter).map((value): Given => [filter, value]));
  const wrong = ids.find((id) => readId(id) === undefined);
  if (wrong !== undefined) {
    asked.error("connections", `${quoted(wrong)} is no connection's id`, "sluice connections lists them");
  }
  const ways = [ids.length > 0, filters.length > 0, isAll].filter((way) => way).length;
  if (asked.problems.length === 0 && ways === 0) asked.error("", "nothing says which connections");
  if (ways > 1) asked.error("", "ids, filters and all exclude each other", "give one of the three");
  return asked.done(() => ({ ids, filters }));
}

/** Undefined: as configured. */
export function readLevelQuestion(text: string): { readonly level: Level | undefined } | Problems {
  const asked = new Asked(text, ["level"], 'write { "level": "debug" }, or null for the configured one');
  if (asked.problems.length > 0) return { problems: asked.problems };
  const value = asked.get("level"), level = LEVELS.find((known) => known === value);
  if (level === undefined && value !== null) {
    const word = typeof value === "string" ? value : "";
    const otherwise = `write one of ${LEVELS.join(", ")}, or null for the configured one`;
    asked.error(
      "level",
      word === "" ? "no text" : `no level ${quoted(word)}`,
      didYouMean(word, LEVELS, otherwise),
    );
  }
  return asked.done(() => ({ level }));
}

/** The executable of an upgrade; undefined: the one that the process was started as. */
export function readUpgradeQuestion(text: string): { readonly path: string | undefined } | Problems {
  const form = 'write { "path": "/PATH/OF/sluice" }, or {} for the executable that it was started as';
  const asked = new Asked(text, ["path"], form);
  if (asked.problems.length > 0) return { problems: asked.problems };
  const path = asked.get("path");
  if (path === undefined) return { path };
  if (typeof path === "string" && path.startsWith("/") && !path.includes("\0")) return { path };
  asked.error("path", "no absolute path");
  return { problems: asked.problems };
}
