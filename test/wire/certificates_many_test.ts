// Ten thousand certificates on one listener: how long the start takes, how much memory, who is shown what, and what
// one that changes costs.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createHash, createPrivateKey, type KeyObject, sign, X509Certificate } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { after, describe, it } from "node:test";
import { Certificates, type Made } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { Folder } from "../support/folder.ts";
import { sClient } from "../support/s_client.ts";
import { echo, Server } from "../support/servers.ts";
import { residentBytes } from "../support/status.ts";

const COUNT = 10_000;
/** Every so many is for what is below its name. */
const WILD_EVERY = 10;
/** On a busy machine; where nothing else runs it takes less than three seconds. */
const START_MS_MAX = 12_000;
/** What they may take beyond a Sluice with one, each, with what reading the file of two MiB has left behind: 32 KiB
 * right after the start, 20 KiB soon after, of which 7 KiB are OpenSSL's. */
const BYTES_EACH_MAX = 49_152;

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const { root } = certificates;

const nameOf = (number: number): string => {
  const name = `n${String(number).padStart(5, "0")}.many.example`;
  return number % WILD_EVERY === 0 ? `*.${name}` : name;
};

/** Certificates like one that openssl made, for other names, signed by the same authority: a process for each would
 * take minutes. */
class Copies {
  readonly #of: Buffer;
  readonly #name: string;
  readonly #key: KeyObject;

  constructor({ cert }: Made, name: string) {
    this.#of = new X509Certificate(readFileSync(cert)).raw;
    this.#name = name;
    this.#key = createPrivateKey(readFileSync(root.key));
  }

  /** For a name of the same length. In PEM. */
  for(name: string): string {
    strictEqual(name.length, this.#name.length);
    const [tbsAt] = inside(this.#of, 0), [, tbsEnd] = inside(this.#of, tbsAt);
    const [, algorithmEnd] = inside(this.#of, tbsEnd);
    const tbs = Buffer.from(this.#of.subarray(tbsAt, tbsEnd));
    for (let at = tbs.indexOf(this.#name); at >= 0; at = tbs.indexOf(this.#name, at + 1)) tbs.write(name, at);
    const signature = sign("sha256", tbs, this.#key);
    const bits = Buffer.concat([Buffer.of(3, signature.length + 1, 0), signature]);
    const all = Buffer.concat([tbs, this.#of.subarray(tbsEnd, algorithmEnd), bits]);
    const der = Buffer.concat([Buffer.of(0x30, 0x82, all.length >> 8, all.length & 255), all]);
    return `-----BEGIN CERTIFICATE-----\n${der.toString("base64")}\n-----END CERTIFICATE-----\n`;
  }
}

/** Where the contents of the DER element at `at` begin and end. */
function inside(der: Buffer, at: number): [from: number, end: number] {
  const first = der[at + 1];
  if (first < 0x80) return [at + 2, at + 2 + first];
  const size = first & 0x7f;
  return [at + 2 + size, at + 2 + size + der.readUIntBE(at + 2, size)];
}

const fingerprintOf = (pem: string): string =>
  createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");

describe("ten thousand certificates", () => {
  it("are there within seconds, in bounded memory, and each is found", { timeout: 60_000 }, async () => {
    using folder = new Folder();
    const one = certificates.leaf(nameOf(1));
    // One key for all: what it takes to make them is not what is looked at.
    const wild = certificates.make({ names: [nameOf(0)], key: one.key });
    const copies = [new Copies(wild, nameOf(0)), new Copies(one, nameOf(1))];
    const files = Array.from({ length: COUNT }, (_, number) => {
      const cert = folder.at(`${number}.pem`);
      writeFileSync(cert, copies[number % WILD_EVERY === 0 ? 0 : 1].for(nameOf(number)));
      return { cert, key: one.key };
    });
    await using server = await Server.listen(echo);
    const configOf = (shown: readonly object[]) => ({
      listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls: { certificates: shown } } },
      upstreams: { app: { servers: [server.address], health: "off" } },
    });
    let alone = 0;
    await withConfig(configOf(files.slice(0, 1)), (sluice) => {
      alone = residentBytes(sluice.pid);
      return Promise.resolve();
    });
    const begun = performance.now();
    await withConfig(configOf(files), async (sluice) => {
      const took = performance.now() - begun, each = (residentBytes(sluice.pid) - alone) / COUNT;
      ok(took < START_MS_MAX, `${took} ms to start`);
      ok(each < BYTES_EACH_MAX, `${each} bytes each`);
      const shown = async (name: string): Promise<string> => {
        const said = await sClient(sluice.port(), ["-servername", name, "-CAfile", root.cert]);
        match(said, /Verify return code: 0/);
        return fingerprintOf(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(said)![0]);
      };
      const file = (number: number) => fingerprintOf(readFileSync(files[number].cert, "utf8"));
      for (const number of [1, 2, 4_999, 7_777, COUNT - 1]) {
        strictEqual(await shown(nameOf(number)), file(number), nameOf(number));
      }
      for (const number of [0, 10, 5_000, COUNT - WILD_EVERY]) {
        strictEqual(await shown(nameOf(number).replace("*", "any")), file(number), nameOf(number));
      }
      strictEqual(await shown("nobody.example"), file(0), "the first one for all others");

      // One that changes: the rest is not read.
      writeFileSync(`${files[4_999].cert}.new`, copies[1].for(nameOf(4_999)));
      renameSync(`${files[4_999].cert}.new`, files[4_999].cert);
      const line = await sluice.line("certificates", /was read again/);
      match(line.message, /4999\.pem was read again: n04999\.many\.example/);
      strictEqual(await shown(nameOf(4_999)), file(4_999));
      deepStrictEqual(sluice.log("certificates").length, 1);
      const { certificates: told } = await sluice.status();
      strictEqual(told.length, COUNT);
    });
  });
});
