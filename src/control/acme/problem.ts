// What can go wrong on the way to a certificate, in words for people and in facts for the back-off.

/** What a failure says about: this name alone, or the CA, our account there and the way to it. */
export type Scope = "name" | "authority";

/** Characters of what a CA says that are kept. */
const DETAIL_CHARACTERS_MAX = 500;
/** Subproblems that are told. */
const SUBPROBLEMS_MAX = 3;
const URN = "urn:ietf:params:acme:error:";

export class AcmeError extends Error {
  readonly scope: Scope;
  /** The CA's error type without its URN, or ours: connection, unreadable, storage, lock, deadline. */
  readonly type: string;
  readonly retryAfterMs: number | undefined;
  /** HTTP status, if the CA has answered. */
  readonly status: number | undefined;

  constructor(
    message: string,
    facts: { scope: Scope; type: string; retryAfterMs?: number | undefined; status?: number | undefined },
  ) {
    super(message);
    this.scope = facts.scope;
    this.type = facts.type;
    this.retryAfterMs = facts.retryAfterMs;
    this.status = facts.status;
  }

  /** Asking again may help by itself: nobody has refused anything. */
  get isTransient(): boolean {
    return this.type === "connection" || (this.status !== undefined && this.status >= 500);
  }
}

/** As an AcmeError, whatever it was. */
export function acmeError(error: unknown, scope: Scope, type: string): AcmeError {
  return error instanceof AcmeError ? error : new AcmeError(wordsOf(error), { scope, type });
}

export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Runtimes hide the reason of a failed connection in the cause, or leave a code and no words.
  const cause = error.cause instanceof Error && error.cause.message !== "" ? `: ${error.cause.message}` : "";
  const { code } = error as NodeJS.ErrnoException;
  return `${error.message || code || error.name}${cause}`.slice(0, DETAIL_CHARACTERS_MAX);
}

/** A problem document as far as it is one (RFC 7807, RFC 8555 section 6.7). */
export interface Problem {
  readonly type: string;
  readonly detail: string;
}

export function readProblem(value: unknown): Problem | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { type, detail, subproblems } = value as Record<string, unknown>;
  if (typeof type !== "string") return undefined;
  const more = Array.isArray(subproblems) ? subproblems.slice(0, SUBPROBLEMS_MAX).map(readProblem) : [];
  const details = [
    ...(typeof detail === "string" ? [detail] : []),
    ...more.flatMap((problem) => (problem === undefined ? [] : [problem.detail])),
  ];
  return {
    type: type.startsWith(URN) ? type.slice(URN.length) : type,
    detail: details.join("; ").slice(0, DETAIL_CHARACTERS_MAX),
  };
}

/** Error types that are about our account or the CA as a whole: every name would meet them. */
const OF_AUTHORITY: ReadonlySet<string> = new Set([
  "accountDoesNotExist",
  "badNonce",
  "badPublicKey",
  "badSignatureAlgorithm",
  "externalAccountRequired",
  "invalidContact",
  "serverInternal",
  "unauthorized",
  "unsupportedContact",
  "userActionRequired",
]);

/** What a refusing answer of the CA means. `asked` is what was wanted of it, in words. */
export function refusal(
  asked: string,
  status: number,
  problem: Problem | undefined,
  retryAfterMs: number | undefined,
): AcmeError {
  const said = problem === undefined ? "" : ` ${problem.type}${problem.detail && `: ${problem.detail}`}`;
  const type = problem?.type ?? "status";
  const scope = status >= 500 || problem === undefined || OF_AUTHORITY.has(type) ? "authority" : "name";
  return new AcmeError(`${asked}: the CA answered ${status}${said}`, { scope, type, retryAfterMs, status });
}

/** Retry-After: seconds or a date (RFC 9110 section 10.2.3). */
export function retryAfterMs(value: string | null | undefined, nowMs: number): number | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(at - nowMs, 0);
}
