/** The certificates that the proxies show, made anew by each run with `openssl`. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./tools.ts";

/** By its key: P-256, or RSA of 2048 bits. */
export type Certificate = "ecdsa" | "rsa";

export const SERVER_NAME = "bench.test"; // as tls.h has it
const ALGORITHMS: Record<Certificate, string[]> = {
  ecdsa: ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
  rsa: ["rsa:2048"],
};

const FOLDER = "bench/.build";
const CA = { chain: `${FOLDER}/ca.pem`, key: `${FOLDER}/ca.key` };

/** Paths from the root; `bundle` has chain and key in one file. */
export function filesOf(certificate: Certificate): { chain: string; key: string; bundle: string } {
  const base = `${FOLDER}/${certificate}`;
  return { chain: `${base}.pem`, key: `${base}.key`, bundle: `${base}.bundle` };
}

function request(name: string, algorithm: string[], files: { chain: string; key: string }, more: string[]) {
  const made = ["-newkey", ...algorithm, "-noenc", "-keyout", files.key, "-out", files.chain];
  execFileSync("openssl", ["req", "-x509", "-subj", `/CN=${name}`, "-days", "30", ...made, ...more], {
    cwd: root,
    stdio: ["ignore", "ignore", "pipe"],
    timeout: 30_000,
  });
}

/** Makes a pair of each kind. As with public authorities, the file has the server's certificate and the one
 * that signed it, so a handshake carries about as many bytes as there. */
export function makeCertificates(): void {
  request("Bench CA", ALGORITHMS.ecdsa, CA, []);
  const text = (path: string) => readFileSync(join(root, path), "utf8");
  for (const certificate of ["ecdsa", "rsa"] as const) {
    const files = filesOf(certificate);
    const signed = ["-CA", CA.chain, "-CAkey", CA.key];
    const names = ["-addext", `subjectAltName=DNS:${SERVER_NAME},IP:127.0.0.1`];
    const server = ["-addext", "basicConstraints=critical,CA:FALSE"];
    request(SERVER_NAME, ALGORITHMS[certificate], files, [...signed, ...names, ...server]);
    const chain = text(files.chain) + text(CA.chain);
    writeFileSync(join(root, files.chain), chain);
    writeFileSync(join(root, files.bundle), chain + text(files.key), { mode: 0o600 });
  }
}
