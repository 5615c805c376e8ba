// What the broken configurations name under certs/: made anew in each run, with the names and the days that the
// texts beside them tell.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { FILE_BYTES_MAX } from "../../../src/control/certificates/pair.ts";
import { Certificates, type Made, openssl, type Order } from "../../support/certificates.ts";
import { diskOf, type Files } from "./files.ts";

/** The day of the texts. */
export const TODAY = Date.UTC(2026, 5, 15, 12);
const FOLDER = "certs/";

/** The disk of what is under certs/. */
export function certificatesOfTheBroken(): ReturnType<typeof diskOf> {
  const certificates = new Certificates();
  const made: Files = filesOf(certificates);
  const files = Object.fromEntries(Object.entries(made).map(([name, held]) => [FOLDER + name, held]));
  certificates[Symbol.dispose]();
  return diskOf(files);
}

function filesOf(all: Certificates): Record<string, string | Uint8Array | Error> {
  const from = new Date("2026-01-01T00:00:00Z"), until = new Date("2027-01-01T00:00:00Z");
  const ca = { isAuthority: true, isNameless: true };
  const make = (name: string, order: Partial<Order> = {}): Made =>
    all.make({ names: [name], from, until, by: root, ...order });
  const root = all.make({ names: ["Golden Root"], from, until, by: "itself", ...ca });
  const june = new Date("2026-06-01T00:00:00Z"), july = new Date("2026-07-01T00:00:00Z");
  const oldRoot = make("Old Root", { by: "itself", until: june, ...ca });
  const one = make("Intermediate One", ca), two = make("Intermediate Two", { by: one, ...ca });
  const oldTwo = make("Old Intermediate", { until: june, ...ca });
  const shop = make("shop.example"), pay = make("pay.example"), below = make("below.example", { by: two });
  const pairs: Record<string, Made> = {
    shop,
    pay,
    below,
    "shop-rsa": make("shop.example", { kind: "rsa" }),
    "shop-again": make("shop.example", { names: ["shop.example"], until: july }),
    star: make("*.shop.example"),
    stray: make("stray.example"),
    nameless: make("nameless", { isNameless: true }),
    alice: make("alice", { use: "client" }),
    "alice-expired": make("alice", { use: "client", until: june }),
    weak: make("weak.example", { kind: "rsa", bits: 1_024 }),
    sha1: make("sha1.example", { digest: "sha1" }),
    expired: make("expired.example", { until: june }),
    early: make("early.example", { from: july }),
    "below-old": make("below-old.example", { by: oldTwo }),
    alone: make("alone.example", { by: two, namesIssuer: true }),
    self: make("self.example", { by: "itself" }),
    ca: root,
    "old-ca": oldRoot,
  };
  const pem = (...made: Made[]): string => made.map(({ cert }) => readFileSync(cert, "utf8")).join("");
  const key = (made: Made): string => readFileSync(made.key, "utf8");
  const by = (...words: string[]): Uint8Array => {
    const path = all.at("out");
    openssl(...words, "-out", path);
    return new Uint8Array(readFileSync(path));
  };
  const files: Record<string, string | Uint8Array | Error> = {};
  for (const [name, made] of Object.entries(pairs)) {
    files[`${name}.pem`] = pem(made);
    files[`${name}.key`] = key(made);
  }
  const garbage = (label: string): string =>
    `-----BEGIN ${label}-----\nZ2FyYmFnZQ==\n-----END ${label}-----\n`;
  const crl = all.revoked(root, [shop], { from, until }), passphrase = ["-aes256", "-passout", "pass:zaphod"];
  return {
    ...files,
    "old-chain.pem": pem(pairs["below-old"], oldTwo),
    "shuffled.pem": pem(below, one, two),
    "torn.pem": pem(below, oldRoot),
    "upside-down.pem": pem(two, below),
    "more-than-self.pem": pem(pairs.self, root),
    "some-old-ca.pem": pem(root, oldRoot),
    "many.pem": pem(...Array.from({ length: 17 }, () => shop)),
    "shop.csr": readFileSync(`${shop.cert}.csr`, "utf8"),
    "shop.der": by("x509", "-in", shop.cert, "-outform", "der"),
    "encrypted.key": by("pkcs8", "-topk8", "-in", shop.key, "-v2", "aes256", "-passout", "pass:zaphod"),
    "encrypted-old.key": by("ec", "-in", shop.key, ...passphrase),
    "public.key": by("pkey", "-in", shop.key, "-pubout"),
    "both.key": key(shop) + key(pay),
    "openssh.key": garbage("OPENSSH PRIVATE KEY"),
    "garbage.pem": garbage("CERTIFICATE"),
    "garbage.key": garbage("PRIVATE KEY"),
    "cut.pem": pem(shop).replace(/\n[^\n]*\n-----END/, "\n-----END"),
    "empty": "",
    "text": "beeblebrox\n",
    "huge.pem": new Uint8Array(FILE_BYTES_MAX + 1).fill(0x20),
    "tickets.key": new Uint8Array(randomBytes(80)),
    "short-tickets.key": new Uint8Array(randomBytes(48)),
    "pay.ocsp": new Uint8Array(readFileSync(all.ocsp(root, pay))),
    "ca.crl": readFileSync(crl, "utf8"),
    "crl.der": by("crl", "-in", crl, "-outform", "der"),
    "old.crl": readFileSync(all.revoked(root, [], { from, until: june }), "utf8"),
    "secret.pem": Object.assign(new Error("no"), { code: "EACCES" }),
    "secret.key": Object.assign(new Error("no"), { code: "EACCES" }),
    "": Object.assign(new Error("no"), { code: "EISDIR" }),
  };
}
