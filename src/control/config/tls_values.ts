// What is written about TLS: files, names, pins, protocols, where certificates are asked for. Strict where a
// value that is accepted could never fit anything.
import { isIPv4, isIPv6 } from "node:net";
import { quoted, type Reading, refused, shown, taken } from "./errors.ts";
import { readHost } from "./http_values.ts";

const PATH_CHARACTERS_MAX = 4_000;
const URL_CHARACTERS_MAX = 2_000;
const EMAIL_CHARACTERS_MAX = 254;
const KEY_ID_CHARACTERS_MAX = 512;
/** A key for HMAC-SHA-256 (RFC 8555 section 7.3.4): what authorities give out is longer. */
const HMAC_BYTES: Readonly<Record<"min" | "max", number>> = { min: 16, max: 512 };
/** A name in ALPN (RFC 7301 section 3.1). */
const ALPN_BYTES_MAX = 255;
/** What proves that a name is ours (RFC 8737): answered without being asked for. */
const ALPN_OF_ACME = "acme-tls/1";
/** SHA-256 in base64. */
const PIN = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** The key of `sni` for names that no other key is for. */
export const SNI_DEFAULT = "default";

/** Reads the path of a file, which is not opened. What stands in such a file is never repeated. */
export function readFilePath(input: string): Reading<string> {
  if (input.includes("-----BEGIN ")) {
    return refused("what stands in the file, not where it is", "write its path, without ${file:...}");
  }
  if (input === "") return refused("empty", "write the path of a file");
  if (input.length > PATH_CHARACTERS_MAX) {
    return refused(`a path of ${input.length} characters`, `write at most ${PATH_CHARACTERS_MAX}`);
  }
  if (/[\p{Cc}\p{Cs}]/u.test(input)) {
    return refused(`${quoted(input)} holds a control character`, "write a path in printable characters");
  }
  const path = /^file:(?:\/\/)?(.*)$/.exec(input)?.[1];
  if (path !== undefined) {
    return refused(
      `${quoted(input)} begins with "file:"`,
      path === "" ? "write a path" : `write ${shown(path)}`,
    );
  }
  return taken(input);
}

/** Reads a directory, which need not be there. */
export function readDirectory(input: string): Reading<string> {
  const path = readFilePath(input);
  if (!path.ok && input === "") return refused("empty", "write the path of a directory");
  return path.ok && path.value.length > 1 ? taken(path.value.replace(/\/+$/, "") || "/") : path;
}

/** Reads a name that a client asks for: exact, `*.NAME`, or `default`. @returns it in lower case */
export function readSniName(input: string): Reading<string> {
  if (input.toLowerCase() === SNI_DEFAULT) return taken(SNI_DEFAULT);
  if (input === "*" || input === "") {
    return refused("is no name", `write ${SNI_DEFAULT} for what no other name is for`);
  }
  const host = readHost(input);
  if (!host.ok) {
    return refused("is no name", host.remedy.startsWith("write a host such as") ? SNI_FORM : host.remedy);
  }
  if (!isAddress(host.value)) return host;
  return refused("is an address, which no client asks for by name", "bind a listener to that address");
}

const SNI_FORM = `write a name such as shop.example, *.shop.example, or ${SNI_DEFAULT}`;

/** Reads the name that a server's certificate must have: a host name without a star, or an IP address. */
export function readServerName(input: string): Reading<string> {
  if (isIPv4(input) || (isIPv6(input) && !input.includes("%"))) return taken(input.toLowerCase());
  const host = readHost(input);
  if (!host.ok) return host;
  if (host.value.startsWith("*.")) {
    return refused(`${quoted(input)} is many names`, "write the one that the servers' certificates have");
  }
  return taken(host.value.replace(/^\[(.*)\]$/, "$1"));
}

/** Whether a host of a route is an address and no name. */
export function isAddress(host: string): boolean {
  return host.startsWith("[") || isIPv4(host);
}

/** Reads the SHA-256 of a public key (its SubjectPublicKeyInfo) in base64, as RFC 7469 has it. */
export function readPin(input: string): Reading<string> {
  if (PIN.test(input)) return taken(input);
  const form = "write the SHA-256 of the server's public key in base64, 44 characters";
  const bare = /^(?:sha256\/\/?|pin-sha256=)"?([^"]*)"?$/.exec(input)?.[1];
  if (bare !== undefined && PIN.test(bare)) return refused(`${quoted(input)} says its kind`, `write ${bare}`);
  const hex = input.replaceAll(":", "");
  if (/^[0-9a-f]{64}$/i.test(hex)) {
    return refused(
      `${quoted(input)} is in hexadecimal`,
      `write ${Buffer.from(hex, "hex").toString("base64")}`,
    );
  }
  return refused(`${quoted(input)} is no SHA-256 in base64`, form);
}

/** Names of protocols as a hello has them: each behind its length (RFC 7301 section 3.1). */
export function protocolList(names: readonly string[]): Uint8Array {
  return Buffer.concat(names.flatMap((name) => [Buffer.of(name.length), Buffer.from(name)]));
}

/** Reads the name of a protocol that a listener offers by ALPN. */
export function readAlpn(input: string): Reading<string> {
  return input === ALPN_OF_ACME
    ? refused(`${quoted(input)} is answered for acme by itself`, "leave it out")
    : readProtocol(input);
}

/** Reads the name of a protocol as ALPN has it. */
export function readProtocol(input: string): Reading<string> {
  const form = "write a protocol's registered name, such as h2, http/1.1, imap, postgresql";
  if (input === "") return refused("empty", form);
  if (input.includes(",")) {
    return refused(
      `${quoted(input)} is more than one protocol`,
      `write [${shown(input.split(/, */).join(", "))}]`,
    );
  }
  if (!/^[\x21-\x7e]+$/.test(input) || input.length > ALPN_BYTES_MAX) {
    return refused(`${quoted(input)} is no name of a protocol`, form);
  }
  return taken(input);
}

/** Reads an address for letters from whoever gives certificates. */
export function readEmail(input: string): Reading<string> {
  const form = "write an address such as ops@shop.example";
  const bare = /^mailto:(.*)$/i.exec(input)?.[1];
  if (bare !== undefined) return refused(`${quoted(input)} begins with "mailto:"`, `write ${shown(bare)}`);
  const isGood = /^[^\s@,;:<>"()[\]\\\p{Cc}]+@[^\s@,;:<>"()[\]\\\p{Cc}]+\.[^\s@.,;:<>"()[\]\\\p{Cc}]+$/u.test(
    input,
  );
  if (!isGood || !/^[\x21-\x7e]+$/.test(input) || input.length > EMAIL_CHARACTERS_MAX) {
    return refused(`${quoted(input)} is no e-mail address`, form);
  }
  return taken(input);
}

/** Reads the URL of an ACME directory: what it says decides who gets certificates, so it comes over TLS. */
export function readDirectoryUrl(input: string): Reading<string> {
  return readUrl(input, ["https:"], "https://HOST/directory");
}

/** Reads the URL that is asked whether a name may have a certificate. */
export function readAllowUrl(input: string): Reading<string> {
  return readUrl(input, ["http:", "https:"], "http://127.0.0.1:9000/allowed");
}

function readUrl(input: string, schemes: readonly string[], example: string): Reading<string> {
  const form = `write a URL such as ${example}`;
  if (input.length > URL_CHARACTERS_MAX) {
    return refused(`a URL of ${input.length} characters`, `write at most ${URL_CHARACTERS_MAX}`);
  }
  if (!/^[\x21-\x7e]+$/.test(input) || !URL.canParse(input)) {
    return refused(`${quoted(input)} is no URL`, form);
  }
  const url = new URL(input);
  if (!schemes.includes(url.protocol)) {
    const isPlain = url.protocol === "http:";
    return isPlain
      ? refused(`${quoted(input)} is not over TLS`, `write ${shown(input.replace(/^http:/i, "https:"))}`)
      : refused(`${quoted(input)} is no URL of ${schemes.map((one) => `${one}//`).join(" or ")}`, form);
  }
  if (url.username !== "" || url.password !== "") return refused("a URL with a password", "leave it out");
  if (url.hash !== "") return refused(`${quoted(url.hash)} at the end, which nobody is sent`, "leave it out");
  return taken(input);
}

/** Reads the name of an account's key, as the authority gave it. */
export function readKeyId(input: string): Reading<string> {
  if (/^[\x21-\x7e]+$/.test(input) && input.length <= KEY_ID_CHARACTERS_MAX) return taken(input);
  return refused(`${quoted(input)} is no key's name`, "write it as the authority gave it");
}

/** Reads a key in base64url (RFC 4648 section 5), or in base64. The text itself is never repeated. */
export function readHmacKey(input: string): Reading<string> {
  const form = "write it as the authority gave it, in base64url";
  const plain = input.replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_");
  if (!/^[A-Za-z0-9_-]+$/.test(plain) || plain.length % 4 === 1) return refused("no base64url", form);
  const bytes = Math.floor(plain.length * 3 / 4);
  if (bytes < HMAC_BYTES.min) return refused(`a key of ${bytes} bytes, which is too short`, form);
  if (bytes > HMAC_BYTES.max) return refused(`a key of ${bytes} bytes, which is too long`, form);
  return taken(plain);
}
