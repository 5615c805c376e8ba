// The traps of YAML, each with the one answer that whoever walks into it gets. What no file of this folder
// should be (bombs, broken bytes, megabytes) is made here; the rest is in broken/.
import { deepEqual, equal, ok } from "node:assert/strict";
import { describe, it } from "node:test";
import { formatProblem } from "../../../src/control/config/errors.ts";
import { FILE_BYTES_MAX, readConfigFile } from "../../../src/control/config/file.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import { among } from "./files.ts";

const GOOD = "listeners: { a: { bind: 'tcp://:1', to: u } }\nupstreams: { u: { servers: ['10.0.0.1:1'] } }\n";

function told(bytes: string | Uint8Array): string[] {
  const parsed = parseRun(["run", "-c", "f.yaml"], among({ "f.yaml": bytes }));
  return "problems" in parsed ? parsed.problems.map(formatProblem) : [];
}

function listener(...lines: string[]): string {
  return [
    "listeners:",
    "  a:",
    ...lines.map((line) => `    ${line}`),
    "upstreams:",
    "  u: { servers: '10.0.0.1:1' }",
    "",
  ]
    .join("\n");
}

describe("traps of YAML", () => {
  const cases: [trap: string, text: string | Uint8Array, want: (string | RegExp)[]][] = [
    [
      "a key twice: the last one would win",
      listener("bind: tcp://:1", "to: u", "bind: tcp://:2"),
      ['f.yaml:5:5: "bind" stands here twice, first in line 3; leave one of them out'],
    ],
    [
      "a tab",
      listener("bind: tcp://:1").replace("    bind", "\tbind"),
      ["f.yaml:3:1: a tab at the beginning of a line; indent with spaces"],
    ],
    [
      "no, which is a text and once was false",
      listener("bind: http://:1", "to: u", "proxy-status: no"),
      ['f.yaml:5:19: listeners.a.proxy-status: unknown value "no"; did you mean "off"?'],
    ],
    [
      "yes",
      listener("bind: http://:1", "to: u", "proxy-status: yes"),
      ['f.yaml:5:19: listeners.a.proxy-status: unknown value "yes"; did you mean "on"?'],
    ],
    [
      "false, which is no text",
      `admin: false\n${GOOD}`,
      ['f.yaml:1:8: admin: unknown value "false"; did you mean "off"?'],
    ],
    [
      "a colon without quotes",
      listener("bind: http://:1", "error-pages:", "  404:", "    text: lost: nothing here"),
      ['f.yaml:6:15: a value that holds ": "; put it in quotes: "lost: nothing here"'],
    ],
    [
      "a colon without its space",
      listener("bind:tcp://:1", "to: u"),
      ["f.yaml:3:5: no space behind the colon; write bind: tcp://:1"],
    ],
    [
      "a star without quotes, which is an alias",
      listener("bind: http://:1", "routes: [{ match: { host: *.example }, to: u }]"),
      [
        'f.yaml:4:31: "*.example" is an alias in YAML, and no anchor of that name stands before it; ' +
        'put it in quotes: "*.example"',
      ],
    ],
    [
      "a name in braces without quotes, which is a section",
      listener("bind: http://:1", "routes: [{ redirect: { to: {rest} } }]"),
      [
        "f.yaml:4:32: listeners.a.routes[0].redirect.to: a section of keys where text is expected; " +
        'write "{rest}", in quotes',
      ],
    ],
    [
      "a merge of sections",
      listener("bind: tcp://:1", "to: u", "<<: {}"),
      [
        'f.yaml:5:5: "<<" joins no sections in this version of YAML; ' +
        "write their keys here; a value alone may be an alias: servers: *servers",
      ],
    ],
    ["a second document", `${GOOD}---\na: 1\n`, ['f.yaml:3:1: one document only; remove what follows "---"']],
    ["an empty file", "", ["f.yaml:1:1: nothing is in it; write listeners and upstreams"]],
    [
      "another version of YAML",
      `%YAML 1.1\n---\n${GOOD}`,
      ["f.yaml:1:1: YAML 1.1, in which on, off, yes and no are no words; leave the line out"],
    ],
    [
      "bytes that are no UTF-8, behind some that are",
      Uint8Array.from([...new TextEncoder().encode(`${GOOD}# gr\u00fc\u00df: `), 0xfc, 0x0a]),
      ["f.yaml:3:9: no UTF-8 from here on; save the file as UTF-8"],
    ],
    [
      "UTF-16, as some editors save it",
      Uint8Array.from([0xff, 0xfe, ...[...GOOD].flatMap((one) => [one.charCodeAt(0), 0])]),
      ["f.yaml:1:1: no UTF-8 from here on; save the file as UTF-8"],
    ],
    [
      "a bomb of aliases: nine of nine of nine",
      bomb(9),
      [/^f\.yaml:[0-9]+:[0-9]+: aliases stand for too much, from here on; write it out, or use fewer of them$/],
    ],
    [
      "a bomb of aliases that would fill the world",
      bomb(12),
      [/^f\.yaml:[0-9]+:[0-9]+: aliases stand for too much, from here on; write it out, or use fewer of them$/],
    ],
    [
      "aliases without end, each of next to nothing",
      `a: &a 1\nb: [${Array(20_000).fill("*a").join(", ")}]\n`,
      ["f.yaml:2:40005: aliases stand for too much, from here on; write it out, or use fewer of them"],
    ],
    [
      "a long value again and again",
      `a: &a ${"x".repeat(100_000)}\nb: [${Array(200).fill("*a").join(", ")}]\n`,
      ["f.yaml:2:673: aliases stand for too much, from here on; write it out, or use fewer of them"],
    ],
    [
      "an alias within what it stands for",
      "listeners: &a { b: *a }\n",
      ['f.yaml:1:20: "*a" is a part of itself; write out what it stands for'],
    ],
    [
      "lists in lists, a few too many",
      `listeners: ${"[".repeat(70)}${"]".repeat(70)}\n`,
      ["f.yaml:1:75: more than 64 lists and sections in one another; leave some out"],
    ],
    [
      "sections in sections, a few too many",
      `${"{ a: ".repeat(70)}1${" }".repeat(70)}\n`,
      ["f.yaml:1:321: more than 64 lists and sections in one another; leave some out"],
    ],
    [
      "lists in lists without end",
      `listeners: ${"[".repeat(100_000)}${"]".repeat(100_000)}\n`,
      [/^f\.yaml:1:[0-9]+: more than 64 lists and sections in one another; leave some out$/],
    ],
    [
      "more than 64 MiB",
      new Uint8Array(FILE_BYTES_MAX + 1).fill(0x23),
      [`sluice: f.yaml: the configuration is longer than ${FILE_BYTES_MAX} bytes; write a shorter one`],
    ],
  ];
  for (const [trap, text, want] of cases) {
    it(trap, () => {
      const found = told(text);
      equal(found.length, want.length, found.join("\n"));
      for (const [at, one] of want.entries()) {
        if (typeof one === "string") equal(found[at], one);
        else ok(one.test(found[at]), found[at]);
      }
    });
  }

  it("a file of 10 MB is read, and its last line has its place", () => {
    // Some seconds where it was written, in one pass: keys are compared by hash, places are looked up when told.
    const servers = Array.from({ length: 1_000 }, (_, at) => `      - 10.1.${at >> 8}.${at & 255}:8080\n`)
      .join("");
    let text = "listeners: { a: { bind: 'tcp://:1', to: u0 } }\nupstreams:\n", count = 0;
    while (text.length < 10_000_000) text += `  u${count++}:\n    servers:\n${servers}`;
    const file = readConfigFile("f.yaml", new TextEncoder().encode(text));
    ok("raw" in file);
    const { upstreams } = file.raw as { upstreams: Record<string, { servers: string[] }> };
    equal(Object.keys(upstreams).length, count);
    equal(upstreams[`u${count - 1}`].servers.length, 1_000);
    const { spot } = file.place({ path: ["upstreams", `u${count - 1}`, "servers", 999] });
    deepEqual([spot.line, spot.column, spot.text], [
      text.split("\n").length - 1,
      9,
      "      - 10.1.3.231:8080",
    ]);
  });

  it("a line of 1 MB has places in all of it", () => {
    const names = Array.from({ length: 60_000 }, (_, at) => `u${at}: { servers: 9 }`);
    const text = `upstreams: { ${names.join(", ")} }\n`;
    const file = readConfigFile("f.yaml", new TextEncoder().encode(text));
    ok("raw" in file);
    for (const [at] of names.entries()) {
      const { spot, offset } = file.place({ path: ["upstreams", `u${at}`], isKey: true });
      equal(spot.column, offset + 1);
      equal(text.slice(offset, offset + spot.length), `u${at}`);
    }
  });
});

/** Each line has the one before it nine times. */
function bomb(lines: number): string {
  const names = [..."abcdefghijkl"].slice(0, lines);
  return names.map((name, at) => {
    const entries = at === 0 ? Array(9).fill("x") : Array(9).fill(`*${names[at - 1]}`);
    return `${name}: &${name} [${entries.join(", ")}]\n`;
  }).join("");
}
