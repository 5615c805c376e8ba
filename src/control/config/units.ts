// Quantities as people write them: durations, sizes, rates and counts. Strict: whole numbers, one
// spelling for each unit, no spaces, and a range for each use; a number without its unit is refused,
// because seconds and milliseconds are mistaken for one another too easily.
import { quoted, type Reading, refused, taken } from "./errors.ts";

/** Inclusive, in the unit the reader returns. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** So many (events or bytes) in each window. */
export interface Rate {
  readonly amount: number;
  readonly windowMs: number;
}

type Units = Readonly<Record<string, number>>;

const DURATION_MS: Units = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
const SIZE_BYTES: Units = {
  TiB: 2 ** 40,
  GiB: 2 ** 30,
  MiB: 2 ** 20,
  KiB: 2 ** 10,
  TB: 1e12,
  GB: 1e9,
  MB: 1e6,
  kB: 1e3,
  B: 1,
};
const WINDOW_MS: Units = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Longer texts are no quantity; refused before anything looks closer. */
const TEXT_CHARACTERS_MAX = 32;

/**
 * Reads a duration: `500ms`, `2s`, `1m30s`, `1h`, `2d`; units d h m s ms, each at most once, largest
 * first. @returns milliseconds within `range`, or an error that says what was expected.
 */
export function readDuration(text: string, range: Range): Reading<number> {
  const expected = "write a duration such as 500ms, 2s, 1m30s, 1h";
  if (text.length > TEXT_CHARACTERS_MAX) return refused(`${quoted(text)} is no duration`, expected);
  if (/^[0-9]+$/.test(text)) {
    return noUnit(text, ["s", "ms"], DURATION_MS, range, formatDuration);
  }
  const fraction = fractionOf(text, DURATION_MS);
  if (fraction !== undefined) {
    const whole = formatDuration(Math.round(fraction));
    return refused(`${quoted(text)} is not whole`, `write whole numbers: ${whole}`);
  }
  if (["off", "no", "none", "never"].includes(text)) {
    return range.min === 0 ? refused(`${quoted(text)} is no duration`, "write 0s for none") : refused(
      "it cannot be off",
      `leave it out for its default, or write the longest, ${formatDuration(range.max)}`,
    );
  }
  if (!/^([0-9]+[a-zA-Z]+)+$/.test(text)) {
    const meant = durationMeant(text);
    return refused(`${quoted(text)} is no duration`, meant === undefined ? expected : `write ${meant}`);
  }
  let ms = 0;
  let lastUnitMs = Infinity;
  for (const [, digits, unit] of text.matchAll(/([0-9]+)([a-zA-Z]+)/g)) {
    const unitMs = unitOf(DURATION_MS, unit);
    if (unitMs === undefined) {
      const meant = durationMeant(text);
      const remedy = meant === undefined ? "the units are d h m s ms" : `write ${meant}`;
      return refused(`${quoted(text)} has an unknown unit ${quoted(unit)}`, remedy);
    }
    if (unitMs >= lastUnitMs) {
      return refused(
        `${quoted(text)} has its units out of order`,
        "write the larger unit first, each once: 1m30s",
      );
    }
    lastUnitMs = unitMs;
    ms += Number(digits) * unitMs;
  }
  return within(text, ms, range, formatDuration);
}

/**
 * Reads a size: `64KiB`, `10MiB`, `10kB`, `512B`; powers of 1024 are KiB MiB GiB TiB, powers of 1000
 * kB MB GB TB. @returns bytes within `range`, or an error that says what was expected.
 */
export function readSize(text: string, range: Range): Reading<number> {
  if (text.length <= TEXT_CHARACTERS_MAX && /^[0-9]+$/.test(text)) {
    return noUnit(text, ["B", "KiB"], SIZE_BYTES, range, formatSize);
  }
  if (["off", "no", "none", "unlimited"].includes(text)) {
    return refused(`${quoted(text)} is no size`, "leave it out for no limit");
  }
  const bytes = sizeBytes(text);
  return bytes.ok ? within(text, bytes.value, range, formatSize) : bytes;
}

/**
 * Reads a rate of events: `100/s`, `20/m`, `10000/d`; windows s m h d.
 * @returns the amount within `range` and its window in milliseconds, or what was expected.
 */
export function readRate(text: string, range: Range): Reading<Rate> {
  return rate(text, "100/s or 20/m", (amount) => readCount(amount, range));
}

/**
 * Reads a rate of bytes: `10MiB/s`, `1GB/h`.
 * @returns the bytes and their window in milliseconds, bytes per second within `range`; or what was expected.
 */
export function readByteRate(text: string, range: Range): Reading<Rate> {
  const meant = byteRateMeant(text);
  if (meant !== undefined) return refused(`${quoted(text)} is no rate of bytes`, `write ${meant}`);
  if (["off", "no", "none", "unlimited"].includes(text)) {
    return refused(`${quoted(text)} is no rate`, "leave it out for no limit");
  }
  const reading = rate(text, "10MiB/s or 500kB/s", (amount) => {
    const size = readSize(amount, ANY_SIZE);
    // What is said of a size holds for the whole.
    return size.ok ? size : refused(size.what, size.remedy.replace(/(\d[kKMGT]?i?B)\b/g, "$1/s"));
  });
  if (!reading.ok) return readSize(text, ANY_SIZE).ok ? refused(reading.what, `write ${text}/s`) : reading;
  const { amount, windowMs } = reading.value;
  const inRange = within(text, amount * SECOND_MS / windowMs, range, (bytes) => `${formatSize(bytes)}/s`);
  return inRange.ok ? reading : inRange;
}

const SECOND_MS = 1_000;
const ANY_SIZE: Range = { min: 0, max: Infinity };

/** Networks are sold in bits: `10Mbit/s`, `1Gbps`, as bytes. */
function byteRateMeant(text: string): string | undefined {
  const [, digits, prefix, , window] =
    /^([0-9]{1,9})([kKMG]?)(bit|bits|b|bps)(?:\/?(s|sec)|ps)?$/.exec(text) ?? [];
  if (digits === undefined || (window === undefined && !text.endsWith("ps") && !text.endsWith("it"))) {
    return undefined;
  }
  const bits = Number(digits) * { "": 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9 }[prefix]!;
  return `${formatSize(Math.ceil(bits / 8))}/s`;
}

/** Reads a count: decimal digits only. @returns a whole number within `range`, or what was expected. */
export function readCount(text: string | number, range: Range): Reading<number> {
  const digits = String(text);
  if (/^-[0-9]+$/.test(digits)) return within(digits, -1, range, String);
  if (!/^[0-9]+$/.test(digits)) {
    const [, plain, thousands] = /^([0-9][0-9_,']{0,31})(k?)$/i.exec(digits) ?? [];
    const meant = Number(plain?.replace(/[_,']/g, "")) * (thousands === "" ? 1 : 1_000);
    const isGood = meant >= range.min && meant <= range.max;
    const form = isGood ? String(meant) : `a number from ${range.min} to ${range.max}`;
    return refused(`${quoted(digits)} is no whole number`, `write ${form}`);
  }
  if (digits.length > 1 && digits[0] === "0") {
    return refused(`${quoted(digits)} begins with 0`, "write the number without leading zeros");
  }
  return within(digits, Number(digits), range, String);
}

/** Reads a share: `10%`, `0.5%`. @returns a number from 0 to 1, or what was expected. */
export function readShare(text: string): Reading<number> {
  const expected = "write a share such as 10% or 0.5%";
  if (text.length > TEXT_CHARACTERS_MAX) return refused(`${quoted(text)} is no share`, expected);
  if (/^[0-9]+(\.[0-9]+)?$/.test(text)) return refused(`${quoted(text)} has no unit`, `write ${text}%`);
  if (!/^[0-9]+(\.[0-9]+)?%$/.test(text)) return refused(`${quoted(text)} is no share`, expected);
  const percent = Number(text.slice(0, -1));
  if (percent > 100) return refused(`${quoted(text)} is too large`, "write a share from 0% to 100%");
  return taken(percent / 100);
}

/** `ms` as `readDuration` reads it: 90000 is `1m30s`, 0 is `0s`. `ms` must be a whole number >= 0. */
export function formatDuration(ms: number): string {
  let text = "";
  let rest = ms;
  for (const [unit, unitMs] of Object.entries(DURATION_MS)) {
    const count = Math.floor(rest / unitMs);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * unitMs;
  }
  return text === "" ? "0s" : text;
}

/** `1 connection`, `2 connections`: a number and what it counts, a noun whose plural takes an s. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** `bytes` as `readSize` reads it, in the largest unit of 1024 (else of 1000) that leaves no fraction. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return "0B";
  for (const [unit, unitBytes] of Object.entries(SIZE_BYTES)) {
    if (bytes % unitBytes === 0) return `${bytes / unitBytes}${unit}`;
  }
  return `${bytes}B`;
}

/** Units as some people write them. */
const UNITS_MEANT: Readonly<Record<string, string>> = {
  day: "d",
  hour: "h",
  hr: "h",
  min: "m",
  minute: "m",
  msec: "ms",
  millisecond: "ms",
  sec: "s",
  second: "s",
};

/** `3 seconds`, `1 h`, `30S`, `1m30` as they should be; undefined if that is not clear. */
function durationMeant(text: string): string | undefined {
  const told = text.toLowerCase().replace(/([0-9]) +([a-z])/g, "$1$2").replace(/([a-z]) +([0-9])/g, "$1$2");
  if (/^[0-9]+m[0-9]+$/.test(told)) return `${told}s`;
  if (!/^([0-9]+[a-z]+)+$/.test(told)) return undefined;
  const units = [...told.matchAll(/([0-9]+)([a-z]+)/g)].map(([, digits, unit]) => {
    const known = unitOf(DURATION_MS, unit) === undefined ? UNITS_MEANT[unit.replace(/s$/, "")] : unit;
    return known === undefined ? undefined : digits + known;
  });
  return units.includes(undefined) ? undefined : units.join("");
}

/** The value of `1.5s`, in the unit of the table; undefined if it is no fraction. */
function fractionOf(text: string, units: Units): number | undefined {
  const [, whole, part, unit] = /^([0-9]{1,9})[.,]([0-9]{1,9})([a-zA-Z]+)$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : unitOf(units, unit);
  return factor === undefined ? undefined : Number(`${whole}.${part}`) * factor;
}

function unitOf(units: Units, unit: string): number | undefined {
  return Object.hasOwn(units, unit) ? units[unit] : undefined;
}

function sizeBytes(text: string): Reading<number> {
  const expected = "write a size such as 512B, 64KiB, 10MiB, 10kB";
  const match = text.length > TEXT_CHARACTERS_MAX ? null : /^([0-9]+)([a-zA-Z]+)$/.exec(text);
  if (match === null) {
    const fraction = fractionOf(text, SIZE_BYTES);
    return fraction === undefined ? refused(`${quoted(text)} is no size`, expected) : refused(
      `${quoted(text)} is not whole`,
      `write whole numbers: ${formatSize(Math.round(fraction))}`,
    );
  }
  const [, digits, unit] = match;
  const unitBytes = unitOf(SIZE_BYTES, unit);
  if (unitBytes === undefined) {
    const meant = Object.keys(SIZE_BYTES).filter((known) => known.toLowerCase() === unit.toLowerCase());
    const prefix = /^[kmgt]$/i.test(unit) ? unit.toUpperCase() : undefined;
    const remedy = prefix !== undefined
      ? `write ${digits}${prefix}iB or ${digits}${prefix.replace("K", "k")}B`
      : meant.length === 0
      ? "the units are B kB MB GB TB KiB MiB GiB TiB"
      : `write ${digits}${meant[0]}`;
    return refused(`${quoted(text)} has an unknown unit ${quoted(unit)}`, remedy);
  }
  return taken(Number(digits) * unitBytes);
}

function rate(text: string, example: string, readAmount: (amount: string) => Reading<number>): Reading<Rate> {
  const parts = text.length > TEXT_CHARACTERS_MAX ? [] : text.split("/");
  if (parts.length !== 2) return refused(`${quoted(text)} is no rate`, `write a rate such as ${example}`);
  const windowMs = unitOf(WINDOW_MS, parts[1]);
  if (windowMs === undefined) {
    return refused(
      `${quoted(text)} has an unknown window ${quoted(parts[1])}`,
      "the windows are /s /m /h /d",
    );
  }
  const amount = readAmount(parts[0]);
  return amount.ok ? taken({ amount: amount.value, windowMs }) : amount;
}

/** A number alone: it is kept where a unit makes a value of it that may be written. */
function noUnit(
  digits: string,
  units: readonly string[],
  table: Units,
  range: Range,
  format: (value: number) => string,
): Reading<never> {
  const values = units.map((unit) => [`${digits}${unit}`, Number(digits) * table[unit]] as const)
    .filter(([, value]) => value >= range.min && value <= range.max);
  const what = `${quoted(digits)} has no unit`;
  if (values.length === 0) {
    return refused(what, `write a value from ${format(range.min)} to ${format(range.max)}`);
  }
  // 1024B is 1KiB, which is what most people mean by it.
  const [first, exact] = values[0], other = format(exact);
  const forms = table === SIZE_BYTES && other !== first ? [first, other] : values.map(([form]) => form);
  return refused(what, `write ${forms.join(" or ")}`);
}

function within(
  text: string,
  value: number,
  range: Range,
  format: (value: number) => string,
): Reading<number> {
  if (value >= range.min && value <= range.max) return taken(value);
  const side = value < range.min ? "too small" : "too large";
  return refused(
    `${quoted(text)} is ${side}`,
    `write a value from ${format(range.min)} to ${format(range.max)}`,
  );
}
