// Certificates for tests, made by Debian's openssl in a folder of their own that goes with the process; what was
// ordered once is there the next time. Nothing here is Sluice's: what is tested is not what makes its inputs.
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { Folder } from "./folder.ts";

/** Paths of PEM files: a certificate, its private key, and the certificate with those that lead to its authority. */
export interface Made {
  readonly cert: string;
  readonly key: string;
  readonly chain: string;
}

/** What a certificate is to be. */
export interface Order {
  /** Subject alternative names: hosts, and addresses; the first is the common name as well. */
  readonly names: readonly string[];
  readonly kind?: "ec" | "rsa" | "ed25519";
  /** The file of a key that is there already. */
  readonly key?: string;
  /** Of an RSA key; 2048 if not given. */
  readonly bits?: number;
  readonly use?: "server" | "client";
  readonly from?: Date;
  readonly until?: Date;
  /** Who signs it; the root if not given, "itself" for nobody else. */
  readonly by?: Made | "itself";
  /** An authority itself. */
  readonly isAuthority?: boolean;
  /** A common name without any subject alternative name. */
  readonly isNameless?: boolean;
  /** Says where its issuer's certificate would be. */
  readonly namesIssuer?: boolean;
  readonly digest?: "sha1" | "sha256";
}

const OPENSSL_DEADLINE_MS = 60_000;
const DAY_MS = 86_400_000;

/** A world of certificates of one authority. */
export class Certificates {
  readonly #folder = new Folder();
  readonly #made = new Map<string, Made>();

  /** A path in the folder where it all is. */
  at(name: string): string {
    return this.#folder.at(name);
  }

  /** The authority, in EC. */
  get root(): Made {
    return this.make({ names: ["Test Root"], by: "itself", isAuthority: true, isNameless: true });
  }

  /** An authority that the root vouches for. */
  get intermediate(): Made {
    return this.make({ names: ["Test Intermediate"], isAuthority: true, isNameless: true });
  }

  /** A certificate for these names that is good for a year, with a key in EC. */
  leaf(...names: string[]): Made {
    return this.make({ names });
  }

  /** The same with a key in RSA. */
  rsa(...names: string[]): Made {
    return this.make({ names, kind: "rsa" });
  }

  expired(...names: string[]): Made {
    return this.make({
      names,
      from: new Date(Date.now() - 30 * DAY_MS),
      until: new Date(Date.now() - DAY_MS),
    });
  }

  notYetValid(...names: string[]): Made {
    return this.make({
      names,
      from: new Date(Date.now() + DAY_MS),
      until: new Date(Date.now() + 30 * DAY_MS),
    });
  }

  /** What a client shows. */
  client(name: string): Made {
    return this.make({ names: [name], use: "client", isNameless: true });
  }

  make(order: Order): Made {
    const by = order.by ?? this.root;
    const id = JSON.stringify({ ...order, by: by === "itself" ? by : by.cert });
    const known = this.#made.get(id);
    if (known !== undefined) return known;
    const base = this.at(`${this.#made.size}-${order.names[0].replace(/[^a-zA-Z0-9.-]/g, "_")}`);
    const made = { cert: `${base}.pem`, key: order.key ?? `${base}.key`, chain: `${base}.chain.pem` };
    this.#made.set(id, made);
    this.#sign(order, by, made);
    const above = by === "itself" || by.cert === this.root.cert ? "" : readFileSync(by.chain, "utf8");
    writeFileSync(made.chain, readFileSync(made.cert, "utf8") + above);
    return made;
  }

  /** The same certificate with another signature, which is nobody's. */
  forged({ cert, key }: Made): Made {
    const path = this.at(`${crypto.randomUUID()}.forged.pem`);
    const [begin, end] = ["-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n"];
    const der = new X509Certificate(readFileSync(cert)).raw;
    der[der.length - 1] ^= 1;
    writeFileSync(path, begin + der.toString("base64").replace(/.{64}(?=.)/g, "$&\n") + end);
    return { cert: path, key, chain: path };
  }

  /** A list of what an authority has revoked. */
  revoked(
    by: Made,
    which: readonly Made[],
    { from = new Date(Date.now() - DAY_MS), until = new Date(Date.now() + 30 * DAY_MS) }: Pick<
      Order,
      "from" | "until"
    > = {},
  ): string {
    const config = this.#registry(by), path = this.at(`${crypto.randomUUID()}.crl.pem`);
    const signed = ["-config", config, "-cert", by.cert, "-keyfile", by.key];
    for (const { cert } of which) openssl("ca", ...signed, "-revoke", cert);
    const times = ["-crl_lastupdate", stamp(from), "-crl_nextupdate", stamp(until)];
    openssl("ca", ...signed, "-gencrl", ...times, "-out", path);
    return path;
  }

  /** What an authority says of a certificate that it signed, in DER. */
  ocsp(by: Made, of: Made): string {
    const path = this.at(`${crypto.randomUUID()}.ocsp`);
    const index = `${this.#registry(by)}.index`;
    const who = ["-CA", by.cert, "-rsigner", by.cert, "-rkey", by.key, "-issuer", by.cert, "-cert", of.cert];
    openssl("ocsp", "-index", index, ...who, "-ndays", "7", "-noverify", "-respout", path);
    return path;
  }

  #sign(
    { names, kind = "ec", bits = 2_048, ...order }: Order,
    by: Made | "itself",
    { cert, key }: Made,
  ): void {
    const request = `${cert}.csr`, extensions = `${cert}.ext`;
    const algorithm = kind === "ec"
      ? ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
      : kind === "rsa"
      ? ["rsa", "-pkeyopt", `rsa_keygen_bits:${bits}`]
      : ["ed25519"];
    if (order.key === undefined) openssl("genpkey", "-algorithm", ...algorithm, "-out", key);
    openssl("req", "-utf8", "-new", "-key", key, "-subj", `/CN=${names[0]}`, "-out", request);
    const isAddress = (name: string): boolean => /^[0-9.]+$|:/.test(name);
    const alternative = names.map((name) => `${isAddress(name) ? "IP" : "DNS"}:${name}`).join(",");
    writeFileSync(
      extensions,
      [
        "[x]",
        `basicConstraints=critical,CA:${order.isAuthority === true ? "TRUE" : "FALSE"}`,
        ...(order.isAuthority ? ["keyUsage=critical,keyCertSign,cRLSign,digitalSignature"] : []),
        ...(order.isAuthority ? [] : [`extendedKeyUsage=${order.use ?? "server"}Auth`]),
        ...(order.isNameless ? [] : [`subjectAltName=${alternative}`]),
        ...(order.namesIssuer ? ["authorityInfoAccess=caIssuers;URI:http://ca.example/issuer.der"] : []),
        "subjectKeyIdentifier=hash",
        "",
      ].join("\n"),
    );
    const self = { cert: "", key, chain: "" };
    const config = this.#registry(by === "itself" ? { ...self, cert } : by);
    const { from = new Date(Date.now() - DAY_MS), until = new Date(Date.now() + 365 * DAY_MS) } = order;
    const signer = by === "itself" ? ["-selfsign", "-keyfile", key] : ["-cert", by.cert, "-keyfile", by.key];
    const times = ["-startdate", stamp(from), "-enddate", stamp(until)];
    const what = ["-in", request, "-out", cert, "-extfile", extensions, "-extensions", "x"];
    const digest = kind === "ed25519" && by === "itself" ? [] : ["-md", order.digest ?? "sha256"];
    openssl("ca", "-config", config, "-batch", "-notext", ...signer, ...times, ...digest, ...what);
  }

  /** The configuration that openssl keeps an authority's books by. */
  #registry({ cert }: Made): string {
    const config = `${cert}.registry`;
    if (existsSync(config)) return config;
    mkdirSync(`${config}.new`);
    writeFileSync(`${config}.index`, "");
    writeFileSync(`${config}.crlnumber`, "01\n");
    writeFileSync(
      config,
      [
        "[ca]",
        "default_ca=it",
        "[it]",
        `database=${config}.index`,
        `new_certs_dir=${config}.new`,
        `crlnumber=${config}.crlnumber`,
        "rand_serial=yes",
        "unique_subject=no",
        "default_md=sha256",
        "default_crl_days=30",
        "policy=any",
        "email_in_dn=no",
        "[any]",
        "commonName=supplied",
        "",
      ].join("\n"),
    );
    return config;
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

/** @throws if openssl does not like it, with its words */
export function openssl(...words: string[]): void {
  execFileSync("openssl", words, { timeout: OPENSSL_DEADLINE_MS, stdio: ["ignore", "ignore", "pipe"] });
}

/** As openssl reads times: YYYYMMDDHHMMSSZ. */
function stamp(date: Date): string {
  return date.toISOString().replace(/[-:T]/g, "").replace(/\.[0-9]+/, "");
}
