// Regular expressions compiled by PCRE2 into the store of the process (ffi/pattern.c). Each source is
// compiled once and kept for as long as a generation of the Plan has it.
import { ARENA_SCRATCH, PROBE_TEXT_BYTES_MAX } from "../base/limits.ts";
import { arenaBytes, sys } from "../sys/sys.ts";
import { EINVAL, errnoName } from "../sys/errno.ts";
import type { Finding, Path } from "./config/finding.ts";
import type { Config } from "./config/schema.ts";

interface Compiled {
  readonly number: number;
  /** The last one that has it. */
  generation: number;
}

const known = new Map<string, Compiled>();
const ERROR_AT = ARENA_SCRATCH + PROBE_TEXT_BYTES_MAX;

/** The compiled expression; or where and why PCRE2 refuses it (offset in bytes). */
export function compilePattern(source: Uint8Array): Compiled | { offset: number; why: string } {
  const key = new TextDecoder("latin1").decode(source), compiled = known.get(key);
  if (compiled !== undefined) return compiled;
  arenaBytes.set(source, ARENA_SCRATCH);
  const number = sys.pattern_compile(ARENA_SCRATCH, source.length, ERROR_AT);
  if (number > 0) {
    const compiled = { number, generation: 0 };
    known.set(key, compiled);
    return compiled;
  }
  const end = arenaBytes.indexOf(0, ERROR_AT + 4);
  const why = new TextDecoder("latin1").decode(arenaBytes.slice(ERROR_AT + 4, end));
  const offset = new DataView(arenaBytes.buffer, arenaBytes.byteOffset).getInt32(ERROR_AT, true);
  return number === -EINVAL ? { offset, why } : { offset: 0, why: errnoName(-number) };
}

/** An expression that compiled when the configuration was checked. */
function compiledPattern(source: Uint8Array): Compiled {
  const compiled = compilePattern(source);
  if (!("number" in compiled)) throw new Error("patterns: an expression that compiled does not any more");
  return compiled;
}

export function patternNumber(source: Uint8Array): number {
  return compiledPattern(source).number;
}

/** The same for a generation of the Plan: it has them until a later one has not, and nobody works by it. */
export function patternOf(generation: number): (source: Uint8Array) => number {
  return (source) => {
    const compiled = compiledPattern(source);
    compiled.generation = generation;
    return compiled.number;
  };
}

/** Frees those that no generation from `oldest` on has. */
export function releasePatterns(oldest: number): void {
  for (const [key, { number, generation }] of known) {
    if (generation >= oldest) continue;
    sys.pattern_free(number);
    known.delete(key);
  }
}

/** What is wrong with the expressions of a configuration. All others are compiled then. */
export function patternFindings(config: Config): Finding[] {
  return [...patternsOf(config)].flatMap(({ path, source }): Finding[] => {
    const compiled = compilePattern(source);
    if ("number" in compiled) return [];
    const what = `at byte ${compiled.offset} of the expression: ${compiled.why}`;
    return [{ path, what, remedy: "mend it there; see pcre2pattern(3)", severity: "error" }];
  });
}

function* patternsOf(config: Config): Generator<{ path: Path; source: Uint8Array }> {
  for (const [name, { health }] of Object.entries(config.upstreams)) {
    if (health === "off" || health.expect?.kind !== "pattern") continue;
    const key = health.http === undefined ? "expect" : "body";
    yield { path: ["upstreams", name, "health", key], source: health.expect.source };
  }
  for (const [name, { routes }] of Object.entries(config.listeners)) {
    for (const [at, { match: { path } }] of routes.entries()) {
      if (path?.kind !== "regex") continue;
      const place = ["listeners", name, "routes", at, "match", "path", "regex"];
      yield { path: place, source: new TextEncoder().encode(path.source) };
    }
  }
}
