// One HTTP request to a CA or to an allow endpoint: a deadline for all of it, a bound on what is read, and
// the CA certificates that the other end is verified with. Redirects are answers like any other: neither
// protocol has any, and following one would carry what is asked to where nobody configured.
//
// node:https and not fetch: both runtimes take `ca` in it, while each has its own way to tell it to fetch.
import { request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";
import { clearTimeout, setTimeout } from "node:timers";
import { AcmeError, wordsOf } from "./problem.ts";

/** More than any directory, order or chain has. */
const BODY_BYTES_MAX = 1 << 20;

export interface Call {
  readonly method: "GET" | "HEAD" | "POST";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly deadlineMs: number;
  /** PEM; the runtime's own if not given. */
  readonly ca?: string | undefined;
  /** Ends it early. */
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** @throws AcmeError "connection" if there is no answer, or the signal's reason */
export async function call(
  { method, url, headers = {}, body, deadlineMs, ca, signal }: Call,
): Promise<Answer> {
  signal.throwIfAborted();
  const ending = new AbortController();
  const end = () => ending.abort();
  signal.addEventListener("abort", end, { once: true });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    end();
  }, deadlineMs);
  try {
    return await exchange(method, new URL(url), headers, body, ca, ending.signal);
  } catch (error) {
    signal.throwIfAborted();
    const why = isLate ? `no answer within ${deadlineMs / 1_000} s` : wordsOf(error);
    throw new AcmeError(`${method} ${url}: ${why}`, { scope: "authority", type: "connection" });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

function exchange(
  method: string,
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string | undefined,
  ca: string | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
  const options = { method, headers: { ...headers, ...length, connection: "close" }, agent: false, signal };
  return new Promise((resolve, reject) => {
    const request = url.protocol === "https:"
      ? requestSecure(url, { ...options, ...(ca === undefined ? {} : { ca }) })
      : requestPlain(url, options);
    request.on("error", reject);
    signal.addEventListener("abort", () => reject(new Error("ended")), { once: true });
    request.on("response", (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on("error", reject);
      response.on("data", (piece: Buffer) => {
        bytes += piece.length;
        if (bytes <= BODY_BYTES_MAX) return pieces.push(piece);
        reject(new Error(`the answer has more than ${BODY_BYTES_MAX} bytes`));
        return request.destroy();
      });
      response.on("end", () => {
        const fields = Object.entries(response.headers);
        resolve({
          status: response.statusCode ?? 0,
          headers: Object.fromEntries(fields.map(([name, value]) => [name, String(value)])),
          body: Buffer.concat(pieces).toString("utf8"),
        });
      });
      response.on("close", () => reject(new Error("the answer ended early"))); // after end: too late to matter
    });
    request.end(body);
  });
}
