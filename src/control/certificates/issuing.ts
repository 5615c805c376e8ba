// Certificates that are had by themselves: between the configuration and ACME (control/acme/), which knows no
// listeners. All listeners with `acme` have one account: HTTP-01 is answered by its thumbprint, whatever the
// listener (RFC 8555 section 8.3).
import type { Acme as Account, AcmeStatus } from "../acme/acme.ts";
import type { ChallengeKind } from "../acme/order.ts";
import type { Config } from "../config/schema.ts";
import { acmeNames } from "../config/tls_checks.ts";
import type { Acme } from "../config/tls_schema.ts";
import type { Log } from "../log.ts";
import { CertificateError } from "./profiles.ts";
import type { Certificates, PreparedCertificates } from "./store.ts";

interface Served {
  readonly listener: string;
  readonly names: ReadonlySet<string>;
  readonly onDemand: boolean;
}

export class Issuing {
  readonly #account: Account;
  readonly #log: Log;
  readonly #key: string;
  readonly #begin: () => void;

  /** Opens the account of a configuration; undefined: nothing is to be issued. `prepared`: the certificates that its
   * listeners are given. @throws CertificateError */
  static async open(
    config: Config,
    certificates: Certificates,
    prepared: PreparedCertificates,
    log: Log,
  ): Promise<Issuing | undefined> {
    const all = Object.entries(config.listeners).flatMap(([listener, configured]) => {
      const acme = configured.tls?.acme;
      if (acme === undefined) return [];
      // One of another kind of key would be shown instead of what was given, a placeholder even.
      const given = certificates.presented(listener, prepared).map(({ certificate }) => certificate);
      const names = new Set(acmeNames(configured, given));
      return [{ acme, served: { listener, names, onDemand: acme["on-demand"] !== undefined } }];
    });
    if (all.length === 0) return undefined;
    const [{ acme, served: { listener: first } }, ...others] = all;
    for (const { acme: other, served: { listener } } of others) {
      if (JSON.stringify(other) === JSON.stringify(acme)) continue;
      throw new CertificateError(
        `listeners.${listener}.tls.acme: differs from that of "${first}"; all listeners share one account, ` +
          `write the same for both`,
      );
    }
    const { Acme } = await import("../acme/acme.ts"); // most have no use for it
    try {
      const account = await Acme.open({
        ...optionsOf(acme),
        names: [...new Set(all.flatMap(({ served: { names } }) => [...names]))],
        challenges: acme.challenges ?? answerable(config),
      }, {
        install: (names, chain, key) => {
          for (const served of all.map(({ served }) => served)) {
            const own = names.filter((name) => isFor(served, name, all.map(({ served }) => served)));
            if (own.length > 0) certificates.install(served.listener, own, chain, key);
          }
        },
        uninstall: (names) => {
          for (const { served } of all) certificates.uninstall(served.listener, names);
        },
        challenge: (name, chain, key) => certificates.challenge(name, chain, key),
        unchallenge: (name) => certificates.unchallenge(name),
        log,
      });
      const begin = (): void => {
        for (const { served: { listener, names } } of all) {
          // Nobody renews what another account had; names that were asked for are asked for again, and found on disk.
          certificates.uninstall(
            listener,
            certificates.issuedNames(listener).filter((name) => !names.has(name)),
          );
          if (acme["while-issuing"] === "refuse") certificates.expect(listener, names);
        }
      };
      return new Issuing(account, keyOf(config), begin, log);
    } catch (error) {
      throw new CertificateError(error instanceof Error ? error.message : String(error));
    }
  }

  private constructor(account: Account, key: string, begin: () => void, log: Log) {
    this.#account = account;
    this.#key = key;
    this.#begin = begin;
    this.#log = log;
  }

  /** Whether it is what another configuration asks for as well. */
  serves(config: Config): boolean {
    return keyOf(config) === this.#key;
  }

  /** What answers HTTP-01. */
  get thumbprint(): string {
    return this.#account.thumbprint;
  }

  /** Presents what is there already, and goes to work. */
  start(): Promise<void> {
    this.#begin();
    return this.#account.start();
  }

  /** A handshake waits for a certificate: whether there is one now. Never rejects. */
  async ask(name: string): Promise<boolean> {
    const asked = await this.#account.ask(name);
    if (!asked.ok) this.#log.debug("acme", `no certificate for ${name}: ${asked.why}`, { name });
    return asked.ok;
  }

  status(): AcmeStatus {
    return this.#account.status();
  }

  stop(): Promise<void> {
    return this.#account.stop();
  }
}

/** What is to be issued, and what decides of it. */
function keyOf(config: Config): string {
  const listeners = Object.entries(config.listeners).flatMap(([name, { tls, routes, sni }]) =>
    tls?.acme === undefined ? [] : [[name, tls, sni, routes.map(({ match: { host } }) => host)]]
  );
  return JSON.stringify([listeners, answerable(config)]);
}

/** Names that stand in no listener were asked for, where that may be done. */
function isFor(served: Served, name: string, all: readonly Served[]): boolean {
  return served.names.has(name) || (served.onDemand && !all.some(({ names }) => names.has(name)));
}

/** What can be answered: HTTP-01 needs somebody who speaks HTTP. */
function answerable({ listeners }: Config): readonly ChallengeKind[] {
  const plain = Object.values(listeners).some(({ bind }) =>
    bind.some(({ protocol, tls }) => protocol === "http" && !tls)
  );
  return plain ? ["http-01", "tls-alpn-01"] : ["tls-alpn-01"];
}

function optionsOf(acme: Acme) {
  const external = acme["external-account"];
  return {
    storage: acme.storage,
    directory: acme.directory,
    email: acme.email,
    externalAccount: external === undefined
      ? undefined
      : { keyId: external["key-id"], hmacKey: external["hmac-key"] },
    ca: acme.ca,
    allow: acme["on-demand"]?.allow,
    whileIssuing: acme["while-issuing"],
  };
}
