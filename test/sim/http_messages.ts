// What HTTP clients ask and servers answer, all of it decided by the dice, and what came of it. A request
// carries its number in its target, an answer the number of the request and of the attempt it is for.
import type { Reason } from "../../src/shared/reason.ts";
import { someBytes } from "./bytes.ts";
import type { Random } from "./random.ts";

export interface Request {
  /** "3.1": the second request of client 3. */
  readonly id: string;
  readonly method: string;
  /** HTTP/1.0. */
  readonly old: boolean;
  /** Its client says that it is the last one. */
  readonly isLast: boolean;
  readonly framing: "none" | "length" | "chunked";
  readonly body: Uint8Array;
  readonly head: Uint8Array;
  /** The body as it is sent. */
  readonly coded: Uint8Array;
  /** Sent without waiting for the answer before it. */
  readonly pipelined: boolean;
  /** Waits for leave to send its body. */
  readonly expects: boolean;
  /** Asks to switch protocols; its body is what it says then. */
  readonly upgrades: boolean;
  /** The status that refuses its head, or 0: there is nothing wrong with it. */
  readonly refusal: number;
  /** Its body is malformed. */
  readonly badBody: boolean;
  /** How long its client thinks before it. */
  readonly thinkMs: number;
  readonly attempts: Attempt[];
  /** When its first byte was sent, and when its client had sent all of it. */
  begunMs: number;
  allSent: boolean;
  /** What its client was sent in answer. */
  told: Told | undefined;
  /** Its record. */
  record: { readonly reason: Reason; readonly status: number; readonly atMs: number } | undefined;
}

/** An answer on its way to a client. */
export interface Told {
  readonly status: number;
  /** Made by Sluice itself: the type of its Proxy-Status. */
  readonly own: string;
  /** Whose answer it is. */
  readonly attempt: Attempt | undefined;
  /** Says that it is the connection's last, or lasts until its end. */
  readonly isLast: boolean;
  bodyBytes: number;
  whole: boolean;
  /** Where it ends in the client's stream, once whole. */
  endAt: number;
}

/** A request at a server. */
export interface Attempt {
  readonly request: Request;
  readonly number: number;
  /** On a connection that had carried another. */
  readonly reused: boolean;
  /** Its head has come; all of it has. */
  hasHead: boolean;
  whole: boolean;
  bodyBytes: number;
  interimsTold: number;
  /** The server closed in the moment when it came. */
  raced: boolean;
  /** Through buffers of a few bytes. */
  readonly narrow: boolean;
  answer: Answer | undefined;
  /** Where its head and its whole end in the server's stream. */
  headEndAt: number;
  endAt: number;
}

export type Misdeed =
  | "none"
  | "cut" // ends its stream in the middle
  | "reset"
  | "stall" // for longer than anybody waits
  | "never"
  | "malformed"
  | "unasked" // switches protocols
  | "chatter"; // more 1xx than anybody forwards

export interface Answer {
  readonly status: number;
  readonly interims: readonly number[];
  readonly framing: "none" | "length" | "chunked" | "close";
  readonly body: Uint8Array;
  /** The interim heads, and the rest, as they are sent. */
  readonly prelude: Uint8Array;
  readonly coded: Uint8Array;
  /** Begins when so many bytes of the request's body were read; Infinity: all of it. */
  readonly afterBytes: number;
  readonly delayMs: number;
  readonly misdeed: Misdeed;
  /** Bytes of `coded` that are sent before it. */
  readonly misdeedAt: number;
  /** It says that the connection ends. */
  readonly isLast: boolean;
  /** Closes behind it, or behind it and without reading on. */
  readonly then: "keep" | "close" | "hang up";
}

const encode = (text: string): Uint8Array => Buffer.from(text, "latin1");

/** Heads that are refused, each with its status. */
const REFUSED: readonly (readonly [head: string, status: number])[] = [
  ["GET /{} HTTP/1.1\r\n\r\n", 400],
  ["GET /{} HTTP/1.1\nHost: a\r\n\r\n", 400],
  ["GET /{} HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400],
  ["GET /{} HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", 400],
  ["POST /{} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
  ["POST /{} HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1", 400],
  ["POST /{} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501],
  ["POST /{} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: wonders\r\n\r\nabc", 417],
  ["GET /{} HTTP/2.0\r\nHost: a\r\n\r\n", 505],
  ["GET /{}\r\n", 505],
  [`GET /{}${"x".repeat(8_300)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
  [`GET /{} HTTP/1.1\r\nHost: a\r\n${"A: b\r\n".repeat(140)}\r\n`, 431],
];
const LONG_REFUSED: readonly [head: string, status: number] = [
  `GET /{} HTTP/1.1\r\nHost: a\r\n${`A: ${"b".repeat(990)}\r\n`.repeat(20)}\r\n`,
  431,
];

const STATUSES = [200, 200, 200, 201, 206, 404, 500, 503, 204, 304];
const MISDEEDS: readonly Misdeed[] = [
  "cut",
  "cut",
  "reset",
  "reset",
  "stall",
  "never",
  "malformed",
  "malformed",
  "unasked",
  "chatter",
];

export class MessageDice {
  readonly #random: Random;
  /** The longest body, about. */
  readonly #bytesMax: number;
  /** Once in so many answers. */
  readonly #misdeeds: number;

  constructor(random: Random, bytesMax: number, misdeeds: number) {
    this.#random = random;
    this.#bytesMax = bytesMax;
    this.#misdeeds = misdeeds;
  }

  #body(): Uint8Array {
    const random = this.#random, most = this.#bytesMax;
    const bytes = random.pick([0, 1, random.below(200), random.below(2_000), random.below(most), most]);
    return someBytes(random, Math.min(bytes, most));
  }

  request(id: string, isFinal: boolean, isWicked: boolean): Request {
    const random = this.#random;
    const refused = isWicked && random.oneIn(2)
      ? this.#bytesMax > 5_000 && random.oneIn(4) ? LONG_REFUSED : random.pick(REFUSED)
      : undefined;
    const old = random.oneIn(10);
    const method = random.pick([
      "GET",
      "GET",
      "GET",
      "HEAD",
      "POST",
      "POST",
      "PUT",
      "PATCH",
      "DELETE",
      "BREW",
    ]);
    const mayBody = method !== "GET" && method !== "HEAD";
    const framing: Request["framing"] = !mayBody
      ? "none"
      : old
      ? "length"
      : random.pick<Request["framing"]>(["none", "length", "length", "chunked"]);
    const upgrades = !old && framing === "none" && isFinal && random.oneIn(6);
    const body = framing === "none" && !upgrades ? new Uint8Array() : this.#body();
    const badBody = framing === "chunked" && isWicked && refused === undefined;
    const isLast = upgrades ? false : old ? !random.oneIn(2) : random.oneIn(isFinal ? 3 : 12);
    const expects = framing !== "none" && !old && random.oneIn(6);
    const coded = framing === "chunked" ? this.#chunks(body, badBody) : upgrades ? new Uint8Array() : body;
    const head = refused?.[0].replace("{}", id) ??
      this.#requestHead({ id, method, old, isLast, framing, body, expects, upgrades });
    return {
      id,
      method,
      old,
      isLast,
      framing,
      body,
      head: encode(head),
      coded: refused === undefined ? coded : new Uint8Array(),
      pipelined: random.oneIn(4),
      expects: expects && refused === undefined,
      upgrades: upgrades && refused === undefined,
      refusal: refused?.[1] ?? 0,
      badBody,
      thinkMs: random.pick([0, 0, 5, 200]),
      attempts: [],
      begunMs: -1,
      allSent: false,
      told: undefined,
      record: undefined,
    };
  }

  #requestHead(
    { id, method, old, isLast, framing, body, expects, upgrades }: Pick<
      Request,
      "id" | "method" | "old" | "isLast" | "framing" | "body" | "expects" | "upgrades"
    >,
  ): string {
    const random = this.#random;
    const lines = [
      `${method} ${random.oneIn(8) ? `http://a.example/${id}` : `/${id}`} HTTP/1.${old ? 0 : 1}`,
    ];
    if (!old || random.oneIn(2)) lines.push("Host: a.example");
    if (framing === "length") lines.push(`Content-Length: ${body.length}`);
    if (framing === "chunked") lines.push("Transfer-Encoding: chunked");
    if (expects) lines.push("Expect: 100-continue");
    if (upgrades) lines.push("Connection: upgrade, X-Hop", "Upgrade: echo");
    else if (old) lines.push(`Connection: ${isLast ? "X-Hop" : "keep-alive, X-Hop"}`);
    else lines.push(`Connection: ${isLast ? "close, " : ""}X-Hop`);
    lines.push("X-Hop: 1", `X-Check: ${id}`);
    if (this.#bytesMax > 5_000 && random.oneIn(8)) lines.push(`X-Long: ${"l".repeat(random.below(9_000))}`);
    const fields = lines.splice(1);
    random.shuffle(fields);
    lines.push(...fields);
    const empty = random.oneIn(20) ? "\r\n" : "";
    return `${empty}${lines.join("\r\n")}\r\n\r\n`;
  }

  /** A body in chunks, with extensions and trailers now and then; `bad`: not all of it is one. */
  #chunks(body: Uint8Array, bad: boolean): Uint8Array {
    const random = this.#random, pieces: Uint8Array[] = [];
    for (let at = 0; at < body.length;) {
      const size = Math.min(body.length - at, random.size(body.length));
      const zeros = random.oneIn(20) ? "000" : "";
      const extension = random.oneIn(8) ? random.pick([";a", ";a=b", ';a="b; c"']) : "";
      const digits = random.oneIn(2) ? size.toString(16) : size.toString(16).toUpperCase();
      pieces.push(encode(`${zeros}${digits}${extension}\r\n`), body.subarray(at, at + size), encode("\r\n"));
      at += size;
    }
    if (bad) pieces.push(encode(random.pick(["x\r\n", "5\nabcde\r\n", "-1\r\n", "\r\n"])));
    else {
      pieces.push(encode("0\r\n"));
      if (random.oneIn(5)) pieces.push(encode("X-Trailer: 1\r\n"));
      pieces.push(encode("\r\n"));
    }
    return Buffer.concat(pieces);
  }

  /** An answer to an attempt; `cut`: an end of its connection is no end of an answer. */
  answer({ request, number }: Attempt, cut: boolean): Answer {
    const random = this.#random;
    const { method, framing: asked, body: { length: askedBytes }, upgrades, expects } = request;
    let misdeed = random.oneIn(this.#misdeeds) ? random.pick(MISDEEDS) : "none";
    if (misdeed === "unasked" && upgrades) misdeed = "none";
    const switches = upgrades && random.oneIn(2) && misdeed !== "chatter" && misdeed !== "malformed";
    if (switches) return this.#switch(request, number, misdeed);
    const status = random.pick(STATUSES);
    const bodiless = method === "HEAD" || status === 204 || status === 304;
    let framing: Answer["framing"] = bodiless
      ? "none"
      : random.pick<Answer["framing"]>(["length", "length", "length", "chunked", "chunked", "close"]);
    // The end of a stream cannot be told from a cut; that of a session can.
    if (framing === "close" && cut && misdeed === "none") misdeed = "cut";
    else if (framing === "close" && misdeed === "cut") framing = "chunked";
    const old = framing !== "chunked" && random.oneIn(10);
    const early = asked !== "none" && random.oneIn(5);
    const then = framing === "close"
      ? early ? "hang up" : "close"
      : misdeed === "none" && random.oneIn(8)
      ? random.pick<Answer["then"]>(["close", early ? "hang up" : "close"])
      : "keep";
    const isLast = framing === "close" || (then !== "keep" && random.oneIn(2)) || random.oneIn(16);
    const body = bodiless ? new Uint8Array() : this.#body();
    const interims = misdeed === "chatter"
      ? new Array(17 + random.below(3)).fill(103)
      : expects && !early
      ? [100]
      : random.oneIn(8)
      ? random.pick([[103], [102, 103], [100]])
      : [];
    const tag = `X-Id: ${request.id}.${number}\r\n`;
    const lines = [`HTTP/1.${old ? 0 : 1} ${status}${random.oneIn(4) ? "" : " Fine"}`, tag.trim()];
    if (framing === "length") lines.push(`Content-Length: ${body.length}`);
    else if (framing === "chunked") lines.push("Transfer-Encoding: chunked");
    else if (framing === "none" && status !== 204 && random.oneIn(2)) {
      lines.push(random.oneIn(2) ? `Content-Length: ${random.below(99_999)}` : "Transfer-Encoding: chunked");
    }
    if (lines.at(-1) === "Transfer-Encoding: chunked" && old) lines.pop();
    if (isLast) lines.push("Connection: close, X-Hop", "X-Hop: 2");
    else if (old) lines.push("Connection: keep-alive");
    if (misdeed === "malformed" && framing !== "chunked") {
      lines.push(random.pick(["A : b", "Content-Length: x", " folded", "no colon"]));
    }
    if (misdeed === "unasked") lines[0] = "HTTP/1.1 101 Surprise";
    const isBad = misdeed === "malformed" && framing === "chunked";
    const content = framing === "chunked" ? this.#chunks(body, isBad) : body;
    const coded = Buffer.concat([encode(`${lines.join("\r\n")}\r\n\r\n`), content]);
    return {
      status,
      interims,
      framing,
      body,
      prelude: encode(interims.map((interim) => `HTTP/1.1 ${interim} Wait\r\n${tag}\r\n`).join("")),
      coded,
      afterBytes: early ? random.below(askedBytes + 1) : Infinity,
      delayMs: random.pick([0, 0, 0, 10, 300]),
      misdeed,
      misdeedAt: random.oneIn(3) ? coded.length - 1 : random.below(coded.length),
      isLast,
      then,
    };
  }

  #switch({ id }: Request, number: number, misdeed: Misdeed): Answer {
    const body = this.#body();
    const head =
      `HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: echo\r\nX-Id: ${id}.${number}\r\n\r\n`;
    const wrong: Misdeed[] = ["stall", "never"];
    return {
      status: 101,
      interims: [],
      framing: "close",
      body,
      prelude: new Uint8Array(),
      coded: Buffer.concat([encode(head), body]),
      afterBytes: Infinity,
      delayMs: 0,
      misdeed: wrong.includes(misdeed) ? misdeed : "none",
      misdeedAt: this.#random.below(head.length),
      isLast: true,
      then: "keep",
    };
  }
}
