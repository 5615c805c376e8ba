// Both ends of asking the process that runs: what /explain answers, and the client that asks it.
import { askJson, type Door } from "../admin_client.ts";
import type { ConfigProblem } from "../config/errors.ts";
import { monotonicMs } from "../control_room.ts";
import type { Sight } from "../sight.ts";
import { sourceFlaw } from "../sockets.ts";
import { explain } from "./explain.ts";
import type { Explanation } from "./explanation.ts";
import { type Asked, readQuestion } from "./question.ts";

/** Answers a question as of now; undefined while the process starts. */
export function explainLive(
  sight: Sight,
  asked: Asked,
): Explanation | { problems: ConfigProblem[] } | undefined {
  const question = readQuestion(asked);
  if ("problems" in question) return question;
  const published = sight.published();
  if (published === undefined) return undefined;
  const { plan, config, settings, written, hide } = published;
  const { directory, shared, sources, health, presented: certificates } = sight;
  const state = {
    source: "running",
    generation: sight.generation(),
    at: new Date().toISOString(),
    phase: sight.phase(),
  } as const;
  return explain(
    {
      plan,
      config,
      directory,
      shared,
      sources,
      monotonicMs: monotonicMs(),
      health,
      certificates,
      state,
      written,
      hide,
      sourceFlaw: (upstream) => sourceFlaw(config, settings, upstream),
      whereIs: () => null,
    },
    question,
  );
}

/** The question as /explain takes it. */
export function askedOf(query: URLSearchParams): Asked {
  return {
    what: query.get("to") ?? "",
    method: query.get("method") ?? undefined,
    from: query.get("from") ?? undefined,
    proxied: query.get("proxied") ?? undefined,
    sni: query.get("sni") ?? undefined,
    alpn: query.get("alpn") ?? undefined,
    headers: query.getAll("header"),
  };
}

function queryOf({ what, method, from, proxied, sni, alpn, headers }: Asked): string {
  const query = new URLSearchParams({ to: what });
  if (method !== undefined) query.set("method", method);
  if (from !== undefined) query.set("from", from);
  if (proxied !== undefined) query.set("proxied", proxied);
  if (sni !== undefined) query.set("sni", sni);
  if (alpn !== undefined) query.set("alpn", alpn);
  for (const header of headers) query.append("header", header);
  return query.toString();
}

/** Asks the process that runs. @throws LiveError */
export function askRunning(door: Door, asked: Asked): Promise<Explanation> {
  return askJson<Explanation>(door, `/explain?${queryOf(asked)}`, ({ decision }) => decision !== undefined);
}
