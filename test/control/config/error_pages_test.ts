// Error pages of one's own as a file has them: what is read, what is refused and where, and what of it is in
// the Plan.
import { deepEqual, equal, ok } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { PAGE_FORMS, PageForm, pageOf } from "../../../src/plan/pages.ts";
import { checkPlan, openPlan, type Plan } from "../../../src/plan/plan.ts";
import type { LiteralAddress } from "../../../src/control/config/address.ts";
import { compile } from "../../../src/control/config/compile.ts";
import { Identities } from "../../../src/control/config/parts.ts";
import { formatProblem, formatProblems } from "../../../src/control/config/errors.ts";
import { PAGES_BYTES_MAX } from "../../../src/control/config/page_files.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import type { Config } from "../../../src/control/config/schema.ts";
import { Directory } from "../../../src/control/directory.ts";
import { Folder } from "../../support/folder.ts";
import { among, diskOf, type Files } from "./files.ts";
import { DISK, type Disk } from "../../../src/control/config/disk.ts";

const UPSTREAMS = "upstreams: { u: { servers: ['10.0.0.1:1'] } }\n";

/** A file with these pages, each on a line of its own. */
function web(...pages: readonly string[]): string {
  const lines = pages.map((page) => `      ${page}\n`).join("");
  return `listeners:\n  web:\n    bind: http://:80\n    to: u\n    error-pages:\n${lines}${UPSTREAMS}`;
}

/** The line and column where the first page stands. */
const FIRST_LINE = 6;

function run(text: string, files: Files = {}, told: string[] = []) {
  return parseRun(["run", "-c", "f", "--admin", "off"], among({ ...files, f: text }, told));
}

function good(text: string, files: Files = {}, told: string[] = []): Config {
  const result = run(text, files, told);
  ok("config" in result, "problems" in result ? formatProblems(result.problems) : "");
  deepEqual(result.warnings, []);
  return result.config;
}

function plan(config: Config): Plan {
  const sockets = Object.entries(config.listeners).flatMap(([listener, { bind }]) =>
    bind.map(({ text }) => ({ listener, bind: text, bound: text, port: 80 }))
  ).map((socket, index) => ({ ...socket, socket: index }));
  const resolve = (address: unknown) => [address as LiteralAddress];
  const input = { config, sockets, generation: 1, resolve, patternOf: () => 1 };
  return openPlan(compile(input, new Identities(), new Directory()).plan.memory);
}

/** What a listener says, form by form: undefined is Sluice's own. */
function said({ pages, arena }: Plan, listener: number, status: number): (string | undefined)[] | undefined {
  const page = pageOf(pages, listener, status);
  if (page === 0) return undefined;
  return Array.from({ length: PAGE_FORMS }, (_, form) => {
    if ((pages.pageForms[page] >> form & 1) === 0) return undefined;
    const text = page * PAGE_FORMS + form, at = pages.textAt[text];
    return new TextDecoder().decode(arena.slice(at, at + pages.textBytes[text]));
  });
}

/** What the rest of the class of a status has is asked for by a status that nobody names. */
const OTHER_4XX = 418, OTHER_5XX = 599;
const LISTENER = 1;

test("pages are found by status, the exact one before its class", () => {
  const text = web(
    "404: { html: '<h1>Not here</h1>', json: '{}' }",
    "503: { html: file:busy.html }",
    "4xx: { text: no }",
    "5xx: { html: file:/etc/5xx.html, problem: '' }",
  );
  const files = { "busy.html": "Büsy ☕", "/etc/5xx.html": "five" };
  const compiled = plan(good(text, files));
  const cases: [status: number, want: (string | undefined)[], first: PageForm, why: string][] = [
    [404, [undefined, "<h1>Not here</h1>", "{}", undefined], PageForm.Html, "the exact one alone"],
    [503, [undefined, "Büsy ☕", undefined, undefined], PageForm.Html, "a file, in UTF-8"],
    [400, ["no", undefined, undefined, undefined], PageForm.Text, "the first of its class"],
    [OTHER_4XX, ["no", undefined, undefined, undefined], PageForm.Text, "the rest of its class"],
    [499, ["no", undefined, undefined, undefined], PageForm.Text, "the last of its class"],
    [500, [undefined, "five", undefined, ""], PageForm.Html, "the other class"],
    [OTHER_5XX, [undefined, "five", undefined, ""], PageForm.Html, "an empty text is one"],
  ];
  for (const [status, want, first, why] of cases) {
    deepEqual(said(compiled, LISTENER, status), want, `${status}: ${why}`);
    equal(compiled.pages.pageFirst[pageOf(compiled.pages, LISTENER, status)], first, `${status}: ${why}`);
  }
});

test("a listener has its own pages, and those of its binds are there once", () => {
  const text = `
listeners:
  tcp: { bind: tcp://:1, to: t }
  a: { bind: [http://:2, http://:3], to: u, error-pages: { 404: { text: a }, 5xx: { text: same } } }
  none: { bind: http://:4, to: u }
  b: { bind: http://:5, to: u, error-pages: { 404: { text: b }, 502: { json: same } } }
  last: { bind: http://:6, to: u }
upstreams: { u: { servers: ['10.0.0.1:1'] }, t: { servers: ['10.0.0.1:2'] } }
`;
  const compiled = plan(good(text));
  const texts = (status: number) =>
    [1, 2, 3, 4, 5, 6].map((listener) => said(compiled, listener, status)?.join(""));
  deepEqual(texts(404), [undefined, "a", "a", undefined, "b", undefined]);
  deepEqual(texts(502), [undefined, "same", "same", undefined, "same", undefined]);
  deepEqual(texts(501), [undefined, "same", "same", undefined, undefined, undefined]);
  deepEqual(texts(400), [undefined, undefined, undefined, undefined, undefined, undefined]);
  equal(new Set(compiled.pages.listenerEntries).size, 3, "nobody, and two lists");
  equal(compiled.pages.sizes.pages, 5, "nobody, and four pages");
  equal(new Set(compiled.pages.textAt).size, 4, "none, and three texts");
});

test("without pages there is nothing in the Plan", () => {
  for (const text of [web("404: { text: a }").replace(/ {4}error-pages:\n.*\n/, ""), web("{}")]) {
    const compiled = plan(good(text));
    equal(pageOf(compiled.pages, LISTENER, 404), 0);
    equal(compiled.pages.sizes.entries, 1);
  }
});

test("a broken Plan is not published", () => {
  const cases: [mend: (plan: Plan) => void, why: RegExp][] = [
    [({ pages }) => pages.listenerEntries[1] = 2, /a listener's pages are out of range/],
    [({ pages }) => pages.entryPage[1] = 2, /names a page that is not there/],
    [({ pages }) => pages.pageForms[1] = 0, /a page without a form/],
    [({ pages }) => pages.pageForms[1] = 16, /a page without a form/],
    [({ pages }) => pages.pageFirst[1] = 1, /begins with a form it does not give/],
    [({ pages, arenaBytes }) => pages.textBytes[PAGE_FORMS] = arenaBytes, /a page's text is out of range/],
  ];
  for (const [mend, why] of cases) {
    const compiled = plan(good(web("404: { text: a }")));
    checkPlan(compiled);
    mend(compiled);
    let told = "";
    try {
      checkPlan(compiled);
    } catch (error) {
      told = (error as Error).message;
    }
    ok(why.test(told), `${why}: ${told}`);
  }
});

const LONGEST = 16_384;
const UNKNOWN = "write a status from 400 to 599, 4xx or 5xx";

test("what is no page is refused, with its place and what to write", () => {
  const cases: [page: string, column: number, want: string, why: string][] = [
    ["600: { text: a }", 7, `error-pages: "600" is no error's status; ${UNKNOWN}`, "above"],
    ["399: { text: a }", 7, `error-pages: "399" is no error's status; ${UNKNOWN}`, "below"],
    ["200: { text: a }", 7, `error-pages: "200" is no error's status; ${UNKNOWN}`, "no error"],
    ["40: { text: a }", 7, `error-pages: "40" is no status; ${UNKNOWN}`, "two digits"],
    ["6xx: { text: a }", 7, `error-pages: "6xx" is no status; ${UNKNOWN}`, "no class"],
    ["4XX: { text: a }", 7, 'error-pages: "4XX" is no status; did you mean "4xx"?', "capitals"],
    ["5x: { text: a }", 7, 'error-pages: "5x" is no status; did you mean "5xx"?', "a slip"],
    ["default: { text: a }", 7, `error-pages: "default" is no status; ${UNKNOWN}`, "a word"],
    ["404: { htm: a }", 14, 'error-pages.404: unknown key "htm"; did you mean "html"?', "a slip"],
    [
      "404: { css: a }",
      14,
      'error-pages.404: unknown key "css"; the keys here are text, html, json, problem',
      "no form",
    ],
    [
      "404: {}",
      12,
      "error-pages.404: a page in no form; write text, html, json or problem",
      "it changes nothing",
    ],
    [
      "404: gone",
      12,
      "error-pages.404: text where a section of keys is expected; write { html: gone }",
      "in which form?",
    ],
    [
      "- a",
      5,
      "error-pages: a list where a section of keys is expected; write STATUS: { html: TEXT }, without a dash",
      "a list",
    ],
    [
      "404: { json: { a: 1 } }",
      20,
      "error-pages.404.json: a section of keys where text is expected; write TEXT or file:PATH",
      "JSON is a text, too",
    ],
    [
      `404: { text: ${"x".repeat(LONGEST + 1)} }`,
      20,
      "error-pages.404.text: a body of 16385 bytes; write at most 16384",
      "too long",
    ],
    [
      `404: { text: ${"ü".repeat(LONGEST / 2)}x }`,
      20,
      "error-pages.404.text: a body of 16385 bytes; write at most 16384",
      "bytes are counted",
    ],
    [
      '404: { text: "\\ud800" }',
      20,
      "error-pages.404.text: not valid Unicode; write printable characters",
      "half a character",
    ],
    ['404: { text: "file:" }', 20, "error-pages.404.text: file: without a path; write file:PATH", "no path"],
    [
      '404: { text: "file:a\\nb" }',
      20,
      'error-pages.404.text: "a\\nb" holds a control character; write a path in printable characters',
      "two lines",
    ],
    [
      `404: { text: file:${"x".repeat(4_001)} }`,
      20,
      "error-pages.404.text: a path of 4001 characters; write at most 4000",
      "a path without end",
    ],
    [
      "404: { text: file:nowhere }",
      20,
      'error-pages.404.text: "nowhere": there is no such file; ' +
      "write the path of a file, from the working directory on",
      "missing",
    ],
    [
      "404: { text: file:/no/where }",
      20,
      'error-pages.404.text: "/no/where": there is no such file; write the path of a file',
      "missing",
    ],
    [
      "404: { text: file:/secret }",
      20,
      'error-pages.404.text: "/secret": this user may not read it; change its owner or its mode',
      "not readable",
    ],
    [
      "404: { text: file:/long }",
      20,
      'error-pages.404.text: "/long" is longer than 16384 bytes; make the page shorter',
      "too long",
    ],
    [
      "404: { text: file:/latin1 }",
      20,
      'error-pages.404.text: "/latin1" is no text in UTF-8; save it as UTF-8',
      "another encoding",
    ],
  ];
  const files = {
    "/secret": Object.assign(new Error("no"), { code: "EACCES" }),
    "/long": "x".repeat(LONGEST + 1),
    "/latin1": Uint8Array.of(0x4a, 0xf6, 0x72, 0x67),
  };
  for (const [page, column, want, why] of cases) {
    const result = run(web(page), files);
    const line = page.startsWith("-") ? FIRST_LINE - 1 : FIRST_LINE;
    ok("problems" in result, why);
    deepEqual(result.problems.map(formatProblem), [
      `f:${line}:${column}: listeners.web.${want}`,
    ], why);
  }
});

test("all that is wrong with files comes at once, each place with its own", () => {
  const told: string[] = [];
  const result = run(web("404: { text: file:a, html: file:b }", "5xx: { text: file:a }"), { b: "b" }, told);
  ok("problems" in result);
  deepEqual(result.problems.map(({ where }) => where), ["f:6:20", "f:7:20"]);
  deepEqual(told, ["f", "a", "b"], "each is read once");
});

test("pages as long as they may be", () => {
  const longest = "ü".repeat(LONGEST / 2);
  const compiled = plan(good(web(`404: { text: ${longest}, html: file:long }`), { long: longest }));
  deepEqual(said(compiled, LISTENER, 404), [longest, longest, undefined, undefined]);
});

test("all pages together have a bound, which repeating one does not reach", () => {
  const count = PAGES_BYTES_MAX / LONGEST;
  const listeners = (fileOf: (number: number) => number): string => {
    const pages = Array.from({ length: count + 1 }, (_, at) => `{ text: "file:${fileOf(at)}" }`);
    const named = Array.from({ length: Math.ceil(pages.length / 200) }, (_, at) => {
      const own = pages.slice(at * 200, at * 200 + 200).map((page, status) => `${400 + status}: ${page}`);
      return `  l${at}: { bind: "http://:${at + 1}", to: u, error-pages: { ${own.join(", ")} } }\n`;
    });
    return `listeners:\n${named.join("")}${UPSTREAMS}`;
  };
  const page = "x".repeat(LONGEST);
  const files = Object.fromEntries(Array.from({ length: count + 1 }, (_, at) => [String(at), page]));
  good(listeners((number) => number % count), files);
  const result = run(listeners((number) => number), files);
  ok("problems" in result);
  deepEqual(result.problems.map(({ what, remedy }) => [what.replace(/^.*?: /, ""), remedy]), [[
    `the error pages are longer than ${PAGES_BYTES_MAX} bytes together, from here on`,
    "write shorter ones, or fewer",
  ]]);
});

test("files are read from the disk", () => {
  using folder = new Folder();
  writeFileSync(folder.at("busy.html"), "<h1>Büsy</h1>\n");
  writeFileSync(folder.at("empty"), "");
  const text = (path: string) => web(`503: { html: "file:${folder.at(path)}" }`);
  const mixed = (text: string): Disk => ({
    ...DISK,
    read: (path, max) => (path === "f" ? diskOf({ f: text }) : DISK).read(path, max),
  });
  const read = (path: string) =>
    parseRun(["run", "-c", "f", "--admin", "off"], { env: {}, uid: 0, disk: mixed(text(path)) });
  const told = (path: string): string[] => {
    const result = read(path);
    return "problems" in result ? result.problems.map(({ what }) => what) : [];
  };
  for (const [path, want] of [["busy.html", "<h1>Büsy</h1>\n"], ["empty", ""]]) {
    const result = read(path);
    ok("config" in result, path);
    deepEqual(said(plan(result.config), LISTENER, 503), [undefined, want, undefined, undefined], path);
  }
  const place = "listeners.web.error-pages.503.html";
  deepEqual(told("none"), [`${place}: "${folder.at("none")}": there is no such file`]);
  deepEqual(told(""), [`${place}: "${folder.at("")}": a directory`]);
  writeFileSync(folder.at("long"), "x".repeat(LONGEST + 1));
  deepEqual(told("long"), [`${place}: "${folder.at("long")}" is longer than 16384 bytes`]);
});
