// A server's connection: reads what Sluice sends, one request after the other, and answers as the dice say.
// What Sluice sends is looked at when it is sent, whether or not it will ever be read.
import type { Clock } from "./clock.ts";
import { endingOf, Reader, type Spoken } from "./http_reader.ts";
import type { Answer, Attempt, MessageDice, Request } from "./http_messages.ts";
import { type Pace, STALL_MS, Talker } from "./http_talker.ts";
import type { Random } from "./random.ts";
import type { Socket } from "./socket.ts";

/** What a server's connection knows of the world. */
export interface ServerWorld {
  readonly dice: MessageDice;
  /** Once in so many requests on a kept connection it closes in the moment when one comes. */
  readonly races: number;
  /** How long a kept connection may be idle until it closes. */
  readonly idleMs: number;
  find(id: string): Request;
}

/** Methods that may be sent twice (RFC 9110 section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "DELETE"]);

/** Smaller buffers make an honest answer slower than a deadline. */
const NARROW_BYTES = 16;

/** What is of one connection, and no server may see. */
const HOP_BY_HOP = ["keep-alive", "proxy-connection", "x-hop"];

export class HttpServer extends Talker {
  readonly attempts: Attempt[] = [];
  readonly #world: ServerWorld;
  readonly #reader: Reader;
  /** Attempts whose answers are out. */
  #answered = 0;
  #answering: Answer | undefined;
  #answerAtMs = 0;
  #queuedBytes = 0;
  #idleSinceMs = 0;
  /** It has gone on after its pause. */
  #resumed = false;

  constructor(
    name: string,
    socket: Socket,
    pace: Pace,
    world: ServerWorld,
    clock: Clock,
    random: Random,
  ) {
    super(name, socket, pace, clock, random);
    this.#world = world;
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

  /** The request that it was sent last. */
  get latest(): Attempt | undefined {
    return this.attempts.at(-1);
  }

  // ---- what Sluice sends ----

  #began(first: string): void {
    const match = /^([A-Z]+) \/(\d+\.\d+) HTTP\/1\.1$/.exec(first);
    if (match === null) this.#reader.fail(`no request line that a client sent: ${JSON.stringify(first)}`);
    const request = this.#world.find(match[2]), { attempts } = request;
    if (request.method !== match[1]) this.#reader.fail(`the method was ${request.method}`);
    if (request.refusal !== 0) this.#reader.fail(`request ${request.id} was to be refused`);
    const before = this.attempts.at(-1);
    if (before !== undefined && !this.#isAnswered(before)) {
      this.#reader.fail(`request ${request.id} came before ${before.request.id} was answered`);
    }
    if (before?.answer?.isLast === true) {
      this.#reader.fail(`request ${request.id} came behind the last answer`);
    }
    const earlier = attempts.at(-1);
    if (earlier !== undefined) this.#checkRepeat(request, earlier);
    const attempt: Attempt = {
      request,
      number: attempts.length,
      reused: before !== undefined,
      hasHead: false,
      whole: false,
      bodyBytes: 0,
      interimsTold: 0,
      raced: false,
      narrow: Math.min(this.socket.rxMax, this.socket.txMax) < NARROW_BYTES,
      answer: undefined,
      headEndAt: 0,
      endAt: 0,
    };
    attempts.push(attempt);
    this.attempts.push(attempt);
    attempt.raced = this.closed || this.over;
    if (attempt.raced || !attempt.reused || !this.random.oneIn(this.#world.races)) return;
    attempt.raced = true;
    if (this.random.oneIn(2)) return this.reset();
    this.sayFin();
    this.closed = true;
    this.plan(0);
  }

  /** All of its answer is sent, though this one may not have noticed yet. */
  #isAnswered(attempt: Attempt): boolean {
    if (this.#answered === this.attempts.length) return true;
    const isLatest = this.#answered === this.attempts.length - 1;
    return isLatest && attempt.whole && this.#queuedBytes > 0 && this.out.length === 0;
  }

  /** Sent once more: only where it does no harm, after a kept connection that said nothing. */
  #checkRepeat({ id, method, framing, attempts }: Request, before: Attempt): void {
    const fail = (what: string) => this.#reader.fail(`request ${id} is sent again, though ${what}`);
    if (!IDEMPOTENT.has(method) || framing !== "none") fail("it must not be repeated");
    if (!before.reused) fail("its connection was new");
    if (before.interimsTold > 0) fail("an interim answer had come");
    if (attempts.length > 1) fail("it was repeated before");
  }

  #hasHead({ first, fields }: Spoken): ReturnType<typeof endingOf> {
    const attempt = this.latest!, { request } = attempt;
    attempt.hasHead = true;
    attempt.headEndAt = this.#reader.headEnd;
    if (fields.get("x-check") !== request.id) this.#reader.fail(`not the fields of ${first}`);
    const host = fields.get("host");
    if (host !== "a.example" && !(request.old && host === "server.example:80")) {
      this.#reader.fail(`Host is ${host}`);
    }
    for (const name of HOP_BY_HOP) if (fields.has(name)) this.#reader.fail(`${name} was passed on`);
    const connection = fields.get("connection");
    if (connection !== (request.upgrades ? "upgrade" : undefined)) {
      this.#reader.fail(`Connection is ${connection}`);
    }
    const ending = endingOf({ first, fields }, false);
    const expected = request.framing === "chunked"
      ? "chunked"
      : request.framing === "length"
      ? request.body.length
      : 0;
    if (ending !== expected) this.#reader.fail(`its body ends by ${ending}, not by ${expected}`);
    return ending;
  }

  #hasBody(view: Uint8Array): void {
    const attempt = this.latest!, { request: { id, body } } = attempt;
    const part = body.subarray(attempt.bodyBytes, attempt.bodyBytes + view.length);
    if (Buffer.compare(view, part) !== 0) this.#reader.fail(`not the body of ${id}`);
    attempt.bodyBytes += view.length;
  }

  #ended(): void {
    const attempt = this.latest!, { request } = attempt;
    attempt.whole = true;
    attempt.endAt = this.#reader.seen;
    if (request.framing !== "none" && attempt.bodyBytes !== request.body.length) {
      this.#reader.fail(`the body of ${request.id} ends after ${attempt.bodyBytes} bytes`);
    }
  }

  // ---- what it does ----

  protected act(): void {
    const attempt = this.attempts[this.#answered];
    if (attempt === undefined) return this.#idle();
    if (!attempt.hasHead || this.received < attempt.headEndAt) return this.#leave();
    if (this.#answering === undefined) this.#choose(attempt);
    const answer = this.#answering!, isQueued = this.#queuedBytes > 0;
    if (!isQueued && answer.misdeed !== "never" && this.#mayAnswer(attempt, answer)) this.#say(answer);
    if (this.#queuedBytes > 0 && this.out.length === 0) this.#said(attempt, answer);
    else this.#leave();
  }

  /** Its session ends without close_notify: what ends with it was cut. */
  get #cuts(): boolean {
    const { session, fate } = this.socket;
    return session !== undefined && !fate.notifies;
  }

  #choose(attempt: Attempt): void {
    const answer = this.#world.dice.answer(attempt, this.#cuts);
    attempt.answer = this.#answering = answer;
    this.#answerAtMs = this.clock.nowMs + answer.delayMs;
    if (answer.prelude.length > 0) this.out.push(answer.prelude);
    if (answer.delayMs > 0) this.wakeAt(this.#answerAtMs);
  }

  #mayAnswer(attempt: Attempt, { afterBytes }: Answer): boolean {
    if (this.clock.nowMs < this.#answerAtMs) return false;
    if (afterBytes === Infinity) return attempt.whole && this.received >= attempt.endAt;
    return this.received >= attempt.headEndAt && attempt.bodyBytes >= afterBytes;
  }

  #say({ coded, misdeed, misdeedAt }: Answer): void {
    if (this.#answering!.status === 101) this.#reader.becomeRaw();
    const isPart = misdeed === "cut" || misdeed === "reset" || misdeed === "stall";
    const part = isPart ? coded.subarray(0, misdeedAt) : coded;
    this.#queuedBytes = Math.max(1, part.length);
    this.out.push(part);
  }

  /** All that it wanted to say is sent. */
  #said(attempt: Attempt, answer: Answer): void {
    switch (answer.misdeed) {
      case "cut":
        return this.close();
      case "reset":
        return this.reset();
      case "stall":
        if (!this.#resumed) return this.#stall(answer);
        break;
      case "none":
        break;
      default:
        return this.#leave(); // Sluice has had enough of it
    }
    if (answer.status === 101) return this.#tunnelEnd();
    if (answer.then === "hang up") return this.#closeBehind(this.#answered + 1);
    if (!attempt.whole || this.received < attempt.endAt) return this.#leave();
    this.#answered++;
    this.#answering = undefined;
    this.#queuedBytes = 0;
    this.#idleSinceMs = this.clock.nowMs;
    this.plan(0); // the next one may be there
    if (answer.then === "close" || answer.framing === "close") return this.#closeBehind(this.#answered);
    if (this.#world.idleMs > 0) this.wakeAt(this.clock.nowMs + this.#world.idleMs);
  }

  /** Closes; a request that is on its way already will not be answered. */
  #closeBehind(next: number): void {
    const late = this.attempts[next];
    if (late !== undefined) late.raced = true;
    this.close();
  }

  /** After a pause that is longer than any deadline, the rest. */
  #stall({ coded, misdeedAt }: Answer): void {
    if (this.finSeen) return this.close();
    if (this.stalled) return;
    this.stalled = true;
    const resumes = this.clock.nowMs + STALL_MS;
    this.clock.in(STALL_MS, () => {
      if (this.over || this.closed || this.clock.nowMs < resumes) return;
      this.#resumed = true;
      this.out.push(coded.subarray(misdeedAt));
      this.plan(0);
    });
  }

  /** It has said all it had: its stream ends when the client's has. */
  #tunnelEnd(): void {
    this.sayFin();
  }

  #idle(): void {
    if (this.finSeen) return this.close();
    const { idleMs } = this.#world;
    if (this.attempts.length === 0 || idleMs === 0) return;
    if (this.clock.nowMs - this.#idleSinceMs >= idleMs && this.received === this.#reader.seen) this.close();
  }

  /** Whoever ends the stream of a request is not answered any more. */
  #leave(): void {
    if (this.finSeen && this.#answering?.status !== 101) this.close();
  }
}
