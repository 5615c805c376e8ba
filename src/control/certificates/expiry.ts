// When certificates end: whether that is soon, and the words that tell it. Who renews by itself does so when a
// third of the time is left, so that soon is less than that of one that is issued for days.
import { counted } from "../config/units.ts";
import { spanText, timeText } from "./pair.ts";
import type { Certificate } from "./x509.ts";

export const DAY_MS = 86_400_000;
const SOON_MS = 14 * DAY_MS;
/** Of one that is good for less: this part of its time. */
const SOON_SHARE = 4;
/** Names that a line has room for. */
const NAMES_TOLD_MAX = 3;

export type Times = Pick<Certificate, "notBefore" | "notAfter">;

/** Whether it has ended, or ends so soon that somebody must see to it. */
export function endsSoon({ notBefore, notAfter }: Times, now: number): boolean {
  return notAfter - now < Math.min(SOON_MS, (notAfter - notBefore) / SOON_SHARE);
}

/** Whole days until it ends; below 0 when it has ended. */
export function daysLeft({ notAfter }: Pick<Times, "notAfter">, now: number): number {
  return Math.floor((notAfter - now) / DAY_MS);
}

/** `ends in 5 days, on 2026-03-01 12:00 UTC` */
export function endText({ notAfter }: Pick<Times, "notAfter">, now: number): string {
  const when = timeText(notAfter);
  return notAfter > now
    ? `ends in ${spanText(notAfter - now)}, on ${when}`
    : `ended ${spanText(now - notAfter)} ago, on ${when}`;
}

/** `shop.example, www.shop.example and 3 more names` */
export function namesText(names: readonly string[]): string {
  const told = names.slice(0, NAMES_TOLD_MAX).join(", "), more = names.length - NAMES_TOLD_MAX;
  return more > 0 ? `${told} and ${counted(more, "more name")}` : told;
}
