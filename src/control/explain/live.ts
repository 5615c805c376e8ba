// Both ends of asking the process that runs: what /explain answers, and the client that asks it.
import { request } from "node:http";
import { addressText } from "../config/address.ts";
import { type ConfigProblem, shown } from "../config/errors.ts";
import type { Admin } from "../config/schema.ts";
import { monotonicMs } from "../records.ts";
import type { Sight } from "../sight.ts";
import { explain } from "./explain.ts";
import type { Explanation } from "./explanation.ts";
import { type Asked, readQuestion } from "./question.ts";

/** For the whole answer. */
const ANSWER_TIMEOUT_MS = 10_000;
const ANSWER_BYTES_MAX = 16 << 20;
/** Of what the process says when it refuses. */
const REFUSAL_CHARACTERS_MAX = 400;

/** The running process gave no answer: lines with the remedy, and the exit status (1 run time, 2 the question). */
export class LiveError extends Error {
  override name = "LiveError";
  readonly status: 1 | 2;

  constructor(message: string, status: 1 | 2 = 1) {
    super(message);
    this.status = status;
  }
}

/** Answers a question as of now; undefined while the process starts. */
export function explainLive(
  sight: Sight,
  asked: Asked,
): Explanation | { problems: ConfigProblem[] } | undefined {
  const question = readQuestion(asked);
  if ("problems" in question) return question;
  const published = sight.published();
  if (published === undefined) return undefined;
  const { plan, config, written, hide } = published;
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

/** Asks the process behind an admin API. @throws LiveError */
export async function askRunning(
  admin: Exclude<Admin, { kind: "off" }>,
  token: string | undefined,
  asked: Asked,
): Promise<Explanation> {
  const where = admin.kind === "unix" ? addressText(admin.address) : `http://${addressText(admin.address)}`;
  const { status, body } = await get(admin, where, `/explain?${queryOf(asked)}`, token);
  if (status === 200) return answerIn(body, where);
  const said = shown(body.trim().split("\n")[0], REFUSAL_CHARACTERS_MAX);
  switch (status) {
    case 400:
      throw new LiveError(said.replace(/^sluice: /, ""), 2);
    case 401:
      throw new LiveError(`${where} asks for the admin token; give the file that has it with -c FILE`);
    case 404:
      throw new LiveError(`${where} answers, but has no /explain; is it an older Sluice?`);
    default:
      throw new LiveError(`${where} refuses with status ${status}: ${said}`);
  }
}

/** @throws LiveError: somebody else has answered */
function answerIn(body: string, where: string): Explanation {
  try {
    const answer = JSON.parse(body) as Partial<Explanation> | null;
    if (answer?.decision !== undefined) return answer as Explanation;
  } catch {
    // it is no JSON
  }
  throw new LiveError(`${where} answers, but not as an admin API does; is it a listener of Sluice's?`);
}

function get(
  admin: Exclude<Admin, { kind: "off" }>,
  where: string,
  path: string,
  token: string | undefined,
): Promise<{ status: number; body: string }> {
  const to = admin.kind === "unix"
    ? { socketPath: admin.address.path }
    : { host: admin.address.ip, port: admin.address.port };
  const headers = { Host: "localhost", ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }) };
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(new LiveError(why));
      sent.destroy();
    };
    const sent = request({ ...to, path, headers, agent: false }, (answer) => {
      const parts: Uint8Array[] = [];
      let bytes = 0;
      answer.on("data", (part: Uint8Array) => {
        bytes += part.length;
        if (bytes > ANSWER_BYTES_MAX) {
          fail(`${where} says more than ${ANSWER_BYTES_MAX} bytes; is that a Sluice?`);
        } else parts.push(part);
      });
      answer.on("error", (error) => fail(`${where} broke off: ${error.message}`));
      answer.on("end", () => {
        clearTimeout(timer);
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString("utf8") });
      });
    });
    const late = () =>
      fail(`${where} does not answer within ${ANSWER_TIMEOUT_MS / 1_000} s; is it a Sluice?`);
    const timer = setTimeout(late, ANSWER_TIMEOUT_MS);
    sent.on("error", (error: NodeJS.ErrnoException) => {
      fail(
        `nobody answers on ${where} (${
          error.code ?? error.message
        }); start Sluice, or say where it is with --admin`,
      );
    });
    sent.end();
  });
}
