// One CA as we speak to it (RFC 8555): its directory, nonces, our account, signed requests. What is asked
// for is order.ts's. Nothing is remembered about names here.
import { readFile } from "node:fs/promises";
import type { AccountKey } from "./account_key.ts";
import { type Answer, call } from "./call.ts";
import { AcmeError, acmeError, readProblem, refusal, retryAfterMs } from "./problem.ts";
import type { Account } from "./storage.ts";

/** For one request. CAs behind an external account may take long over an account or an order. */
const CALL_DEADLINE_MS = 30_000;
/** Times that a request is signed anew when its nonce was refused. */
const NONCE_TRIES_MAX = 10;
/** Nonces that wait to be used; they age. */
const NONCES_MAX = 16;
/** The directory, and the CA certificates given by the user, are read anew after this. */
const DIRECTORY_MS = 24 * 3_600_000;
const NAMED_PLACES = ["newNonce", "newAccount", "newOrder"] as const;

export interface ExternalAccount {
  readonly keyId: string;
  /** Base64url. */
  readonly hmacKey: string;
}

export interface SessionOptions {
  readonly directory: string;
  readonly key: AccountKey;
  readonly email?: string | undefined;
  readonly externalAccount?: ExternalAccount | undefined;
  /** A file of PEM certificates that the CA's own server is verified with, instead of the runtime's. */
  readonly ca?: string | undefined;
  /** What is on the disk about our account. */
  account(): Promise<Account | undefined>;
  keepAccount(account: Account): Promise<void>;
  tell(message: string): void;
  /** Ends everything under way. */
  readonly signal: AbortSignal;
}

type Directory = Readonly<Record<(typeof NAMED_PLACES)[number], string>> & {
  readonly readAtMs: number;
  readonly ca: string | undefined;
  readonly terms: string | undefined;
  readonly needsExternalAccount: boolean;
};

/** An object of the CA's, with where it is and when it may be looked at again. */
export interface Resource {
  readonly url: string;
  readonly value: Readonly<Record<string, unknown>>;
  readonly retryAfterMs: number | undefined;
}

export class Session {
  readonly #options: SessionOptions;
  readonly #nonces: string[] = [];
  #directory: Promise<Directory> | undefined;
  #account: Promise<string> | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** @param asked what for, in words that an error begins with. @throws AcmeError, or the signal's reason */
  async post(asked: string, url: string, payload: unknown, signal: AbortSignal): Promise<Resource> {
    return resource(asked, url, await this.#posted(asked, url, payload, signal));
  }

  /** An order for one name. Our account is made, or made known again, on the way. */
  async newOrder(name: string, signal: AbortSignal): Promise<Resource> {
    const { newOrder } = await this.#placed();
    const payload = { identifiers: [{ type: "dns", value: name }] };
    return await this.post(`an order for ${name}`, newOrder, payload, signal);
  }

  /** What proves to the CA that a token reached us. */
  authorization(token: string): string {
    return this.#options.key.authorization(token);
  }

  async text(asked: string, url: string, accept: string, signal: AbortSignal): Promise<string> {
    return (await this.#posted(asked, url, undefined, signal, accept)).body;
  }

  async #posted(
    asked: string,
    url: string,
    payload: unknown,
    signal: AbortSignal,
    accept?: string,
  ): Promise<Answer> {
    const registering = this.#account ??= this.#known(), account = await this.#outcome(registering);
    try {
      return await this.#signed(asked, url, payload, { kid: account }, signal, accept);
    } catch (error) {
      // The CA has lost it, or this is another CA under the same address: it gets to know the same key anew, once
      // for all who asked meanwhile.
      if (!(error instanceof AcmeError) || error.type !== "accountDoesNotExist") throw error;
      if (this.#account === registering) this.#account = this.#register();
      const now = await this.#outcome(this.#account ??= this.#known());
      return await this.#signed(asked, url, payload, { kid: now }, signal, accept);
    }
  }

  /** @param who the account's URL, or the key where there is no account yet */
  async #signed(
    asked: string,
    url: string,
    payload: unknown,
    who: { kid: string } | { jwk: AccountKey["jwk"] },
    signal: AbortSignal,
    accept = "application/json",
  ): Promise<Answer> {
    const { key } = this.#options;
    for (let tries = 1;; tries++) {
      const nonce = this.#nonces.pop() ?? await this.#newNonce(signal);
      const answer = await this.#called({
        method: "POST",
        url,
        headers: { "content-type": "application/jose+json", accept },
        body: key.sign({ ...who, nonce, url }, payload),
        signal,
      });
      if (answer.status >= 200 && answer.status < 300) return answer;
      const problem = readProblem(parsed(answer.body));
      const again = retryAfterMs(answer.headers["retry-after"], Date.now());
      const error = refusal(asked, answer.status, problem, again);
      // The refusing answer brought the nonce for the next try (RFC 8555 section 6.5).
      if (error.type !== "badNonce" || tries >= NONCE_TRIES_MAX) throw error;
    }
  }

  async #newNonce(signal: AbortSignal): Promise<string> {
    const { newNonce } = await this.#placed();
    const { status } = await this.#called({ method: "HEAD", url: newNonce, signal });
    const nonce = this.#nonces.pop();
    if (nonce !== undefined) return nonce;
    throw new AcmeError(`a nonce: the CA answered ${status} and gave none`, {
      scope: "authority",
      type: "unreadable",
      status,
    });
  }

  /** Every answer may bring a nonce. */
  async #called(
    what: {
      method: "HEAD" | "POST";
      url: string;
      headers?: Record<string, string>;
      body?: string;
      signal: AbortSignal;
    },
  ): Promise<Answer> {
    const { ca } = await this.#placed();
    const answer = await call({ ...what, ca, deadlineMs: CALL_DEADLINE_MS }).catch((error) => {
      this.#directory = undefined; // it may have moved, or its server has a new certificate from a new CA
      throw error;
    });
    if (answer.status === 404 || answer.status >= 500) this.#directory = undefined;
    const nonce = answer.headers["replay-nonce"];
    if (nonce !== undefined && /^[A-Za-z0-9_-]+$/.test(nonce)) {
      this.#nonces.push(nonce);
      if (this.#nonces.length > NONCES_MAX) this.#nonces.shift();
    }
    return answer;
  }

  /** Read once for all who ask at the same time; what failed is asked anew by the next. */
  async #placed(): Promise<Directory> {
    const reading = this.#directory ??= this.#readDirectory();
    try {
      const directory = await reading;
      if (Date.now() - directory.readAtMs < DIRECTORY_MS) return directory;
    } catch (error) {
      if (this.#directory === reading) this.#directory = undefined;
      throw error;
    }
    if (this.#directory === reading) this.#directory = undefined;
    return await this.#placed();
  }

  async #readDirectory(): Promise<Directory> {
    const { directory: url, ca: caPath, signal } = this.#options;
    const readAtMs = Date.now();
    const ca = caPath === undefined ? undefined : await readFile(caPath, "utf8").catch((error) => {
      throw acmeError(error, "authority", "storage");
    });
    const answer = await call({ method: "GET", url, ca, deadlineMs: CALL_DEADLINE_MS, signal });
    const again = retryAfterMs(answer.headers["retry-after"], Date.now());
    const value = parsed(answer.body) as Record<string, unknown> | undefined;
    if (answer.status !== 200) throw refusal(`directory ${url}`, answer.status, readProblem(value), again);
    const places = NAMED_PLACES.map((name) => [name, value?.[name]]);
    const missing = places.find(([, place]) => typeof place !== "string");
    if (missing !== undefined) throw unreadable(`${url} is no directory of a CA: it has no ${missing[0]}`);
    const meta = (value?.meta ?? {}) as Record<string, unknown>;
    return {
      ...Object.fromEntries(places),
      readAtMs,
      ca,
      terms: typeof meta.termsOfService === "string" ? meta.termsOfService : undefined,
      needsExternalAccount: meta.externalAccountRequired === true,
    };
  }

  /** The account's URL; a failure is forgotten, so that the next who asks tries again. */
  async #outcome(registering: Promise<string>): Promise<string> {
    try {
      return await registering;
    } catch (error) {
      if (this.#account === registering) this.#account = undefined;
      throw error;
    }
  }

  /** The account on the disk, with the contact brought up to date; a new one if there is none. */
  async #known(): Promise<string> {
    const { directory, signal } = this.#options;
    const known = await this.#options.account();
    if (known === undefined || known.directory !== directory) return await this.#register();
    const contact = this.#contact;
    if (contact.join() !== known.contact.join()) {
      try {
        await this.#signed("the account's contact", known.url, { contact }, { kid: known.url }, signal);
      } catch (error) {
        if (error instanceof AcmeError && error.type === "accountDoesNotExist") return await this.#register();
        throw error;
      }
      await this.#options.keepAccount({ ...known, contact });
    }
    return known.url;
  }

  /** A CA that knows the key already answers with its account (RFC 8555 section 7.3.1). */
  async #register(): Promise<string> {
    const { directory, key, externalAccount, signal } = this.#options;
    const { newAccount, terms, needsExternalAccount } = await this.#placed();
    if (needsExternalAccount && externalAccount === undefined) {
      const what = `${directory} takes only accounts that its owner has given out`;
      throw new AcmeError(`${what}: write its key-id and hmac-key as external-account`, {
        scope: "authority",
        type: "externalAccountRequired",
      });
    }
    const contact = this.#contact;
    const payload = {
      termsOfServiceAgreed: true,
      ...(contact.length > 0 && { contact }),
      ...(externalAccount !== undefined && {
        externalAccountBinding: key.bind(newAccount, externalAccount.keyId, externalAccount.hmacKey),
      }),
    };
    let answer: Answer;
    try {
      answer = await this.#signed("an account", newAccount, payload, { jwk: key.jwk }, signal);
    } catch (error) {
      // Whatever an account is refused for, no name gets a certificate without.
      if (!(error instanceof AcmeError)) throw error;
      const { message, type, retryAfterMs, status } = error;
      throw new AcmeError(message, { scope: "authority", type, retryAfterMs, status });
    }
    const url = answer.headers.location;
    if (url === undefined) throw unreadable("an account: the CA did not say where it is");
    await this.#options.keepAccount({ directory, url, contact });
    const agreed = terms === undefined ? "" : `, whose terms are at ${terms}`;
    this.#options.tell(`account ${url} at ${directory}${agreed}`);
    return url;
  }

  get #contact(): readonly string[] {
    const { email } = this.#options;
    return email === undefined ? [] : [`mailto:${email}`];
  }
}

function resource(asked: string, url: string, answer: Answer): Resource {
  const value = parsed(answer.body);
  if (typeof value !== "object" || value === null) throw unreadable(`${asked}: the CA's answer is no object`);
  return {
    url: answer.headers.location ?? url,
    value: value as Record<string, unknown>,
    retryAfterMs: retryAfterMs(answer.headers["retry-after"], Date.now()),
  };
}

function unreadable(message: string): AcmeError {
  return new AcmeError(message, { scope: "authority", type: "unreadable" });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
