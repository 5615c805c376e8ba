// The part of the schema that is about datagrams: how long a session of them lasts.
import * as z from "zod";
import { TICK_MS } from "../../base/limits.ts";
import { count, countDoc, duration, durationDoc, key } from "./keys.ts";
import type { Range } from "./units.ts";

const IDLE_MS: Range = { min: TICK_MS, max: 86_400_000 };
const RESPONSES: Range = { min: 0, max: 65_535 };

/** What only listeners of udp:// have. */
export const udp = z.strictObject({
  idle: key(duration(IDLE_MS).prefault("30s"), {
    description: "end a session in which nothing was sent for so long",
    flag: "--udp-idle",
    ...durationDoc(IDLE_MS),
  }),
  responses: key(count(RESPONSES).optional(), {
    description: "answers to each datagram of a client: the last one ends its session, none is a failure",
    flag: "--responses",
    defaultText: "any number",
    example: "1",
    ...countDoc(RESPONSES),
  }),
}).prefault({});
