// What becomes of connections whose listener, route or server a reload takes away.
import { key, text } from "./keys.ts";
import { quoted, type Reading, refused, taken } from "./errors.ts";
import { formatDuration, type Range, readDuration } from "./units.ts";

export type OnRemove =
  /** They last as long as they last. */
  | { readonly kind: "keep" }
  /** They have this time to end by themselves. */
  | { readonly kind: "drain"; readonly ms: number }
  /** They end at once. */
  | { readonly kind: "reset" };

const DRAIN_MS: Range = { min: 100, max: 86_400_000 };
export const ON_REMOVE_DEFAULT = "drain 30s";

/** `keep`, `drain TIME` or `reset`; `drain` alone has the time of the default. */
export function readOnRemove(input: string): Reading<OnRemove> {
  const [word, time, more] = input.trim().split(/\s+/);
  if (more === undefined && (word === "keep" || word === "reset") && time === undefined) {
    return taken({ kind: word });
  }
  if (more !== undefined || word !== "drain") {
    return refused(
      `${quoted(input)} is none of keep, drain TIME, reset`,
      `write ${ON_REMOVE_DEFAULT}, keep or reset`,
    );
  }
  const ms = readDuration(time ?? ON_REMOVE_DEFAULT.slice("drain ".length), DRAIN_MS);
  return ms.ok ? taken({ kind: "drain", ms: ms.value }) : ms;
}

export function onRemoveText(policy: OnRemove): string {
  return policy.kind === "drain" ? `drain ${formatDuration(policy.ms)}` : policy.kind;
}

const DOC = {
  placeholder: "keep|drain DURATION|reset",
  range: `${formatDuration(DRAIN_MS.min)} to ${formatDuration(DRAIN_MS.max)}`,
  example: "drain 5m",
};

/** The key, of those that `whose` says; inherited where it is not given. */
export function onRemove(whose: string) {
  return key(text(readOnRemove).optional(), {
    description:
      `what becomes of connections ${whose}, when a reload takes it away: they go on (keep), have a ` +
      "time to end by themselves (drain), or end at once (reset)",
    defaultText: "that of defaults",
    ...DOC,
  });
}

export const onRemoveDefault = key(text(readOnRemove).prefault(ON_REMOVE_DEFAULT), {
  description:
    "what becomes of connections whose listener, route or server a reload takes away, where nothing " +
    "else is said",
  ...DOC,
});
