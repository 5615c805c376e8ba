// Whom a profile believes: its authorities and what they have revoked, read again when the files change. They are
// swapped whole; connections that are there stay, sessions that were opened under another trust are not resumed.
import { ProfilePart } from "../../sys/symbols.ts";
import { errnoName } from "../../sys/errno.ts";
import { sys } from "../../sys/sys.ts";
import { quoted } from "../config/errors.ts";
import { type Counted, readAuthorities, readRevocations } from "./bundle.ts";
import { timeText } from "./pair.ts";
import { pemBlocks } from "./pem.ts";
import { CertificateError, readPem, type TrustFiles } from "./profiles.ts";
import { stampOf } from "./watched.ts";
import { type RevocationList, revocationListOf } from "./x509.ts";

export class Trust {
  readonly #profile: number;
  readonly #files: TrustFiles;
  readonly paths: readonly string[];
  #stamp = "";
  #pem = Buffer.alloc(0);
  /** What is wrong with the files of that stamp. */
  #broken: unknown;
  #lists: readonly RevocationList[] = [];

  /** Reads them for the first time. @throws CertificateError */
  constructor(profile: number, files: TrustFiles) {
    this.#profile = profile;
    this.#files = files;
    this.paths = [files.ca, files.crl].filter((path) => path !== undefined);
    if (this.paths.length > 0) this.read();
  }

  /** Reads the files again; true if they say something else. @throws CertificateError while one of them is broken */
  read(): boolean {
    const stamp = stampOf(this.paths);
    if (stamp === this.#stamp) {
      if (this.#broken !== undefined) throw this.#broken;
      return false;
    }
    this.#stamp = stamp;
    this.#broken = undefined;
    try {
      return this.#readAll();
    } catch (error) {
      this.#broken = error;
      throw error;
    }
  }

  /** In words: a list of revoked certificates that was due anew since `from`, by `now`. */
  overdue(from: number, now: number): string | undefined {
    const late = this.#lists.find(({ nextUpdate = Infinity }) => nextUpdate > from && nextUpdate <= now);
    if (late === undefined) return undefined;
    return `${this.#files.crl}: the list of ${quoted(late.issuer)} was due anew on ${
      timeText(late.nextUpdate!)
    }: ` +
      `until it is, none of its certificates is taken`;
  }

  #readAll(): boolean {
    const { where, ca, crl, isSystems } = this.#files, now = Date.now();
    const authorities = ca === undefined ? NOTHING : readPem(ca, `${where}.ca`);
    const revoked = crl === undefined ? NOTHING : readPem(crl, `${where}.crl`);
    // Of each what it is read for: a list that comes with certificates makes nobody an authority.
    const [certificates, lists] = [authorities, revoked].map((bytes) =>
      Buffer.from(bytes).toString("latin1")
    );
    const pem = Buffer.from(
      [certificates.replace(LIST, ""), ...lists.match(LIST) ?? []].join("\n"),
      "latin1",
    );
    if (pem.equals(this.#pem)) return false;
    if (ca !== undefined && !isSystems) checkRead(`${where}.ca: ${ca}`, readAuthorities(authorities, now));
    if (crl !== undefined) checkRead(`${where}.crl: ${crl}`, readRevocations(revoked, now));
    const set = sys.profile_set(this.#profile, ProfilePart.Trust, pem, pem.length);
    if (set < 0 || (set === 0 && ca !== undefined)) {
      const why = set < 0 ? errnoName(-set) : "no certificates";
      throw new CertificateError(`${where}: ${this.paths.join(", ")}: OpenSSL cannot read it: ${why}`);
    }
    this.#pem = pem;
    this.#lists = pemBlocks(Buffer.from(revoked).toString("latin1"))
      .flatMap(({ label, der }) => label === "X509 CRL" ? revocationListOf(der) ?? [] : []);
    return true;
  }
}

function checkRead(what: string, { flaws }: Counted): void {
  const flaw = flaws.find(({ severity }) => severity === "error");
  if (flaw !== undefined) throw new CertificateError(`${what}: ${flaw.what}; ${flaw.remedy}`);
}

const NOTHING = new Uint8Array(0);
const LIST = /-----BEGIN X509 CRL-----.*?-----END X509 CRL-----/gs;
