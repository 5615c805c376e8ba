// PEM (RFC 7468): a text with blocks of DER in base64. What stands outside of blocks is for people.

/** One block. */
export interface PemBlock {
  /** `CERTIFICATE`, `PRIVATE KEY`, ... */
  readonly label: string;
  /** Empty if it is no base64. */
  readonly der: Uint8Array;
  /** The block as it stands there, both of its lines included. */
  readonly text: string;
}

/** Certificates that stand in one file. */
export const BLOCKS_MAX = 10_000;

/** The blocks of a text, in order, at most one more than BLOCKS_MAX; one without its end is left out. */
export function pemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  const begin = /-----BEGIN ([A-Z0-9 ]{1,64})-----/g;
  for (let found = begin.exec(text); found !== null; found = begin.exec(text)) {
    const [line, label] = found, last = `-----END ${label}-----`;
    const end = text.indexOf(last, begin.lastIndex);
    if (end < 0) break;
    const inside = text.slice(found.index + line.length, end);
    blocks.push({ label, der: bytesOf(inside), text: text.slice(found.index, end + last.length) });
    begin.lastIndex = end + last.length;
    if (blocks.length > BLOCKS_MAX) break;
  }
  return blocks;
}

/** DER in a PEM block. */
export function pemOf(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

function bytesOf(inside: string): Uint8Array {
  const base64 = inside.replace(/\s+/g, "");
  return /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? new Uint8Array(Buffer.from(base64, "base64")) : EMPTY;
}

const EMPTY = new Uint8Array(0);
