// Asks the process behind an admin API, for the verbs that are about one that runs.
import { request } from "node:http";
import process from "node:process";
import { addressText } from "./config/address.ts";
import { shown } from "./config/errors.ts";
import type { Admin } from "./config/schema.ts";
import { VERSION } from "./version.ts";

/** For the whole answer. */
const ANSWER_TIMEOUT_MS = 10_000;
/** An answer as well: why what was asked for was not done. */
const REFUSED = 409;
const ANSWER_BYTES_MAX = 16 << 20;
/** Of what the process says when it refuses. */
const REFUSAL_CHARACTERS_MAX = 400;

/** Where a process is asked, and by which token. */
export interface Door {
  readonly admin: Exclude<Admin, { kind: "off" }>;
  readonly token: string | undefined;
}

/** The running process gave no answer: lines with the remedy, and the exit status (1 run time, 2 the question). */
export class LiveError extends Error {
  override name = "LiveError";
  readonly status: 1 | 2;

  constructor(message: string, status: 1 | 2 = 1) {
    super(message);
    this.status = status;
  }
}

/**
 * Asks, and reads an answer of JSON. What has a body is to change something: it is sent by POST.
 * @param isAnswer whether it is what the path answers: else somebody else has
 * @throws LiveError
 */
export async function askJson<T>(
  door: Door,
  path: string,
  isAnswer: (answer: Partial<T>) => boolean,
  body?: object,
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<T> {
  const { admin, token } = door;
  const where = admin.kind === "unix" ? addressText(admin.address) : `http://${addressText(admin.address)}`;
  const { status, body: answer } = await send(door, where, path, body, timeoutMs);
  if (status === 200 || status === REFUSED) return answerIn(answer, where, isAnswer);
  const said = shown(answer.trim().split("\n")[0], REFUSAL_CHARACTERS_MAX);
  switch (status) {
    case 400:
      throw new LiveError(said.replace(/^sluice: /, ""), 2);
    case 401:
      throw new LiveError(
        token === undefined
          ? `${where} asks for the admin token; give --admin-token, SLUICE_ADMIN_TOKEN, or the file that has it with -c FILE`
          : `${where} has another admin token than the one given; if it is new in the file, give the one before, ` +
            "or reload by SIGHUP",
      );
    case 404:
      throw new LiveError(`${where} answers, but has no ${path.split("?")[0]}; is it an older Sluice?`);
    default:
      throw new LiveError(`${where} refuses with status ${status}: ${said}`);
  }
}

/** @throws LiveError: somebody else has answered */
function answerIn<T>(body: string, where: string, isAnswer: (answer: Partial<T>) => boolean): T {
  try {
    const answer = JSON.parse(body) as Partial<T> | null;
    if (typeof answer === "object" && answer !== null && isAnswer(answer)) return answer as T;
  } catch {
    // it is no JSON
  }
  throw new LiveError(`${where} answers, but not as an admin API does; is it a listener of Sluice's?`);
}

/** What the running process tells its log of who changed something. */
function whoAsks(): string {
  const behind = (process.env.SUDO_USER ?? "").replace(/[^A-Za-z0-9._-]/g, "");
  const uid = process.getuid?.() ?? 0;
  return `sluice/${VERSION} (uid ${uid}${behind === "" ? "" : ` for ${behind}`}, pid ${process.pid})`;
}

function send(
  { admin, token }: Door,
  where: string,
  path: string,
  body: object | undefined,
  timeoutMs: number,
): Promise<{ status: number; body: string }> {
  const to = admin.kind === "unix"
    ? { socketPath: admin.address.path }
    : { host: admin.address.ip, port: admin.address.port };
  const text = body === undefined ? undefined : JSON.stringify(body);
  const method = text === undefined ? "GET" : "POST";
  const headers = {
    Host: "localhost",
    "User-Agent": whoAsks(),
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    ...(text === undefined
      ? {}
      : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }),
  };
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(new LiveError(why));
      sent.destroy();
    };
    const sent = request({ ...to, method, path, headers, agent: false }, (answer) => {
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
    const late = () => fail(`${where} does not answer within ${timeoutMs / 1_000} s; is it a Sluice?`);
    const timer = setTimeout(late, timeoutMs);
    sent.on("error", (error: NodeJS.ErrnoException) => {
      fail(
        `nobody answers on ${where} (${
          error.code ?? error.message
        }); start Sluice, or say where it is with --admin`,
      );
    });
    sent.end(text);
  });
}
