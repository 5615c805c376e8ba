// What an operator has said, on its way from one process to the next: plain JSON. Whoever reads it may be of another
// version, so what is not understood is left out.
import { SERVER_WEIGHT } from "./config/address.ts";
import { type LevelOverride, LEVELS } from "./log.ts";

/** What is said of one server. */
export interface Kept {
  readonly upstream: string;
  readonly target: string;
  readonly address: string;
  readonly drained: boolean;
  readonly disabled: boolean;
  /** Undefined: as configured. */
  readonly weight: number | undefined;
  /** Configured weights in whose place it is. */
  readonly replaced: readonly number[];
}

export interface SavedOverrides {
  readonly servers: readonly Kept[];
  readonly log: LevelOverride | null;
}

export function readSaved(saved: unknown): SavedOverrides {
  const { servers, log } = objectOf(saved);
  return { servers: Array.isArray(servers) ? servers.flatMap(keptIn) : [], log: levelIn(log) };
}

function keptIn(saved: unknown): Kept[] {
  const { upstream, target, address, drained, disabled, weight, replaced } = objectOf(saved);
  if (typeof upstream !== "string" || typeof target !== "string" || typeof address !== "string") return [];
  const isWeighted = isWeight(weight) && Array.isArray(replaced) && replaced.every(isWeight);
  const kept = {
    upstream,
    target,
    address,
    drained: drained === true,
    disabled: disabled === true,
    weight: isWeighted ? weight : undefined,
    replaced: isWeighted ? replaced : [],
  };
  return kept.drained || kept.disabled || isWeighted ? [kept] : [];
}

function isWeight(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= SERVER_WEIGHT.min &&
    (value as number) <= SERVER_WEIGHT.max;
}

function levelIn(saved: unknown): LevelOverride | null {
  const { level, replaced } = objectOf(saved);
  const set = LEVELS.find((known) => known === level), before = LEVELS.find((known) => known === replaced);
  return set === undefined || before === undefined ? null : { level: set, replaced: before };
}

function objectOf(saved: unknown): Readonly<Record<string, unknown>> {
  return typeof saved === "object" && saved !== null ? saved as Record<string, unknown> : {};
}
