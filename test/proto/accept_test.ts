import { ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { random, randomSeed } from "../../src/base/random.ts";
import { preferred } from "../../src/proto/accept.ts";
import { ascii } from "../../src/proto/octet.ts";

const TYPES = ["text/plain", "text/html", "application/json", "application/problem+json"];
const TYPE_BYTES = TYPES.map(ascii);
const [TEXT, HTML, JSON_TYPE, PROBLEM, NONE] = [0, 1, 2, 3, -1];

/** Bytes that tell who reads outside of [from, end). */
function guarded(bytes: Uint8Array, from: number, end: number): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      const at = Number(key);
      ok(at >= from && at < end, `byte ${String(key)} of [${from}, ${end}) was read`);
      return target[at];
    },
  });
}

/** `preferred` for a text between other bytes, which would name every type. */
function read(accept: string): number {
  const bytes = ascii(`text/html,${accept},text/html,application/json`), end = 10 + accept.length;
  return preferred(guarded(bytes, 10, end), 10, end, TYPE_BYTES);
}

function weightOf(text: string): number {
  if (!/^(?:0|0?\.\d+|0\.)$/.test(text)) return 1000;
  return Number((text.split(".")[1] ?? "").slice(0, 3).padEnd(3, "0"));
}

/** The same on strings, with nothing done twice to save anything. */
function preferredOf(accept: string, types: readonly string[]): number {
  const trim = (text: string) => text.replace(/^[ \t]+|[ \t]+$/g, "");
  const plain = accept.replace(/"(?:[^"\\]|\\[^])*(?:"|\\?$)/g, (quoted) => "?".repeat(quoted.length));
  const ranges = plain.split(",").map((element, order) => {
    const [name, ...parameters] = element.split(";").map((part) => trim(part).toLowerCase());
    const weights = parameters.filter((parameter) => parameter.startsWith("q="));
    const others = parameters.filter((parameter) => parameter !== "" && !parameter.startsWith("q="));
    const weight = weights.length === 0 ? 1000 : weightOf(weights[weights.length - 1].slice(2));
    return { name, bare: others.length === 0, weight, order };
  });
  const asked = types.flatMap((type, index) => {
    const exact = ranges.filter(({ name, bare }) => name === type && bare);
    const narrow = ranges.filter(({ name, bare }) => name === type && !bare);
    const wild = ranges.filter(({ name }) => name === type.replace(/\/.*/, "/*"));
    const closest = [exact, narrow, wild].find((some) => some.length > 0) ?? [];
    // Sorting is stable: of equal ones the first comes first.
    const [range] = closest.toSorted((one, other) => other.weight - one.weight);
    if (range === undefined || range.weight === 0) return [];
    return [{ index, weight: range.weight, inFull: closest === wild ? 0 : 1, order: range.order }];
  });
  asked.sort((one, other) =>
    other.weight - one.weight || other.inFull - one.inFull || one.order - other.order
  );
  return asked.length === 0 ? NONE : asked[0].index;
}

describe("preferred", () => {
  const cases: [accept: string, want: number, why: string][] = [
    [
      "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8," +
      "application/signed-exchange;v=b3;q=0.7",
      HTML,
      "Chrome",
    ],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML, "Firefox, Safari"],
    ["image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", NONE, "Firefox for an image"],
    ["text/css,*/*;q=0.1", NONE, "Chrome for a style sheet"],
    ["*/*", NONE, "curl, fetch"],
    ["application/json", JSON_TYPE, "a program"],
    ["application/json, text/plain, */*", JSON_TYPE, "axios"],
    ["application/json, text/javascript, */*; q=0.01", JSON_TYPE, "jQuery"],
    ["application/problem+json, application/json", PROBLEM, "RFC 9457"],
    ["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", HTML, "Java's HttpURLConnection"],
    ["text/x-dvi; q=0.8, text/x-c, text/plain; q=0.5, text/html", HTML, "RFC 9110 12.5.1"],
    [
      "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5",
      TEXT,
      "RFC 9110 12.5.1: 0.7 against 0.3",
    ],
    ["", NONE, "empty"],
    [" \t", NONE, "blank"],
    [",, ,", NONE, "empty elements alone"],
    [",, application/json ,,", JSON_TYPE, "empty elements"],
    ["\ttext/plain\t;\tq=0.1\t,\tapplication/json\t;\tq=0.2\t", JSON_TYPE, "white space"],
    ["TEXT/Html;Q=0.2,Text/PLAIN;q=0.1", HTML, "case"],

    ["text/plain;q=0.1, text/html;q=0.2, application/json;q=0.15", HTML, "the highest weight"],
    ["text/plain;q=0.899, text/html;q=0.9", HTML, "one decimal against three"],
    ["text/plain;q=0.899, text/html;q=0.898", TEXT, "the third decimal"],
    ["text/plain;q=0.998, text/html", HTML, "no weight is 1"],
    ["text/html;q=0.5, text/plain;q=0.5", HTML, "the same weight: the first"],
    ["text/html;q=1.000, text/plain;q=1, text/plain;q=1.0", HTML, "three ways to write 1"],
    ["text/html;q=0", NONE, "not acceptable"],
    ["text/html;q=0., text/plain;q=0.000", NONE, "other ways to write 0"],
    ["text/html;q=0, application/json;q=0.001", JSON_TYPE, "the lowest weight is more than none"],
    ["text/html;q=0, */*", NONE, "what is left is not named"],
    ["text/html;q=.5, text/plain;q=0.4", HTML, "without a digit before the dot"],
    ["text/plain;q=0.3333333333, text/html;q=0.333", TEXT, "decimals are cut off: the same weight"],
    ["text/html;q=0.0009", NONE, "decimals are cut off"],
    ["text/plain;q=0.9, text/html;q=", HTML, "malformed is 1: empty"],
    ["text/plain;q=0.9, text/html;q=.", HTML, "malformed is 1: a dot"],
    ["text/plain;q=0.9, text/html;q=0,5", TEXT, 'a decimal comma ends the element: "5" is no range'],
    ["text/plain;q=0.9, text/html;q=00", HTML, "malformed is 1: two zeros"],
    ["text/plain;q=0.9, text/html;q=0.5.5", HTML, "malformed is 1: two dots"],
    ["text/plain;q=0.9, text/html;q=0.5x", HTML, "malformed is 1: a letter"],
    ["text/plain;q=0.9, text/html;q=-0.5", HTML, "malformed is 1: negative"],
    ['text/plain;q=0.9, text/html;q="0.5"', HTML, "malformed is 1: quoted"],
    ["text/plain;q=0.9, text/html;q=7", HTML, "above 1 is 1"],
    ["text/plain, text/html;q=7", TEXT, "above 1 is no more than 1"],
    ["text/plain;q=0.9, text/html;q =0.5", HTML, "white space before the equals sign: no weight"],
    ["text/plain;q=0.9, text/html;q:0.5", HTML, "no equals sign: no weight"],
    ["text/plain;q=0.9, text/html;qs=0.5", HTML, "another parameter"],
    ["text/plain;q=0.9;q=0.1, text/html;q=0.5", HTML, "several weights: the last"],

    ["text/*", TEXT, "the first of the types"],
    ["application/*", JSON_TYPE, "the first of those"],
    ["application/*, text/*", JSON_TYPE, "the first in the field"],
    ["text/*;q=0.5, application/*", JSON_TYPE, "the highest weight"],
    ["text/*, text/html", HTML, "in full, though behind"],
    ["text/*, application/json", JSON_TYPE, "in full, though behind"],
    ["application/json, text/*", JSON_TYPE, "in full"],
    ["text/*, application/json;q=0.9", TEXT, "a weight counts more"],
    ["text/*, text/plain;q=0", HTML, "all but one"],
    ["text/plain;q=0, text/*", HTML, "all but one, the other way round"],
    ["text/*;q=0, text/html;q=0.1", HTML, "none but one"],
    ["text/*;q=0", NONE, "none"],
    ["text/*;level=1", TEXT, "with a parameter"],
    ["te*/html, text/*html, text/h*, text/**, */html, text/, text/*/", NONE, "no such wildcards"],
    ["*", NONE, "half a wildcard"],

    ["application/jsonx", NONE, "a longer name"],
    ["application/jso", NONE, "a shorter name"],
    ["xapplication/json", NONE, "something before it"],
    ["application/json+x, application/x-problem+json, text/html.x", NONE, "other names"],
    ["x/text/html, text/html/x, text /html, text/ html, text/html x", NONE, "no ranges"],
    ["application/jsonx, text/html;q=0.1", HTML, "other names are passed over"],
    ["x/y;a=text/html;b=application/json", NONE, "within parameters"],
    ["application/json;charset=utf-8", JSON_TYPE, "a parameter"],
    ["application/json;odata=verbose;q=0.5, text/html;q=0.4", JSON_TYPE, "a weight behind a parameter"],
    ["application/json;q=0.5;odata=verbose, text/html;q=0.6", HTML, "a weight before a parameter"],
    ["text/html;level=1, text/html;q=0", NONE, "only with a parameter that we do not have"],
    ["text/html;q=0, text/html;level=1", NONE, "the other way round"],
    ["text/html;level=1;q=0, text/html", HTML, "only without it"],
    ["text/html;level=1;q=0.1, text/*, text/plain;q=0", HTML, "a parameter is closer than a wildcard"],
    ["text/html;;q=0.1; ;, text/plain;q=0.2", TEXT, "empty parameters"],
    ["text/html;, text/html;q=0.1, text/plain;q=0.5", HTML, "an empty parameter is none"],
    ["text/html;q=0.1, text/html;q=0.8, text/plain;q=0.7", HTML, "named twice: the highest"],
    ["text/html;q=0.8, text/html;q=0.1, text/plain;q=0.7", HTML, "the other way round"],
    ["text/html;q=0.1, text/plain, text/html", TEXT, "its place is that of the highest"],

    ['x/y;a=",text/html,"', NONE, "quoted commas"],
    ['text/plain;a=";q=0"', TEXT, "a quoted semicolon"],
    ['x/y;a="\\",text/html,", text/plain;q=0.1', TEXT, "an escaped quote"],
    ['x/y;a="\\\\", text/plain', TEXT, "an escaped backslash"],
    ["x/y;a=\\, text/plain", TEXT, "a backslash outside of quotes escapes nothing"],
    ['text/plain;a=",text/html', TEXT, "a quote that is not closed"],
    ['x/y;a="\\', NONE, "nor the escape"],
    ['text/plain;a="x"y;q=0.1, text/html;q=0.2', HTML, "something behind the quotes"],
    ['"text/html"', NONE, "a quoted range"],
    [";q=1;text/html", NONE, "a parameter of nothing"],
    ["text/html=1;;;===,/,//,\x80\xff,(comment),text/plain", TEXT, "garbage"],
    ["text\x0fhtml, text/htm\x4c", HTML, "a control is no slash, an upper case is a letter"],
    ["text\x0fhtml", NONE, "a control is no slash"],
  ];

  for (const [accept, want, why] of cases) {
    it(`${JSON.stringify(accept)}: ${why}`, () => strictEqual(read(accept), want));
  }

  it("takes no more than what it is given, wherever it is cut", () => {
    for (const [accept] of cases) {
      for (let cut = 0; cut <= accept.length; cut++) {
        const head = accept.slice(0, cut), tail = accept.slice(cut);
        strictEqual(read(head), preferredOf(head, TYPES), JSON.stringify(head));
        strictEqual(read(tail), preferredOf(tail, TYPES), JSON.stringify(tail));
      }
    }
  });

  it("knows the types that it is given, in their order", () => {
    const bytes = ascii("text/*, application/json;q=0.5");
    strictEqual(preferred(bytes, 0, bytes.length, []), NONE);
    strictEqual(preferred(bytes, 0, bytes.length, [ascii("text/html"), ascii("text/plain")]), 0);
    strictEqual(preferred(bytes, 0, bytes.length, [ascii("image/png"), ascii("application/json")]), 1);
  });

  it("says what an implementation on strings says", () => {
    const parts = [
      ...TYPES,
      ...["text/*", "application/*", "*/*", "TEXT/HTML", "application/jsonx", "text/", "x/y"],
      ...[";q=0", ";q=0.5", ";q=.25", ";q=0.4999", "; Q=1.000", ";q=1.5", ";q=", ";q=00", ";q:0.1"],
      ...[";a=b", ';a=",x;q=0"', ";", " ;\t", ",", ",", ", ", ",", ",", " ", '"', "\\", '\\"', "=", "*", "/"],
    ];
    const seen = new Map<number, number>();
    for (let seed = 1; seed <= 50; seed++) {
      randomSeed(seed);
      for (let step = 0; step < 400; step++) {
        let accept = "";
        for (let left = Math.floor(random() * 14); left > 0; left--) {
          const garbage = random() < 0.02;
          accept += garbage
            ? String.fromCharCode(Math.floor(random() * 256))
            : parts[Math.floor(random() * parts.length)];
        }
        const want = preferredOf(accept, TYPES);
        strictEqual(read(accept), want, `seed ${seed}, step ${step}: ${JSON.stringify(accept)}`);
        seen.set(want, (seen.get(want) ?? 0) + 1);
      }
    }
    for (const want of [NONE, TEXT, HTML, JSON_TYPE, PROBLEM]) {
      ok((seen.get(want) ?? 0) > 100, `${want} is rare: ${seen.get(want)}`);
    }
  });
});
