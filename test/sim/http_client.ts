// A client: sends its requests, one after the other or several at once, and reads the answers. What Sluice
// sends is held against what the servers said when it is sent.
import type { Clock } from "./clock.ts";
import { endingOf, Reader, type Spoken } from "./http_reader.ts";
import type { Attempt, Request, Told } from "./http_messages.ts";
import { type Pace, Talker } from "./http_talker.ts";
import type { Random } from "./random.ts";
import type { Socket } from "./socket.ts";

/** How long it waits for leave to send a body. */
const LEAVE_MS = 150;

/** How it ends when everything is answered. */
export type Farewell = "close" | "wait" | "half-close";

export class HttpClient extends Talker {
  readonly requests: readonly Request[];
  readonly farewell: Farewell;
  readonly #reader: Reader;
  /** Answers that have begun, and that it has read to their ends. */
  readonly told: Told[] = [];
  read = 0;
  /** Requests whose heads are queued, and how far the bodies are. */
  #queued = 0;
  #bodyQueued = true;
  #leaveAtMs = 0;
  #hasLeave = false;
  #thinkUntilMs = -1;
  #switched: Attempt | undefined;
  #rawBytes = 0;

  constructor(
    name: string,
    socket: Socket,
    pace: Pace,
    requests: readonly Request[],
    farewell: Farewell,
    clock: Clock,
    random: Random,
  ) {
    super(name, socket, pace, clock, random);
    this.requests = requests;
    this.farewell = farewell;
    this.#reader = new Reader(name, {
      line: (first) => this.#began(first),
      head: (spoken) => this.#hasHead(spoken),
      body: (view) => this.#hasBody(view),
      end: () => this.#ended(),
    });
    socket.onSend = (view) => {
      this.lastToldMs = clock.nowMs;
      this.#reader.see(view);
    };
  }

  /** The end of the stream would end an answer. */
  get readsUntilClose(): boolean {
    return this.#reader.lastsUntilClose;
  }

  /** Everything that is due is sent. */
  get hasSent(): boolean {
    return this.out.length === 0;
  }

  /** It has switched protocols with a server, for this attempt. */
  get switched(): Attempt | undefined {
    return this.#switched;
  }

  /** Bytes behind the answer that switched. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  // ---- what Sluice sends ----

  #began(first: string): void {
    const request = this.requests[this.told.length];
    if (request === undefined || request.begunMs < 0 || request.begunMs > this.clock.nowMs) {
      this.#reader.fail(`an answer before its request: ${first}`);
    }
  }

  #hasHead(spoken: Spoken): ReturnType<typeof endingOf> | "skip" {
    const match = /^HTTP\/1\.[01] (\d\d\d)( |$)/.exec(spoken.first);
    if (match === null) this.#reader.fail(`no status line: ${spoken.first}`);
    const status = Number(match[1]), request = this.requests[this.told.length];
    const { fields } = spoken, own = fields.get("proxy-status");
    const attempt = own === undefined ? this.#attemptOf(request, fields.get("x-id")) : undefined;
    for (const name of ["keep-alive", "x-hop"]) {
      if (fields.has(name)) this.#reader.fail(`${name} was passed on`);
    }
    if (attempt !== undefined && status < 200 && status !== 101) return this.#interim(attempt, status);
    if (attempt !== undefined && attempt.answer!.status !== status) {
      this.#reader.fail(`${request.id} was answered ${attempt.answer!.status}, not ${status}`);
    }
    if (own !== undefined && !own.startsWith("sluice; error=")) this.#reader.fail(`Proxy-Status: ${own}`);
    if (status >= 200 && !fields.has("date")) this.#reader.fail("an answer without a Date");
    const options = fields.get("connection") ?? "";
    if (!["", "close", "keep-alive", "upgrade"].includes(options)) {
      this.#reader.fail(`Connection: ${options}`);
    }
    // Before its head is understood nobody knows that it is HEAD.
    const isUnknown = own !== undefined && (status < 500 || request.refusal !== 0);
    const isHead = request.method === "HEAD" && !isUnknown;
    const bodiless = isHead || status === 204 || status === 304;
    // Without a block its head may have been unknown, or not: then the connection ends.
    const isShort = own?.includes("proxy_internal_error") === true && options === "close";
    const ending = status === 101
      ? "raw"
      : bodiless
      ? isHead && isShort ? "close" : 0
      : endingOf(spoken, true);
    const isLast = options === "close" || (request.old && options !== "keep-alive") || ending === "close";
    this.told.push(
      request.told = {
        status,
        own: own === undefined ? "" : own.split(";")[1].trim().slice("error=".length),
        attempt,
        isLast,
        bodyBytes: 0,
        whole: false,
        endAt: 0,
      },
    );
    if (ending === "close" && options !== "close") {
      this.#reader.fail("lasts until the end, and does not say so");
    }
    if (ending === "chunked" && request.old) this.#reader.fail("chunks for HTTP/1.0");
    if (ending === "raw") this.#switched = attempt;
    if (attempt !== undefined) this.#checkFraming(attempt, ending);
    return ending;
  }

  #attemptOf(request: Request, id: string | undefined): Attempt {
    const last = request.attempts.at(-1);
    if (last?.answer === undefined) this.#reader.fail(`${request.id}: an answer that no server gave: ${id}`);
    const expected = `${request.id}.${last.number}`;
    if (id !== expected) this.#reader.fail(`${id} is the answer, and ${expected} was asked`);
    return last;
  }

  #interim(attempt: Attempt, status: number): "skip" {
    const { request, answer } = attempt;
    if (request.old) this.#reader.fail("an interim answer for HTTP/1.0");
    if (answer!.interims[attempt.interimsTold] !== status) {
      this.#reader.fail(`${request.id}: no ${status} was sent`);
    }
    attempt.interimsTold++;
    if (status === 100) this.#hasLeave = true;
    return "skip";
  }

  #checkFraming({ request, answer, interimsTold }: Attempt, ending: ReturnType<typeof endingOf>): void {
    const { framing, body, interims } = answer!;
    const expected = answer!.status === 101
      ? "raw"
      : framing === "length"
      ? body.length
      : framing === "chunked" && request.old
      ? "close"
      : framing === "none"
      ? 0
      : framing;
    if (ending !== expected) {
      this.#reader.fail(`${request.id}: its body ends by ${ending}, not by ${expected}`);
    }
    if (!request.old && interimsTold < interims.length) {
      this.#reader.fail(
        `${request.id}: ${interimsTold} of ${interims.length} interim answers were passed on`,
      );
    }
  }

  #hasBody(view: Uint8Array): void {
    const told = this.told.at(-1)!, { attempt } = told;
    if (this.#switched !== undefined) this.#rawBytes += view.length;
    if (attempt !== undefined) {
      const part = attempt.answer!.body.subarray(told.bodyBytes, told.bodyBytes + view.length);
      if (Buffer.compare(view, part) !== 0) {
        this.#reader.fail(
          `byte ${told.bodyBytes} of the answer to ${attempt.request.id} is not what was sent`,
        );
      }
    }
    told.bodyBytes += view.length;
  }

  #ended(): void {
    const told = this.told.at(-1)!;
    told.whole = true;
    told.endAt = this.#reader.seen;
  }

  // ---- what it does ----

  protected act(): void {
    while (
      this.read < this.told.length && this.told[this.read].whole &&
      this.received >= this.told[this.read].endAt
    ) {
      this.read++;
    }
    if (this.finSeen && this.#switched === undefined) return this.close();
    this.#queueBody();
    while (this.#bodyQueued && this.#mayBegin()) this.#queueHead();
    if (this.#switched !== undefined) return this.#tunnel();
    if (this.read < this.requests.length || this.out.length > 0) return this.#maybeHalfClose();
    if (this.farewell === "close" && this.#bodyQueued) this.close();
  }

  #mayBegin(): boolean {
    const request = this.requests[this.#queued];
    if (request === undefined || this.told.some(({ isLast }) => isLast)) return false;
    if (this.#queued > 0 && this.requests[this.#queued - 1].isLast) return false;
    if (this.read < this.#queued && !(request.pipelined && this.read >= this.#queued - 3)) return false;
    if (this.#queued === 0 || request.thinkMs === 0) return true;
    if (this.#thinkUntilMs < 0) this.wakeAt(this.#thinkUntilMs = this.clock.nowMs + request.thinkMs);
    return this.clock.nowMs >= this.#thinkUntilMs;
  }

  #queueHead(): void {
    const request = this.requests[this.#queued++];
    this.#thinkUntilMs = -1;
    request.begunMs = this.clock.nowMs;
    this.out.push(request.head);
    this.#bodyQueued = false;
    this.#hasLeave = !request.expects;
    if (request.expects) this.wakeAt(this.#leaveAtMs = this.clock.nowMs + LEAVE_MS);
    this.#queueBody();
  }

  #queueBody(): void {
    if (this.#bodyQueued) return;
    const request = this.requests[this.#queued - 1];
    if (!this.#hasLeave && this.told.length >= this.#queued) return; // a final answer: nobody wants it
    if (!this.#hasLeave && this.clock.nowMs < this.#leaveAtMs) return;
    this.#bodyQueued = true;
    if (!request.upgrades) this.out.push(request.coded);
    request.allSent = true;
  }

  /** Some end their stream behind their last request, and wait for the answer. */
  #maybeHalfClose(): void {
    if (this.farewell !== "half-close" || this.out.length > 0 || !this.#bodyQueued) return;
    if (this.#queued === this.requests.length && this.requests.at(-1)!.isLast) this.sayFin();
  }

  #tunnel(): void {
    const { body } = this.#switched!.request;
    if (this.#queued === this.requests.length) {
      this.out.push(body);
      this.#queued++;
    }
    if (this.out.length === 0) this.sayFin();
  }
}
