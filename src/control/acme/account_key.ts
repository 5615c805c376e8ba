// The account's key, and what is signed with it: JWS in its flattened form (RFC 7515, RFC 8555 section 6.2).
import { createHash, createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";

/** Base64url without padding, as JWS wants it. */
export function base64url(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as Uint8Array).toString("base64url");
}

export class AccountKey {
  /** RFC 7638. What is answered to HTTP-01 is TOKEN.THUMBPRINT (RFC 8555 section 8.1). */
  readonly thumbprint: string;
  /** Its members in the order that the thumbprint is taken in. */
  readonly jwk: Readonly<Record<"crv" | "kty" | "x" | "y", string>>;
  readonly #key: KeyObject;

  /** @throws if that is no P-256 key */
  constructor(keyPem: string) {
    this.#key = createPrivateKey(keyPem);
    const { crv, kty, x, y } = createPublicKey(this.#key).export({ format: "jwk" });
    if (kty !== "EC" || crv !== "P-256" || x === undefined || y === undefined) {
      throw new Error("an account's key must be an EC key on P-256");
    }
    this.jwk = { crv, kty, x, y };
    this.thumbprint = base64url(createHash("sha256").update(JSON.stringify(this.jwk)).digest());
  }

  /** What proves, for one token, that the key is ours. */
  authorization(token: string): string {
    return `${token}.${this.thumbprint}`;
  }

  /** @param payload undefined: POST-as-GET, whose payload is empty (RFC 8555 section 6.3) */
  sign(head: Readonly<Record<string, unknown>>, payload: unknown): string {
    const first = base64url(JSON.stringify({ alg: "ES256", ...head }));
    const second = payload === undefined ? "" : base64url(JSON.stringify(payload));
    const signature = sign("sha256", Buffer.from(`${first}.${second}`, "latin1"), {
      key: this.#key,
      dsaEncoding: "ieee-p1363",
    });
    return JSON.stringify({ protected: first, payload: second, signature: base64url(signature) });
  }

  /** The account that the CA's owner has given us, bound to this key (RFC 8555 section 7.3.4). */
  bind(url: string, keyId: string, hmacKey: string): unknown {
    const first = base64url(JSON.stringify({ alg: "HS256", kid: keyId, url }));
    const second = base64url(JSON.stringify(this.jwk));
    const secret = Buffer.from(hmacKey, "base64url"); // reads plain base64 too, which some CAs hand out
    const signature = createHmac("sha256", secret).update(`${first}.${second}`).digest();
    return { protected: first, payload: second, signature: base64url(signature) };
  }
}
