import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { LOG_LINE_BYTES_MAX } from "../../../src/base/limits.ts";
import {
  accessLines,
  type LinePiece,
  LOG_NAMES,
  mostBytes,
  readLogTemplate,
} from "../../../src/control/config/log_templates.ts";
import { Told, TOLD_OF_REQUESTS } from "../../../src/plan/log_lines.ts";

function read(text: string): { json: boolean; pieces: readonly LinePiece[] } {
  const reading = readLogTemplate(text);
  if (!reading.ok) throw new Error(reading.what);
  return reading.value;
}

/** The text of a line in which every value is there, written as `*`; or in which none is. */
const present = (text: string) =>
  read(text).pieces.map(({ told, before, behind }) =>
    before + ([Told.Literal, Told.Reused, Told.Resumed].includes(told) ? "" : "*") + behind
  ).join("");
const absent = (text: string) => read(text).pieces.map(({ none, before }) => none || before).join("");

describe("a template", () => {
  const cases: [text: string, present: string, absent: string, why: string][] = [
    ["{client} {status}", "* *", "- -", "values, or dashes"],
    ["a {client} b", "a * b", "a - b", "text around"],
    ["{time} [{time.clf}]", "*Z [* +0000]", "- [-]", "times have their zone"],
    ["{reused}", "1", "0", "a flag is a digit"],
    ["{{client}} {client}", "{client} *", "{client} -", "{{ and }} are braces"],
    ['{ {A {1 {" {_', '{ {A {1 {" {_', '{ {A {1 {" {_', "a brace before anything but a letter is itself"],
    ["} }} {client}}", "} }} *}", "} }} -}", "a brace that closes nothing is itself"],
    ["{{{client}}}", "{*}", "{-}", "a brace, a value, a brace"],
    ["{request.User-Agent}", "*", "-", "a field"],
    ["\té„ {host}", "\té„ *", "\té„ -", "a tab and what is not ASCII stay"],
    ['{"a":{"b":{status}}}', '{"a":{"b":*}}', '{"a":{"b":null}}', "JSON: a number, or null"],
    ['{"a":{host}}', '{"a":"*"}', '{"a":null}', "JSON: a text in quotes of its own, or null"],
    ['{"a":"{host}:{status}"}', '{"a":"*:*"}', '{"a":"-:-"}', "JSON: within a text, or a dash"],
    [
      '{"a":"\\"{host}","b":{host}}',
      '{"a":"\\"*","b":"*"}',
      '{"a":"\\"-","b":null}',
      "JSON: quotes in a text",
    ],
    ['{"a":{reused},"t":{time}}', '{"a":true,"t":"*Z"}', '{"a":false,"t":null}', "JSON: words and times"],
    ['{{"a":{{"b":"{host}"}}}}', '{"a":{"b":"*"}}', '{"a":{"b":"-"}}', "JSON with its braces doubled"],
    ['{"{host}":[{status},{tried}]}', '{"*":[*,*]}', '{"-":[null,null]}', "JSON: names and lists"],
  ];
  for (const [text, whole, none, why] of cases) {
    it(`${why}: ${text}`, () => {
      strictEqual(present(text), whole);
      strictEqual(absent(text), none);
      strictEqual(read(text).json, /^\{+"/.test(text));
    });
  }

  it("names a field in lower case, as it is looked for", () => {
    strictEqual(read("{request.X-Real_Name}").pieces[0].argument, "x-real_name");
  });

  it("may have every name that is said to be one", () => {
    for (const name of LOG_NAMES) strictEqual(read(`{${name}}`).pieces.length, 1, name);
  });

  const flaws: [text: string, what: string | RegExp, remedy: string | RegExp, why: string][] = [
    ["", "empty", /names such as/, "nothing"],
    ["{clinet}", "{clinet} stands for nothing", 'did you mean "client"?', "a slip"],
    [
      "{bytes_sent}",
      "{bytes_sent} stands for nothing",
      /^the names are \{time\} .* \{request\.NAME\}; /,
      "unknown",
    ],
    ["{request}", "{request} stands for nothing", /./, "a field without its name"],
    ["{toString}", "{toString} stands for nothing", /./, "no name of JavaScript's"],
    ["{request.}", '"" is no field\'s name', /request\.user-agent/, "an empty field"],
    ["{request.User Agent}", '"User Agent" is no field\'s name', /request\.user-agent/, "no token"],
    ["{client", '"{client" is not closed', /"\{\{" for a brace/, "no end"],
    ["a\nb", "has more than one line", /in one line/, "two lines"],
    ["a\x1bb", /holds a control character/, /printable/, "an escape"],
    ["a\u2028b", /holds a control character/, /printable/, "a line separator"],
    ["\ud800", /holds a control character/, /printable/, "half a character"],
    ["x".repeat(4_097), "a template of 4097 characters", "write at most 4096", "too long"],
    ['{"a":{status}', /begins like JSON/, /braces/, "JSON that is not whole"],
    ['{"a":{status},}', /begins like JSON/, /braces/, "a comma too much"],
    ['{"a":{status}} x', /begins like JSON/, /braces/, "something behind it"],
  ];
  for (const [text, what, remedy, why] of flaws) {
    it(`is refused: ${why}`, () => {
      const reading = readLogTemplate(text);
      ok(!reading.ok);
      for (const [said, want] of [[reading.what, what], [reading.remedy, remedy]] as const) {
        if (typeof want === "string") strictEqual(said, want);
        else match(said, want);
      }
    });
  }

  it("cannot have lines that would be too long to be written, whatever a client sends", () => {
    const targets = (count: number) => readLogTemplate("{target}".repeat(count));
    ok(targets(5).ok);
    const reading = targets(6);
    ok(!reading.ok);
    match(reading.what, /^its lines may have 3[0-9]{4} bytes$/);
    match(reading.remedy, /at most 32768/);
    const fields = readLogTemplate(Array.from({ length: 40 }, (_, at) => `{request.x-${at}}`).join(" "));
    strictEqual(fields.ok, false);
  });
});

describe("the lines of a configuration", () => {
  it("of every format fit, and end in what they tell of the end", () => {
    for (const format of ["text", "json", "combined"] as const) {
      const { http, tcp } = accessLines({ format });
      for (const line of [http, tcp]) {
        ok(mostBytes(line) <= LOG_LINE_BYTES_MAX);
        strictEqual(line.json, format === "json");
      }
    }
  });

  it("of connections tell nothing that only requests have: their rows keep what others left", () => {
    const template = LOG_NAMES.map((name) => `{${name}}`).join(" ");
    for (const words of [{ format: "combined" }, { format: "text", template }] as const) {
      for (const { told } of accessLines(words).tcp.pieces) ok(told < TOLD_OF_REQUESTS);
    }
    const { pieces } = accessLines({ format: "text", template: "<{protocol}> {status}" }).tcp;
    strictEqual(pieces.map(({ before }) => before).join(""), "<tcp> -");
  });

  it("are by its template, or by its format where that says nothing", () => {
    const { http, tcp } = accessLines({ format: "json", template: { tcp: "{client}" } });
    deepStrictEqual([http.json, tcp.json], [true, false]);
    deepStrictEqual(tcp.pieces.map(({ told }) => told), [Told.Client]);
    strictEqual(accessLines({ format: "text", template: { http: "{status}" } }).tcp.pieces.length > 5, true);
  });
});
