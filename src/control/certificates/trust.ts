// Whom a profile believes: its authorities and what they have revoked, read again when the files change. They are
// swapped whole; connections that are there stay, sessions that were opened under another trust are not resumed.
import { ProfilePart } from "../../sys/symbols.ts";
import { errnoName } from "../../sys/errno.ts";
import { sys } from "../../sys/sys.ts";
import { type Counted, readAuthorities, readRevocations } from "./bundle.ts";
import { CertificateError, readPem, type TrustFiles } from "./profiles.ts";
import { stampOf } from "./watched.ts";

export class Trust {
  readonly #profile: number;
  readonly #files: TrustFiles;
  readonly paths: readonly string[];
  #stamp = "";
  #pem = Buffer.alloc(0);

  /** Reads them for the first time. @throws CertificateError */
  constructor(profile: number, files: TrustFiles) {
    this.#profile = profile;
    this.#files = files;
    this.paths = [files.ca, files.crl].filter((path) => path !== undefined);
    if (this.paths.length > 0) this.read();
  }

  /** Reads the files again; true if they say something else. @throws CertificateError when one of them is broken */
  read(): boolean {
    const { where, ca, crl, isSystems } = this.#files, stamp = stampOf(this.paths);
    if (stamp === this.#stamp) return false;
    this.#stamp = ""; // until both could be read
    const authorities = ca === undefined ? NOTHING : readPem(`${where}.ca`, ca);
    const revoked = crl === undefined ? NOTHING : readPem(`${where}.crl`, crl);
    this.#stamp = stamp;
    // Of each what it is read for: a list that comes with certificates makes nobody an authority.
    const [certificates, lists] = [authorities, revoked].map((bytes) =>
      Buffer.from(bytes).toString("latin1")
    );
    const pem = Buffer.from(
      [certificates.replace(LIST, ""), ...lists.match(LIST) ?? []].join("\n"),
      "latin1",
    );
    if (pem.equals(this.#pem)) return false;
    if (ca !== undefined && !isSystems) {
      checkRead(`${where}.ca: ${ca}`, readAuthorities(authorities, Date.now()));
    }
    if (crl !== undefined) checkRead(`${where}.crl: ${crl}`, readRevocations(revoked, Date.now()));
    const set = sys.profile_set(this.#profile, ProfilePart.Trust, pem, pem.length);
    if (set < 0 || (set === 0 && ca !== undefined)) {
      throw new CertificateError(
        `${where}: ${this.paths.join(", ")}: OpenSSL cannot read it (${errnoName(-set)})`,
      );
    }
    this.#pem = pem;
    return true;
  }
}

function checkRead(what: string, { flaws }: Counted): void {
  const flaw = flaws.find(({ severity }) => severity === "error");
  if (flaw !== undefined) throw new CertificateError(`${what}: ${flaw.what}; ${flaw.remedy}`);
}

const NOTHING = new Uint8Array(0);
const LIST = /-----BEGIN X509 CRL-----.*?-----END X509 CRL-----/gs;
