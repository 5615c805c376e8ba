// Lines of the access log as a reactor prints them, on the fake kernel: every value, present and absent, in
// every format; what hostile clients send; and the same lines as the control plane writes them.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import {
  ARENA_RECEIVE,
  ARENA_SCRATCH,
  FIELD_BYTES_TOLD,
  LOG_LINES_BYTES,
  NONE,
  PEER_BYTES,
  TARGET_BYTES_TOLD,
} from "../../src/base/limits.ts";
import type { AccessRecord } from "../../src/control/access_record.ts";
import { accessText } from "../../src/control/access_text.ts";
import { formatAddress } from "../../src/control/config/address.ts";
import { ArenaWriter } from "../../src/control/config/arena.ts";
import { placeLines } from "../../src/control/config/compile_log.ts";
import {
  accessLines,
  type AccessWords,
  LOG_NAMES,
  type TlsTold,
} from "../../src/control/config/log_templates.ts";
import { slotMovedBytes } from "../../src/net/slots.ts";
import { makePlan, NO_SIZES, type Plan } from "../../src/plan/plan.ts";
import { parseRequest } from "../../src/proto/http1_head.ts";
import { DETAILS } from "../../src/proto/detail.ts";
import { Refusal, REFUSALS } from "../../src/proto/refusal.ts";
import { detailOfFault, Fault } from "../../src/proto/tls_fault.ts";
import { accessLine, refusedLine } from "../../src/proxy/access_line.ts";
import { log } from "../../src/proxy/context.ts";
import {
  exConnectMs,
  exDown,
  exDownBytes,
  exErrno,
  exFirstMs,
  exFlags,
  exGeneration,
  exKept,
  exListener,
  exQueuedMs,
  exReason,
  exServer,
  exStartMs,
  exStatus,
  exTried,
  exUnqueuedMs,
  exUp,
  exUpBytes,
  exUpstream,
  takeExchange,
} from "../../src/proxy/exchanges.ts";
import { forgetHead, keepHead, trimHead } from "../../src/proxy/kept_head.ts";
import { request } from "../../src/proxy/wire_h1.ts";
import { Reason, REASONS } from "../../src/shared/reason.ts";
import { ExFlag, ExState } from "../../src/shared/tables.ts";
import { EBUG, ECONNREFUSED, errnoName } from "../../src/sys/errno.ts";
import { TlsFact } from "../../src/sys/symbols.ts";
import { arenaBytes, clockMs, sys, wallMs } from "../../src/sys/sys.ts";
import { openReactor } from "../net/tables.ts";

const LISTENER = 1, UPSTREAM = 1, SERVER = 1, DOWN = 2, UP = 3;
const ALL = LOG_NAMES.filter((name) => !name.endsWith("NAME"));

let ex: number;
let plan: Plan;

/** A reactor with a Plan of such lines, and an exchange without any value. */
function open(words: AccessWords, names = ["web", "app", "10.0.0.1:9001"], tls?: TlsTold): void {
  const arena = new ArenaWriter(), lines = placeLines(arena, accessLines(words, tls), true);
  const [listener, upstream, server] = names.map(lines.nameOf);
  plan = makePlan(1, {
    ...NO_SIZES,
    listeners: 2,
    upstreams: 2,
    servers: 2,
    accessAll: 1,
    arenaBytes: arena.bytes,
    lines: lines.sizes,
  });
  arena.copyTo(plan.arena);
  lines.fill(plan.lines);
  plan.listenerNameAt[LISTENER] = listener.at;
  plan.listenerNameBytes[LISTENER] = listener.bytes;
  plan.upstreamNameAt[UPSTREAM] = upstream.at;
  plan.upstreamNameBytes[UPSTREAM] = upstream.bytes;
  plan.serverNameAt[SERVER] = server.at;
  plan.serverNameBytes[SERVER] = server.bytes;
  openReactor({ slots: 8, exchanges: 8 }, plan);
  ex = takeExchange(ExState.Head);
  exGeneration[ex] = plan.generation;
  exKept[ex] = NONE;
  exDown[ex] = DOWN;
  exStartMs[ex] = clockMs();
  taken();
  client([0]);
}

beforeEach(() => open({ format: "text" }));

function client(record: readonly number[]): void {
  arenaBytes.fill(0, ARENA_SCRATCH, ARENA_SCRATCH + PEER_BYTES);
  arenaBytes.set(record, ARENA_SCRATCH);
}

const IP4 = [4, 0, 0x9c, 0x40, 192, 0, 2, 7];
const IP6 = [6, 0, 0, 80, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LINK_LOCAL = [6, 0, 0, 80, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3];
const MAPPED = [6, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7];

/** A request with this head, in Latin-1. */
function asks(target: string, fields = ""): void {
  exFlags[ex] = ExFlag.Http;
  const text = Buffer.from(`GET ${target} HTTP/1.1\r\nHost: shop.example:81\r\n${fields}\r\n`, "latin1");
  arenaBytes.set(text, ARENA_RECEIVE);
  strictEqual(parseRequest(arenaBytes, ARENA_RECEIVE, ARENA_RECEIVE + text.length, request), text.length);
  ok(keepHead(ex));
}

/** What is in the ring. */
function taken(): string {
  let text = "";
  log.drainLines((bytes) => text += Buffer.from(bytes).toString("utf8"));
  return text;
}

/** The line of the exchange, without its newline. */
function line(): string {
  ok(accessLine(ex, plan));
  const text = taken();
  strictEqual(text.indexOf("\n"), text.length - 1, "one line");
  return text.slice(0, -1);
}

/** Its values are all there. */
function fill(): void {
  client(IP4);
  asks("/a/b?c=d", "User-Agent: curl/8\r\nReferer: http://a.example/\r\n");
  exListener[ex] = LISTENER;
  exUpstream[ex] = UPSTREAM;
  exServer[ex] = SERVER;
  exReason[ex] = Reason.Finished;
  exStatus[ex] = 200;
  exUpBytes[ex] = 517;
  exDownBytes[ex] = 2 ** 40;
  exStartMs[ex] = clockMs() - 12.34;
  exQueuedMs[ex] = clockMs() - 12;
  exUnqueuedMs[ex] = clockMs() - 10.5;
  exConnectMs[ex] = clockMs() - 10;
  exFirstMs[ex] = clockMs() - 2.04;
  exTried[ex] = 2;
  exFlags[ex] |= ExFlag.Reused;
}

const TIME = new Date().toISOString().replace(/./g, "[0-9TZ:.-]");
const withoutTime = (text: string): string => text.replace(new RegExp(TIME), "TIME");

describe("a line of a request", () => {
  it("as text, with everything", () => {
    fill();
    strictEqual(
      withoutTime(line()),
      'TIME 192.0.2.7:40000 "GET /a/b?c=d" shop.example:81 200 -> 10.0.0.1:9001 listener="web" route="" ' +
        'upstream="app" up=517 down=1099511627776 queue=1.5 connect=2.3 first=10.3 ms=12.3 tried=2 reused=1 ' +
        "reason=finished",
    );
  });

  it("as text, with nothing", () => {
    exFlags[ex] = ExFlag.Http;
    exReason[ex] = Reason.BadRequest;
    exErrno[ex] = Refusal.BareLf;
    strictEqual(
      withoutTime(line()),
      'TIME - "-" - - -> - listener="" route="" upstream="" up=0 down=0 queue=- connect=- first=- ms=0.0 ' +
        'tried=0 reused=0 reason=bad_request type=http_request_error detail="A line ends in LF without CR."',
    );
  });

  it("as JSON, with everything and with nothing", () => {
    open({ format: "json" });
    fill();
    const whole = line();
    const { time, ...rest } = JSON.parse(whole);
    strictEqual(Math.abs(Date.parse(time) - wallMs()) < 1, true);
    const want = {
      client: "192.0.2.7:40000",
      method: "GET",
      target: "/a/b?c=d",
      host: "shop.example:81",
      status: 200,
      server: "10.0.0.1:9001",
      listener: "web",
      route: null,
      upstream: "app",
      up_bytes: 517,
      down_bytes: 2 ** 40,
      queue_ms: 1.5,
      connect_ms: 2.3,
      first_byte_ms: 10.3,
      duration_ms: 12.3,
      tried: 2,
      reused: true,
      reason: "finished",
      type: null,
      errno: null,
      detail: null,
    };
    strictEqual(whole, JSON.stringify({ time, ...want }), "in this order, without spaces");
    deepStrictEqual(rest, want);

    open({ format: "json" });
    exFlags[ex] = ExFlag.Http;
    exReason[ex] = Reason.ConnectionRefused;
    exErrno[ex] = ECONNREFUSED;
    const nothing = JSON.parse(line());
    deepStrictEqual(Object.keys(nothing), ["time", ...Object.keys(want)]);
    const { client, method, status, connect_ms, reused, reason, type, errno, detail } = nothing;
    deepStrictEqual([client, method, status, connect_ms, reused], [null, null, null, null, false]);
    deepStrictEqual([reason, type, errno, detail], [
      "connection_refused",
      "connection_refused",
      "ECONNREFUSED",
      null,
    ]);
  });

  it("in the combined log format", () => {
    open({ format: "combined" });
    fill();
    const want = '192.0.2.7 - - [TIME +0000] "GET /a/b?c=d HTTP/1.1" 200 1099511627776 ' +
      '"http://a.example/" "curl/8"';
    const got = line();
    strictEqual(got.replace(/[0-9]{2}\/[A-Z][a-z]{2}\/[0-9]{4}(:[0-9]{2}){3}/, "TIME"), want);
    exFlags[ex] |= ExFlag.Old;
    ok(line().includes(' HTTP/1.0" '));
    forgetHead(ex);
    ok(line().endsWith('] "-" 200 1099511627776 "-" "-"'));
  });

  it("of a template tells each value, or a dash", () => {
    for (const name of ALL) {
      open({ format: "text", template: `<{${name}}>` });
      exFlags[ex] = ExFlag.Http;
      const none = line();
      fill();
      const there = line();
      const always = [
        "time",
        "time.clf",
        "up_bytes",
        "down_bytes",
        "duration_ms",
        "tried",
        "reused",
        "reason",
      ];
      if (!always.includes(name)) strictEqual(none, name === "resumed" ? "<0>" : "<->", name);
      const ofTls = ["tls", "cipher", "sni", "alpn", "client_cert"]; // it came without
      const ofDatagrams = ["up_datagrams", "down_datagrams"]; // of sessions alone
      const never = ["route", "type", "errno", "detail", "request_id", "proxy", ...ofTls, ...ofDatagrams]; // not of this request
      strictEqual(there === "<->", never.includes(name), name);
    }
    open({ format: "text", template: "{path} {protocol} {client.address} {client.port} {request_line}" });
    fill();
    strictEqual(line(), "/a/b http/1.1 192.0.2.7 40000 GET /a/b?c=d HTTP/1.1");
  });
});

describe("a line of a connection", () => {
  function fillTcp(): void {
    client(IP4);
    exFlags[ex] = 0;
    exUp[ex] = UP;
    exListener[ex] = LISTENER;
    exUpstream[ex] = UPSTREAM;
    exServer[ex] = SERVER;
    exReason[ex] = Reason.Finished;
    exStartMs[ex] = clockMs() - 12.34;
    exTried[ex] = 1;
    slotMovedBytes[DOWN] = 517;
    slotMovedBytes[UP] = 20480;
    // What a request left in this row is not its own.
    exStatus[ex] = 500;
    exConnectMs[ex] = 1;
  }

  it("as text keeps no words of requests", () => {
    fillTcp();
    strictEqual(
      withoutTime(line()),
      'TIME 192.0.2.7:40000 -> 10.0.0.1:9001 listener="web" upstream="app" up=517 down=20480 ms=12.3 tried=1 ' +
        "reason=finished",
    );
    exReason[ex] = Reason.ConnectionRefused;
    exErrno[ex] = ECONNREFUSED;
    exUp[ex] = NONE;
    exServer[ex] = NONE;
    strictEqual(
      withoutTime(line()),
      'TIME 192.0.2.7:40000 -> - listener="web" upstream="app" up=517 down=0 ms=12.3 tried=1 ' +
        'reason=connection_refused type=connection_refused errno="ECONNREFUSED"',
    );
  });

  it("as JSON and combined", () => {
    open({ format: "json" });
    fillTcp();
    const { time: _, ...rest } = JSON.parse(line());
    deepStrictEqual(Object.entries(rest), [
      ["client", "192.0.2.7:40000"],
      ["listener", "web"],
      ["upstream", "app"],
      ["server", "10.0.0.1:9001"],
      ["up_bytes", 517],
      ["down_bytes", 20480],
      ["duration_ms", 12.3],
      ["reason", "finished"],
      ["type", null],
      ["errno", null],
      ["detail", null],
      ["tried", 1],
    ]);
    open({ format: "combined" });
    fillTcp();
    ok(/^192\.0\.2\.7 - - \[.*\] "-" - 20480 "-" "-"$/.test(line()));
  });

  it("of a template is its own, or that of requests with dashes", () => {
    open({ format: "text", template: "{protocol} {status} {method} {server}" });
    fillTcp();
    strictEqual(line(), "tcp - - 10.0.0.1:9001");
    open({ format: "text", template: { tcp: "{client} {down_bytes}" } });
    fillTcp();
    strictEqual(line(), "192.0.2.7:40000 20480");
  });

  it("of a newcomer that was refused", () => {
    open({ format: "json" });
    fillTcp(); // whatever the last one was
    ok(refusedLine(LISTENER, Reason.LimitReached, plan));
    const { client, listener, server, up_bytes, duration_ms, reason } = JSON.parse(taken());
    deepStrictEqual([client, listener, server, up_bytes, duration_ms, reason], [
      "192.0.2.7:40000",
      "web",
      null,
      0,
      0,
      "limit_reached",
    ]);
  });
});

describe("what is told of TLS", () => {
  const FACTS: Readonly<Partial<Record<TlsFact, string>>> = {
    [TlsFact.Version]: "TLSv1.3",
    [TlsFact.Cipher]: "TLS_AES_128_GCM_SHA256",
    [TlsFact.Name]: "shop.example",
    [TlsFact.Protocol]: "http/1.1",
    [TlsFact.Resumed]: "r",
    [TlsFact.Subject]: "CN=ada",
  };
  const BOTH: TlsTold = { proxies: false, ends: true, names: true, asks: true };

  /** The client of the exchange came by TLS, and C knows this of it. How often C is asked. */
  function comesByTls(facts: Readonly<Partial<Record<TlsFact, string>>>): () => number {
    let asked = 0;
    plan.listenerTls[LISTENER] = 1;
    sys.tls_fact = (slot, which, at, bytes) => {
      asked++;
      strictEqual(slot, DOWN);
      const { written } = new TextEncoder().encodeInto(
        facts[which as TlsFact] ?? "",
        arenaBytes.subarray(at, at + bytes),
      );
      return written;
    };
    return () => asked;
  }

  it("each name of a template", () => {
    open({
      format: "text",
      template: "{client} {tls} {cipher} {sni} {alpn} {resumed} {client_cert} {client}",
    });
    fill();
    comesByTls(FACTS);
    const client = "192.0.2.7:40000";
    strictEqual(line(), `${client} TLSv1.3 TLS_AES_128_GCM_SHA256 shop.example http/1.1 1 CN=ada ${client}`);
    comesByTls({});
    strictEqual(line(), `${client} - - - - 0 - ${client}`);
    open({ format: "text", template: '{"c":{client_cert},"r":{resumed},"s":"<{sni}>"}' });
    fill();
    comesByTls(FACTS);
    strictEqual(line(), '{"c":"CN=ada","r":true,"s":"<shop.example>"}');
  });

  it("the built-in lines have it before how it ended", () => {
    open({ format: "text" }, undefined, BOTH);
    fill();
    comesByTls(FACTS);
    ok(
      line().endsWith(
        ' tried=2 reused=1 tls=TLSv1.3 sni="shop.example" client_cert="CN=ada" reason=finished',
      ),
    );
    exFlags[ex] = 0;
    ok(line().endsWith(' tried=2 tls=TLSv1.3 sni="shop.example" client_cert="CN=ada" reason=finished'));
    open({ format: "json" }, undefined, BOTH);
    fill();
    comesByTls(FACTS);
    const told = JSON.parse(line());
    deepStrictEqual([told.tls, told.sni, told.client_cert, told.reason], [
      "TLSv1.3",
      "shop.example",
      "CN=ada",
      "finished",
    ]);
  });

  it("nothing of a client that came without, and C is not asked", () => {
    for (const format of ["text", "json"] as const) {
      open({ format });
      fill();
      const without = withoutTime(line());
      open({ format }, undefined, BOTH);
      fill();
      const asked = comesByTls(FACTS);
      plan.listenerTls[LISTENER] = NONE;
      strictEqual(withoutTime(line()), without);
      strictEqual(asked(), 0);
    }
  });

  it("a certificate only where one is asked for", () => {
    open({ format: "text" }, undefined, { proxies: false, ends: true, names: true, asks: false });
    fill();
    comesByTls(FACTS);
    ok(line().endsWith(' reused=1 tls=TLSv1.3 sni="shop.example" reason=finished'));
  });

  it("a handshake that failed: a connection's line, with its detail and the name", () => {
    const detail = detailOfFault(Fault.Alert | (48 << 8));
    for (const format of ["text", "json"] as const) {
      open({ format }, undefined, BOTH);
      exListener[ex] = LISTENER;
      exReason[ex] = Reason.ClientAlert;
      exErrno[ex] = detail;
      comesByTls({ [TlsFact.Name]: 'x"y' });
      const told = line();
      if (format === "json") {
        const { sni, tls, reason, errno, detail: text, tried } = JSON.parse(told);
        deepStrictEqual([sni, tls, reason, errno, tried], ['x"y', undefined, "client_alert", null, 0]);
        strictEqual(text, DETAILS[detail]);
      } else {
        const ending = `reason=client_alert type=tls_alert_received detail="${DETAILS[detail]}"`;
        ok(told.endsWith(` tried=0 sni="x\\x22y" ${ending}`), told);
      }
    }
  });

  it("newcomers that were refused have had none", () => {
    open({ format: "text" }, undefined, BOTH);
    const asked = comesByTls(FACTS);
    ok(refusedLine(LISTENER, Reason.LimitReached, plan));
    ok(!taken().includes("tls="));
    strictEqual(asked(), 0);
  });

  it("a name as long as a client likes is cut, and does not break out", () => {
    open({ format: "json" }, undefined, BOTH);
    fill();
    comesByTls({ [TlsFact.Name]: "\\".repeat(300) });
    strictEqual(JSON.parse(line()).sni, "\\".repeat(FIELD_BYTES_TOLD));
  });
});

describe("what a client is called", () => {
  const cases: [record: readonly number[], client: string, address: string, port: string][] = [
    [IP4, "192.0.2.7:40000", "192.0.2.7", "40000"],
    [IP6, "[2001:db8::1]:80", "2001:db8::1", "80"],
    [LINK_LOCAL, "[fe80::1%3]:80", "fe80::1%3", "80"],
    [MAPPED, "192.0.2.7:80", "192.0.2.7", "80"],
    [[1, 0], "unix:", "unix:", "-"],
    [[0], "-", "-", "-"],
  ];
  for (const [record, whole, address, port] of cases) {
    it(whole, () => {
      open({ format: "text", template: "{client} {client.address} {client.port}" });
      client(record);
      strictEqual(line(), `${whole} ${address} ${port}`);
    });
  }
});

describe("a field of the request", () => {
  const fields = "X-Long: 1\r\nUser-Agent:  \t curl \t\r\nX: \r\nUSER-AGENT: second\r\nAccept:a:b\r\n";
  const cases: [name: string, want: string, why: string][] = [
    ["user-agent", "curl", "the first of its name, without blanks around it"],
    ["User-AGENT", "curl", "whatever the case"],
    ["accept", "a:b", "without a blank before it"],
    ["host", "shop.example:81", "the first of all"],
    ["x", "-", "empty"],
    ["x-lon", "-", "the beginning of another's name"],
    ["x-longer", "-", "another's name and more"],
    ["agent", "-", "the end of another's name"],
    ["get /", "-", "the first line is none"],
  ];
  for (const [name, want, why] of cases.filter(([name]) => !name.includes(" "))) {
    it(`${why}: ${name}`, () => {
      open({ format: "text", template: `{request.${name}}` });
      asks("/", fields);
      strictEqual(line(), want);
    });
  }

  it("is told up to a bound", () => {
    open({ format: "text", template: "{request.a}" });
    asks("/", `A: ${"a".repeat(FIELD_BYTES_TOLD)}b\r\n`);
    strictEqual(line(), "a".repeat(FIELD_BYTES_TOLD));
  });

  it("is not looked for in what was kept of a head that was cut", () => {
    open({ format: "text", template: "{request.host}" });
    const without = plan.lines.lineNeeds.slice();
    plan.lines.lineNeeds.fill(0);
    asks("/", `Cookie: ${"c".repeat(3_000)}\r\n`);
    trimHead(ex);
    plan.lines.lineNeeds.set(without);
    strictEqual(line(), "-");
  });

  it("cannot break out of its line or its quotes", () => {
    const value = 'a"b\\c\td\x80\xff{client}%s';
    open({ format: "text", template: '"{request.a}" end' });
    asks('/"x\\y', `A: ${value}\r\n`);
    strictEqual(line(), '"a\\x22b\\x5cc\\x09d\\x80\\xff{client}%s" end');
    open({ format: "text", template: '{"a":{request.a},"b":"<{target}>"}' });
    asks('/"x\\y', `A: ${value}\r\n`);
    deepStrictEqual(JSON.parse(line()), { a: value, b: '</"x\\y>' });
  });
});

describe("a long line", () => {
  it("is written, whatever the client made its values of: none can make its own line vanish", () => {
    const worst = '"'.repeat(TARGET_BYTES_TOLD + 500);
    for (const format of ["text", "json", "combined"] as const) {
      open({ format });
      asks(`/${worst}`, `User-Agent: ${"\xff".repeat(900)}\r\nReferer: ${"\xff".repeat(900)}\r\n`);
      const text = line();
      const escape = format === "json" ? "\\u0022" : "\\x22";
      strictEqual(text.split(escape).length - 1, TARGET_BYTES_TOLD - 1);
      if (format === "json") JSON.parse(text);
      if (format === "combined") strictEqual(text.split("\\xff").length - 1, 2 * FIELD_BYTES_TOLD);
    }
  });

  it("is dropped whole when the ring is full, and those after it are whole", () => {
    open({ format: "text", template: "{target}" });
    asks(`/${"a".repeat(1_000)}`);
    let lines = 0;
    while (accessLine(ex, plan)) lines++;
    ok(lines > LOG_LINES_BYTES / 1_010 && lines <= LOG_LINES_BYTES / 1_000, `${lines}`);
    strictEqual(accessLine(ex, plan), false);
    strictEqual(taken(), `/${"a".repeat(1_000)}\n`.repeat(lines));
    strictEqual(line().length, 1_001);
  });
});

describe("reasons, errors and details", () => {
  it("have their own words, each", () => {
    open({ format: "text", template: "{reason} {type} {errno} {detail}" });
    exFlags[ex] = ExFlag.Http;
    REASONS.forEach(({ name, type }, reason) => {
      exReason[ex] = reason;
      strictEqual(line(), `${name} ${type ?? "-"} - -`);
    });
    exReason[ex] = Reason.ServerReset;
    for (const errno of [1, ECONNREFUSED, 133, EBUG]) {
      exErrno[ex] = errno;
      strictEqual(line(), `server_reset connection_terminated ${errnoName(errno)} -`);
    }
    for (const reason of [Reason.BadRequest, Reason.BadAnswer]) {
      exReason[ex] = reason;
      REFUSALS.forEach(({ text }, refusal) => {
        if (refusal === Refusal.None) return;
        exErrno[ex] = refusal;
        strictEqual(line(), `${REASONS[reason].name} ${REASONS[reason].type} - ${text}`);
      });
    }
  });

  it("are told in one piece where no errno is behind them, and else one by one, in any order", () => {
    const templates = [
      "{reason} {type}|{errno}|{detail}.",
      "{reason}",
      "{type}{reason} {tried} {detail}{errno} {reason}",
      '{"r":{reason},"t":{type},"e":{errno},"d":{detail}}',
      '{"e":{errno},"in":"{reason}","n":{tried},"t":{type},"r":{reason}}',
    ];
    for (const template of templates) {
      open({ format: "text", template });
      exFlags[ex] = ExFlag.Http;
      for (
        const [reason, errno] of [
          [Reason.Finished, 0],
          [Reason.ServerReset, 0],
          [
            Reason.ServerReset,
            ECONNREFUSED,
          ],
          [Reason.BadRequest, Refusal.BareLf],
          [Reason.BadAnswer, 0],
        ]
      ) {
        exReason[ex] = reason;
        exErrno[ex] = errno;
        const isRefusal = reason === Reason.BadRequest;
        const values: Record<string, string | number | null> = {
          reason: REASONS[reason].name,
          type: REASONS[reason].type,
          errno: errno === 0 || isRefusal ? null : errnoName(errno),
          detail: isRefusal ? REFUSALS[errno].text : null,
          tried: 0,
        };
        const isJson = template.startsWith('{"');
        const want = template.replace(/("?)\{([a-z]+)\}/g, (_, quote, name) => {
          const value = values[name];
          return quote + (isJson && quote === "" ? JSON.stringify(value) : value ?? "-");
        });
        strictEqual(line(), want);
      }
    }
  });

  it("and names at the end of the Plan's memory are told whole", () => {
    for (const server of ["s", "st", "server-00000015", "server-000000016", "server-0000000017"]) {
      open({ format: "text", template: "{server}" }, ["web", "app", server]);
      exServer[ex] = SERVER;
      strictEqual(line(), server);
    }
  });

  it("and names are escaped once, for where they are written", () => {
    const nasty = 'a"b\\c\nd\x1b';
    open({ format: "text" }, [nasty, "app", "s"]);
    exListener[ex] = LISTENER;
    ok(line().includes('listener="a\\"b\\\\c\\nd\\x1B" upstream='));
    open({ format: "json" }, [nasty, "app", "s"]);
    exListener[ex] = LISTENER;
    strictEqual(JSON.parse(line()).listener, nasty);
    open({ format: "text", template: { tcp: '{"l":{listener}}' } }, [nasty, "app", "s"]);
    exListener[ex] = LISTENER;
    deepStrictEqual(JSON.parse(line()), { l: nasty }, "where one line is JSON, and the other is text");
  });
});

describe("the control plane", () => {
  const template = ALL.map((name) => `${name}={${name}}`).join(" ");
  const few = ALL.filter((name) => name !== "path"); // all of them might be too long
  const json = `{${few.map((name) => `"${name}":{${name}}`).join()},"in":"{client} {status}"}`;
  for (
    const words of [{ format: "text" }, { format: "json" }, { format: "combined" }, { template }, {
      template: json,
    }] as AccessWords[]
  ) {
    it(`writes the same as a reactor: ${JSON.stringify(words).slice(0, 40)}`, () => {
      open({ ...words, format: words.format ?? "text" });
      for (const http of [true, false]) {
        for (const record of [IP4, IP6, [1, 0], [0]]) {
          for (const known of [true, false]) {
            client(record);
            exFlags[ex] = http ? ExFlag.Http | (known ? ExFlag.Reused : 0) : 0;
            exListener[ex] = known ? LISTENER : NONE;
            exUpstream[ex] = known ? UPSTREAM : NONE;
            exServer[ex] = known ? SERVER : NONE;
            exReason[ex] = known ? Reason.ReactorDied : Reason.ServerReset;
            exErrno[ex] = known ? 0 : ECONNREFUSED;
            exTried[ex] = known ? 3 : 0;
            exStatus[ex] = known ? 204 : 0;
            exUp[ex] = UP;
            exUpBytes[ex] = slotMovedBytes[DOWN] = 5;
            exDownBytes[ex] = slotMovedBytes[UP] = 1_234_567;
            exStartMs[ex] = clockMs() - 20;
            exQueuedMs[ex] = known ? clockMs() - 18 : 0;
            exUnqueuedMs[ex] = known ? clockMs() - 15 : 0;
            exConnectMs[ex] = known ? clockMs() - 10.16 : 0;
            exFirstMs[ex] = known ? clockMs() - 5 : 0;
            const told: AccessRecord = {
              atMs: wallMs(),
              client: record[0] === 0 ? "" : formatAddress(arenaBytes, ARENA_SCRATCH),
              listener: known ? "web" : "",
              upstream: known ? "app" : "",
              server: known ? "10.0.0.1:9001" : "",
              upBytes: 5,
              downBytes: 1_234_567,
              durationMs: 20,
              reason: exReason[ex],
              errno: exErrno[ex],
              tried: exTried[ex],
              detail: "",
              http: http
                ? {
                  status: exStatus[ex],
                  queueMs: known ? 3 : -1,
                  connectMs: known ? 9.84 : -1,
                  firstMs: known ? 15 : -1,
                  reused: known,
                }
                : undefined,
            };
            const formats = accessLines({ ...words, format: words.format ?? "text" });
            strictEqual(accessText(formats, told), `${line()}\n`);
          }
        }
      }
    });
  }
});
