// One thing that the doctor looked at: what was found, whether that will do, what it limits, and what
// changes it.

/** note: good to know; warn: something will be slower, fewer or missing; fail: Sluice will not work so. */
export type Verdict = "ok" | "note" | "warn" | "fail";

export interface Change {
  /** instead: something other than a change of the machine. */
  readonly when: "now" | "for good" | "systemd" | "instead";
  /** A command, or what to write where. */
  readonly command: string;
}

export interface Check {
  /** What was looked at, a few words. */
  readonly name: string;
  readonly found: string;
  readonly verdict: Verdict;
  /** What it limits, in numbers; "" when there is nothing to tell. */
  readonly limits: string;
  /** Told unless all is well. */
  readonly change: readonly Change[];
}

/** How a sysctl is changed: at once, and for every start of the machine. */
export function sysctlChange(key: string, value: string | number): Change[] {
  const text = String(value);
  return [
    { when: "now", command: `sysctl -w ${key}=${text.includes(" ") ? `"${text}"` : text}` },
    { when: "for good", command: `echo '${key} = ${text}' >> /etc/sysctl.d/60-sluice.conf` },
  ];
}

/** What cannot be seen from here, as in some containers, is no failure. */
export function unseen(name: string, path: string, limits: string): Check {
  return { name, found: `${path} cannot be read here`, verdict: "note", limits, change: [] };
}

/** `28,232`; whole numbers. */
export function grouped(count: number): string {
  return String(Math.floor(count)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1.5 GiB`, `640 MiB`: rounded, for people. */
export function roundedSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0, value = bytes;
  for (; value >= 1_024 && unit < units.length - 1; unit++) value /= 1_024;
  return `${value < 10 && unit > 0 ? Math.round(value * 10) / 10 : Math.round(value)} ${units[unit]}`;
}
