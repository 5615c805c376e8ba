// The files that a configuration names for TLS: each is read once and judged, and certificates are held against
// the names that their listener has. What is found here is told by check and at every start; whoever uses the
// files reads them anew, for they change.
import {
  type Counted,
  type FileFlaw,
  readAuthorities,
  readOcsp,
  readRevocations,
  readTicketKeys,
} from "../certificates/bundle.ts";
import { coversName, FILE_BYTES_MAX, type Pair, readPair, type Wanted } from "../certificates/pair.ts";
import { bytesOfFile, type Disk } from "./disk.ts";
import { quoted } from "./errors.ts";
import { type Finding, type Path, valueAt } from "./finding.ts";
import type { Config } from "./schema.ts";
import { endsTls } from "./tls_checks.ts";
import { endedNames } from "./sni_schema.ts";
import { isAddress, SNI_DEFAULT } from "./tls_values.ts";

type Listener = Config["listeners"][string];

/** A pair, and where it is configured. */
interface Placed {
  readonly pair: Pair;
  readonly path: Path;
  /** The path of its certificate's file. */
  readonly file: string;
}

/** Names that one message has room for. */
const TOLD_MAX = 3;

/** What is wrong with the files, and with what they hold; `raw` is what `config` was made of. */
export function certificateFindings(config: Config, raw: unknown, disk: Disk, now: number): Finding[] {
  const files = new Files(disk, now);
  for (const [name, listener] of Object.entries(config.listeners)) ofListener(name, listener, raw, files);
  for (const [name, { tls }] of Object.entries(config.upstreams)) {
    if (tls === undefined) continue;
    const path = ["upstreams", name, "tls"];
    files.judge(tls.ca, [...path, "ca"], (bytes) => readAuthorities(bytes, now));
    files.judge(tls.crl, [...path, "crl"], (bytes) => readRevocations(bytes, now));
    if (tls.cert !== undefined) {
      files.pair({ cert: tls.cert, key: tls.key ?? tls.cert }, path, { use: "client", now });
    }
  }
  files.judge(config["tls-ticket-keys"], ["tls-ticket-keys"], readTicketKeys);
  return files.findings;
}

/** Files that were read, and what was found in them. */
class Files {
  readonly findings: Finding[] = [];
  readonly now: number;
  readonly #disk: Disk;
  /** By path: what it holds, or why it holds nothing. */
  readonly #read = new Map<string, Uint8Array | FileFlaw>();

  constructor(disk: Disk, now: number) {
    this.#disk = disk;
    this.now = now;
  }

  /** Reads a pair; undefined, and findings, if it is none. */
  pair(given: { cert: string; key: string }, path: Path, wanted: Wanted): Pair | undefined {
    const cert = this.bytes(given.cert, [...path, "cert"]);
    const key = given.key === given.cert ? cert : this.bytes(given.key, [...path, "key"]);
    if (cert === undefined || key === undefined) return undefined;
    const { pair, flaws } = readPair(cert, key, wanted);
    for (const { about, ...flaw } of flaws) this.#tell(given[about], [...path, about], flaw);
    return pair;
  }

  /** Judges a file, if there is one. */
  judge(
    file: string | undefined,
    path: Path,
    read: (bytes: Uint8Array) => Counted | readonly FileFlaw[],
  ): void {
    const bytes = file === undefined ? undefined : this.bytes(file, path);
    if (file === undefined || bytes === undefined) return;
    const found = read(bytes), flaws = "flaws" in found ? found.flaws : found;
    for (const flaw of flaws) this.#tell(file, path, flaw);
  }

  /** What a file holds; undefined, and a finding, if it cannot be read. */
  bytes(file: string, path: Path): Uint8Array | undefined {
    let found = this.#read.get(file);
    if (found === undefined) {
      const read = bytesOfFile(file, this.#disk, FILE_BYTES_MAX + 1);
      found = !(read instanceof Uint8Array)
        ? { ...read, severity: "error" }
        : read.length > FILE_BYTES_MAX
        ? {
          what: `longer than ${FILE_BYTES_MAX} bytes`,
          remedy: "write the path of another file",
          severity: "error",
        }
        : read;
      this.#read.set(file, found);
    }
    if (found instanceof Uint8Array) return found;
    this.#tell(file, path, found);
    return undefined;
  }

  #tell(file: string, path: Path, { what, remedy, severity }: FileFlaw): void {
    this.findings.push({ path, what: `${quoted(file)}: ${what}`, remedy, severity });
  }
}

function ofListener(name: string, listener: Listener, raw: unknown, files: Files): void {
  const { tls } = listener, path = ["listeners", name, "tls"];
  if (tls === undefined) return;
  const placed: Placed[] = [];
  let isWhole = true;
  for (const [at, given] of tls.certificates.entries()) {
    const place = [...path, "certificates", at];
    const pair = files.pair(given, place, { use: "server", now: files.now });
    if (pair === undefined) isWhole = false;
    else placed.push({ pair, path: [...place, "cert"], file: given.cert });
    files.judge(given.ocsp, [...place, "ocsp"], (bytes) => readOcsp(bytes, pair?.certificate, files.now));
  }
  files.judge(tls.acme?.ca, [...path, "acme", "ca"], (bytes) => readAuthorities(bytes, files.now));
  files.judge(tls.client.ca, [...path, "client", "ca"], (bytes) => readAuthorities(bytes, files.now));
  files.judge(tls.client.crl, [...path, "client", "crl"], (bytes) => readRevocations(bytes, files.now));
  // Which names a certificate has is not known of one that is none.
  if (!isWhole || !endsTls(listener)) return;
  files.findings.push(
    ...twice(placed),
    ...ofNames(name, listener, placed, raw),
    ...unasked(name, listener, placed),
  );
}

/** Certificates for a name that another before them has, with a key of the same kind: they are never shown. */
function twice(placed: readonly Placed[]): Finding[] {
  const seen = new Map<string, string>();
  return placed.flatMap(({ pair: { certificate, kind }, path, file }): Finding[] => {
    const names = [...certificate.names, ...certificate.addresses];
    const known = names.map((name) => seen.get(`${kind} ${name}`));
    for (const name of names) if (!seen.has(`${kind} ${name}`)) seen.set(`${kind} ${name}`, file);
    if (names.length === 0 || known.includes(undefined)) return [];
    const what =
      `${quoted(file)}: never shown, because ${quoted(known[0]!)} is for ${listed(names)} as well, with ` +
      `${ARTICLES[kind]} key too`;
    return [{ path, what, remedy: "leave one of them out", severity: "warning" }];
  });
}

const ARTICLES = { ec: "an EC", rsa: "an RSA", ed25519: "an Ed25519" } as const;

/** Names that somebody may ask for, each with its place. */
function* askedNames(name: string, { routes, sni }: Listener, raw: unknown): Generator<[string, Path]> {
  for (const [at, { match: { host } }] of routes.entries()) {
    const path = ["listeners", name, "routes", at, "match", "host"];
    for (const [nth, one] of host.entries()) {
      if (!isAddress(one)) yield [one, Array.isArray(valueAt(raw, path)) ? [...path, nth] : path];
    }
  }
  for (const asked of endedNames({ sni })) {
    if (asked !== SNI_DEFAULT) yield [asked, ["listeners", name, "sni", asked]];
  }
}

/** A name that authorities issue for (CA/Browser Forum, 7.1.4.2.1): no underscores. */
const HOST_NAME = /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

/** Names without a certificate: none that was given is for them, and none is issued. */
function ofNames(name: string, listener: Listener, placed: readonly Placed[], raw: unknown): Finding[] {
  const acme = listener.tls?.acme, [first] = placed, seen = new Set<string>();
  if (acme?.["on-demand"] !== undefined) return [];
  const findings: Finding[] = [];
  for (const [asked, path] of askedNames(name, listener, raw)) {
    if (seen.has(asked) || placed.some(({ pair }) => coversName(pair.certificate, asked))) continue;
    seen.add(asked);
    if (acme !== undefined && asked.startsWith("*.")) {
      const what =
        `no certificate for ${quoted(asked)} can be issued: that needs dns-01, which is not supported ` +
        "in this version";
      const remedy = "give a certificate for it, write each name, or on-demand: { allow: URL }";
      findings.push({ path, what, remedy, severity: "error" });
    } else if (acme !== undefined && !HOST_NAME.test(asked)) {
      const what = `no certificate for ${
        quoted(asked)
      } can be issued: authorities take letters, digits and hyphens`;
      findings.push({ path, what, remedy: "give a certificate for it", severity: "error" });
    } else if (acme === undefined && first !== undefined) {
      const what =
        `no certificate is for ${quoted(asked)}: clients are shown that of ${namesText(first)}, and most ` +
        "turn away";
      findings.push({ path, what, remedy: "give one that is, or write acme", severity: "warning" });
    }
  }
  return findings;
}

function namesText({ pair: { certificate: { names, addresses, subject } } }: Placed): string {
  return names.length + addresses.length > 0 ? listed([...names, ...addresses]) : quoted(subject);
}

function listed(names: readonly string[]): string {
  const first = names.slice(0, TOLD_MAX).map((name) => quoted(name)).join(", ");
  return names.length > TOLD_MAX ? `${first}, ...` : first;
}

/** Certificates for names that lead nowhere here. The first one is for all names that no other has. */
function unasked(name: string, listener: Listener, placed: readonly Placed[]): Finding[] {
  const { routes, to, sni } = listener;
  const isForAny = sni === undefined
    ? to !== undefined || routes.length === 0 || routes.some(({ match }) => match.host.length === 0)
    : endedNames({ sni }).includes(SNI_DEFAULT);
  if (isForAny) return [];
  const hosts = routes.flatMap(({ match }) => match.host);
  const asked = sni === undefined ? hosts : endedNames({ sni });
  const [where, remedy] = sni === undefined
    ? [`none of which listener ${quoted(name)} has a route for`, "write a route for it, or leave it out"]
    : [
      `for none of which sni of listener ${quoted(name)} ends TLS`,
      "write { terminate: UPSTREAM } for it, or leave it out",
    ];
  return placed.flatMap(({ pair: { certificate }, path, file }): Finding[] => {
    const names = [...certificate.names, ...certificate.addresses];
    if (names.length === 0 || names.some((own) => asked.some((host) => meets(own, host)))) return [];
    return [{
      path,
      what: `${quoted(file)}: is for ${listed(names)}, ${where}`,
      remedy,
      severity: "warning",
    }];
  });
}

/** Whether some name is both: a certificate's star is one label, a route's is any depth. */
function meets(own: string, host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (bare === own) return true;
  if (host.startsWith("*.")) return own.endsWith(host.slice(1));
  return own.startsWith("*.") && coversName({ names: [own] }, host);
}
