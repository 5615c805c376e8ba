// Tables and figures for people: columns as wide as what is in them, quantities with as many digits as a person reads.

export interface Column<T> {
  readonly title: string;
  readonly of: (row: T) => string;
  /** A number: its last digits stand below each other. */
  readonly right?: true;
}

/** Lines, the titles first; columns two spaces apart. */
export function tableLines<T>(columns: readonly Column<T>[], rows: readonly T[]): string[] {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ of }) => of(row)))];
  const widths = columns.map((_, at) => cells.reduce((most, line) => Math.max(most, line[at].length), 0));
  return cells.map((line) =>
    line.map((cell, at) => columns[at].right ? cell.padStart(widths[at]) : cell.padEnd(widths[at])).join("  ")
      .trimEnd()
  );
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `0 B`, `512 B`, `1.5 KiB`, `12 MiB`: two digits, or three before the point. */
export function bytesText(bytes: number): string {
  let value = bytes, unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1_024;
    unit++;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Bytes in a second; `-` where that is not known. */
export function rateText(bytes: number | undefined): string {
  return bytes === undefined ? "-" : `${bytesText(bytes)}/s`;
}

/** `0.3s`, `12s`, `3m20s`, `5h10m`, `4d3h`: the two largest units. */
export function ageText(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3_600) return two(whole, 60, "m", 1, "s");
  return whole < 86_400 ? two(whole, 3_600, "h", 60, "m") : two(whole, 86_400, "d", 3_600, "h");
}

function two(whole: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((whole % large) / small);
  return `${Math.floor(whole / large)}${largeUnit}${rest === 0 ? "" : `${rest}${smallUnit}`}`;
}

/** `1,234,567`. */
export function countText(count: number): string {
  return String(count).replace(/\B(?=([0-9]{3})+$)/g, ",");
}

/** How long ago a time is, as `ageText` has it; `-` for none. */
export function sinceText(time: string | null, nowMs: number): string {
  return time === null ? "-" : ageText(Math.max(0, nowMs - Date.parse(time)) / 1_000);
}
