// Why no server of an upstream gets anything new, for people.
import { counted } from "./config/units.ts";

/** What speaks against a server. */
export interface Standstill {
  readonly isDown: boolean;
  readonly isDisabled: boolean;
  /** So is one that is disabled. */
  readonly isDrained: boolean;
  /** 0: it gets nothing new. */
  readonly weight: number;
}

/** `all 2 servers are drained`, `of 3 servers 1 is down and 2 are drained`, `it has no server`. Of each the first thing
 * that speaks against it counts; servers that nothing speaks against are not counted. */
export function noneLeft(servers: readonly Standstill[]): string {
  const all = servers.length;
  if (all === 0) return "it has no server";
  const down = servers.filter(({ isDown }) => isDown).length;
  const disabled = servers.filter(({ isDown, isDisabled }) => !isDown && isDisabled).length;
  const drained =
    servers.filter(({ isDown, isDisabled, isDrained }) => !isDown && !isDisabled && isDrained).length;
  const idle =
    servers.filter(({ isDown, isDrained, weight }) => !isDown && !isDrained && weight === 0).length;
  const kinds = ([
    [down, "down"],
    [disabled, "disabled"],
    [drained, "drained"],
    [idle, "of weight 0"],
  ] as const).filter(([count]) => count > 0);
  const [[, only] = [0, ""]] = kinds;
  if (kinds.length === 1 && all === 1) return `its only server is ${only}`;
  if (kinds.length === 1 && kinds[0][0] === all) return `all ${all} servers are ${only}`;
  const texts = kinds.map(([count, what]) => `${count} ${count === 1 ? "is" : "are"} ${what}`);
  return `of ${counted(all, "server")} ${texts.join(", ").replace(/, ([^,]*)$/, " and $1")}`;
}
