// From a name to a chain (RFC 8555 section 7.1.3): order, prove that the name is ours, hand in the request,
// fetch. A proof that fails makes the order worthless, so each kind of proof is tried in an order of its own.
import { createHash } from "node:crypto";
import { clearTimeout, setTimeout } from "node:timers";
import { type Clock, pause } from "./clock.ts";
import { AcmeError, acmeError, type Problem, readProblem } from "./problem.ts";
import type { Resource, Session } from "./session.ts";
import type { StoredPair } from "./storage.ts";
import { certificateRequest, newKeyPem, pairFacts, selfSigned } from "./x509.ts";

export type ChallengeKind = "http-01" | "tls-alpn-01";

/** For one order, all waits of it together. */
const ORDER_DEADLINE_MS = 300_000;
/** Between two looks at what the CA has not decided yet, where it does not say. */
const LOOK_EVERY_MS = 1_000;
const LOOK_EVERY_MS_MAX = 30_000;
/** A proof's certificate outlives its order, and clocks that differ. */
const PROOF_MS = 24 * 3_600_000;
/** Names of one order: ours have one. */
const AUTHORIZATIONS_MAX = 4;
/** What a token may be made of (RFC 8555 section 8.1). */
const TOKEN = /^[A-Za-z0-9_-]{1,256}$/;

export interface Proofs {
  /** Whoever offers acme-tls/1 for that name gets this certificate, from when the promise is fulfilled. */
  challenge(name: string, chainPem: string, keyPem: string): void | Promise<void>;
  unchallenge(name: string): void | Promise<void>;
}

export interface Ordering {
  readonly session: Session;
  readonly proofs: Proofs;
  readonly clock: Pick<Clock, "nowMs">;
  readonly signal: AbortSignal;
}

export interface Obtained extends StoredPair {
  /** `known`: the CA remembered an earlier proof. */
  readonly by: ChallengeKind | "known";
}

/** @returns the pair, and by which proof. @throws AcmeError with what every kind failed for */
export async function obtain(
  name: string,
  kinds: readonly ChallengeKind[],
  ordering: Ordering,
): Promise<Obtained> {
  const failures: AcmeError[] = [];
  for (const kind of kinds) {
    try {
      return await obtainBy(name, kind, ordering);
    } catch (error) {
      ordering.signal.throwIfAborted();
      const failure = acmeError(error, "name", "unreadable");
      failures.push(new AcmeError(`${kind}: ${failure.message}`, failure));
      // Another kind of proof helps only where this one was refused.
      if (failure.type !== "challenge") break;
    }
  }
  const last = failures[failures.length - 1];
  throw new AcmeError(failures.map(({ message }) => message).join("; "), last);
}

async function obtainBy(
  name: string,
  kind: ChallengeKind,
  ordering: Ordering,
): Promise<Obtained> {
  const { session, clock } = ordering;
  const late = new AbortController();
  const timer = setTimeout(() =>
    late.abort(
      new AcmeError("the CA did not decide in time", {
        scope: "name",
        type: "deadline",
      }),
    ), ORDER_DEADLINE_MS).unref();
  const signal = AbortSignal.any([ordering.signal, late.signal]);
  try {
    const order = await session.newOrder(name, signal);
    const proven: boolean[] = [];
    for (const url of urls(order.value.authorizations)) {
      proven.push(await prove(name, kind, url, { ...ordering, signal }));
    }
    const keyPem = newKeyPem();
    const chainPem = await finalize(name, order, keyPem, session, signal);
    const facts = pairFacts(name, { chainPem, keyPem });
    if ("flaw" in facts) throw unusable(`the CA's certificate is of no use: ${facts.flaw}`);
    if (facts.notAfterMs <= clock.nowMs()) {
      throw unusable(
        `the CA's certificate ended ${new Date(facts.notAfterMs).toISOString()}: is this clock right?`,
      );
    }
    return { chainPem, keyPem, ...facts, by: proven.includes(true) ? kind : "known" };
  } finally {
    clearTimeout(timer);
  }
}

/** @returns false if the CA needed no proof: it remembers an earlier one */
async function prove(name: string, kind: ChallengeKind, url: string, ordering: Ordering): Promise<boolean> {
  const { session, signal } = ordering;
  const asked = `the authorization of ${name}`;
  const authorization = await session.post(asked, url, undefined, signal);
  if (authorization.value.status === "valid") return false;
  if (authorization.value.status !== "pending") throw refused(authorization);
  const challenge = challengesOf(authorization).find(({ type }) => type === kind);
  if (challenge === undefined) {
    const offered = challengesOf(authorization).map(({ type }) => type).join(", ");
    await giveUp(url, ordering);
    throw new AcmeError(`the CA offers ${offered || "no challenge"}`, { scope: "name", type: "challenge" });
  }
  const { token, url: place } = challenge;
  if (typeof token !== "string" || !TOKEN.test(token) || typeof place !== "string") {
    throw unusable("a challenge without a proper token or URL");
  }
  // Nothing is to be made ready for http-01: any token is answered, with the account's thumbprint.
  if (kind === "tls-alpn-01") await present(name, token, ordering);
  try {
    await session.post(`challenge ${kind} of ${name}`, place, {}, signal);
    const decided = await settled(asked, url, ["valid", "invalid"], session, signal);
    if (decided.value.status !== "valid") throw refused(decided);
    return true;
  } catch (error) {
    if (!(error instanceof AcmeError) || error.type !== "challenge") await giveUp(url, ordering);
    throw error;
  } finally {
    if (kind === "tls-alpn-01") await ordering.proofs.unchallenge(name);
  }
}

async function present(name: string, token: string, { session, proofs, clock }: Ordering): Promise<void> {
  const digest = createHash("sha256").update(session.authorization(token)).digest();
  const keyPem = newKeyPem();
  const fromMs = clock.nowMs();
  const chainPem = selfSigned(name, keyPem, { fromMs, untilMs: fromMs + PROOF_MS }, digest);
  await proofs.challenge(name, chainPem, keyPem);
}

/** CAs count authorizations that are left pending. Said once and not insisted on. */
async function giveUp(url: string, { session, signal }: Ordering): Promise<void> {
  if (signal.aborted) return;
  await session.post("to give up", url, { status: "deactivated" }, signal).catch(() => {});
}

async function finalize(
  name: string,
  order: Resource,
  keyPem: string,
  session: Session,
  signal: AbortSignal,
): Promise<string> {
  const asked = `the order for ${name}`;
  const request = Buffer.from(certificateRequest([name], keyPem)).toString("base64url");
  const ready = await settled(asked, order.url, ["ready", "processing", "valid", "invalid"], session, signal);
  if (ready.value.status === "ready") {
    const [place] = urls([ready.value.finalize]);
    await session.post(`the request for ${name}`, place, { csr: request }, signal);
  }
  const done = await settled(asked, order.url, ["valid", "invalid"], session, signal);
  if (done.value.status !== "valid") {
    const problem = readProblem(done.value.error);
    const why = problem === undefined ? "and does not say why" : `${problem.type}: ${problem.detail}`;
    throw new AcmeError(`the CA refuses the order: ${why}`, {
      scope: "name",
      type: problem?.type ?? "order",
    });
  }
  const [place] = urls([done.value.certificate]);
  return await session.text(`the certificate of ${name}`, place, "application/pem-certificate-chain", signal);
}

/** Looks until the status is one of `wanted`. A look that fails by itself is followed by another. */
async function settled(
  asked: string,
  url: string,
  wanted: readonly string[],
  session: Session,
  signal: AbortSignal,
): Promise<Resource> {
  for (let look = 0;; look++) {
    let againMs = LOOK_EVERY_MS * Math.min(1 + look / 4, 5);
    try {
      const found = await session.post(asked, url, undefined, signal);
      if (wanted.includes(String(found.value.status))) return { ...found, url };
      againMs = found.retryAfterMs ?? againMs;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof AcmeError) || !error.isTransient) throw error;
      againMs = error.retryAfterMs ?? againMs;
    }
    await pause(Math.min(Math.max(againMs, 100), LOOK_EVERY_MS_MAX), signal);
  }
}

function challengesOf({ value }: Resource): Record<string, unknown>[] {
  const { challenges } = value;
  if (!Array.isArray(challenges)) return [];
  return challenges.filter((challenge) => typeof challenge === "object" && challenge !== null);
}

/** Why an authorization is not valid: its challenge has the CA's words. */
function refused(authorization: Resource): AcmeError {
  const problems = challengesOf(authorization).flatMap(({ error }): Problem[] => {
    const problem = readProblem(error);
    return problem === undefined ? [] : [problem];
  });
  const said = problems.map(({ type, detail }) => `${type}: ${detail}`).join("; ");
  const why = said || `its authorization is ${String(authorization.value.status).slice(0, 40)}`;
  return new AcmeError(`the CA could not verify it (${why})`, { scope: "name", type: "challenge" });
}

function urls(values: unknown): string[] {
  const found = (Array.isArray(values) ? values : []).filter((value) =>
    typeof value === "string" && URL.canParse(value)
  );
  if (found.length === 0) throw unusable("the CA's order does not say where to go on");
  return found.slice(0, AUTHORIZATIONS_MAX);
}

function unusable(message: string): AcmeError {
  return new AcmeError(message, { scope: "name", type: "unreadable" });
}
