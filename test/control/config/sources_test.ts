import { deepEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { formatProblem } from "../../../src/control/config/errors.ts";
import { whereOf } from "../../../src/control/config/file.ts";
import type { Path } from "../../../src/control/config/finding.ts";
import { expand, readSources } from "../../../src/control/config/sources.ts";
import { diskOf, type Files } from "./files.ts";

function read(files: Files, env: Record<string, string> = {}) {
  return readSources("etc/main.yaml", { env, disk: diskOf(files) });
}

function raw(files: Files, env: Record<string, string> = {}): unknown {
  const source = read(files, env);
  ok("raw" in source, "problems" in source ? source.problems.map(formatProblem).join("\n") : "");
  return source.raw;
}

test("files that are included are joined, section by section", () => {
  const files = {
    "etc/main.yaml": "include: [conf.d/*.yaml, /srv/more.yaml]\nreactors: 2\nlisteners: { a: { to: x } }\n",
    "etc/conf.d/20.yaml": "upstreams: { x: { servers: [a:1] } }\n",
    "etc/conf.d/10.yaml": "listeners: { b: { to: y } }\nlog: { level: warn }\n",
    "etc/conf.d/.hidden.yaml": "reactors: 9\n",
    "etc/conf.d/old.yaml~": "reactors: 9\n",
    "/srv/more.yaml": "log: { format: json }\nupstreams:\n# nothing yet\n",
  };
  deepEqual(raw(files), {
    reactors: 2,
    listeners: { a: { to: "x" }, b: { to: "y" } },
    log: { level: "warn", format: "json" },
    upstreams: { x: { servers: ["a:1"] } },
  });
});

test("a place is in the file that gives the value", () => {
  const source = read({
    "etc/main.yaml": "include: b.yaml\nlisteners:\n  a: { to: x }\n",
    "etc/b.yaml": "listeners:\n  b: { to: y }\nupstreams:\n  u: {}\n",
  });
  ok("raw" in source);
  const cases: [path: Path, want: string][] = [
    [["listeners", "a", "to"], "etc/main.yaml:3:12"],
    [["listeners", "b", "to"], "etc/b.yaml:2:12"],
    [["upstreams", "u", "servers"], "etc/b.yaml:4:3"],
    [["listeners"], "etc/main.yaml:2:1"],
    [["include"], "etc/main.yaml:1:10"],
  ];
  for (const [path, want] of cases) deepEqual(whereOf(source.place({ path }).spot), want);
  const orders = cases.map(([path]) => source.place({ path }).order);
  ok(orders[0] < orders[1], "the first file's places come first");
});

test("what keeps files from being read is told where they are included", () => {
  const cases: [files: Files, want: string[], why: string][] = [
    [{}, [
      "sluice: etc/main.yaml: there is no such file; write the path of a file, from the working directory on",
    ], "none"],
    [
      { "etc/main.yaml": "include: gone.yaml\n" },
      [
        'etc/main.yaml:1:10: include: "etc/gone.yaml": there is no such file; ' +
        "write the path of a file, from the directory of this one on",
      ],
      "an included one",
    ],
    [
      { "etc/main.yaml": "include: main.yaml\n" },
      [
        'etc/main.yaml:1:10: include: "etc/main.yaml" is part of the configuration already, by the command line; ' +
        "include it once",
      ],
      "itself",
    ],
    [
      { "etc/main.yaml": "include: [b, b]\n", "etc/b": "reactors: 1\n" },
      ['etc/main.yaml:1:14: include: "etc/b" is part of the configuration already, by etc/main.yaml:1:11; include it once'],
      "twice",
    ],
    [
      { "etc/main.yaml": "include: b\nreactors: 2\n", "etc/b": "reactors: 1\n" },
      ["etc/b:1:1: reactors is given in etc/main.yaml:2:1 as well; leave one of them out"],
      "one value in two files",
    ],
    [
      {
        "etc/main.yaml": "include: b\nlisteners: { a: { to: x, bind: p } }\n",
        "etc/b": "listeners: { a: { to: y } }\n",
      },
      ["etc/b:1:19: listeners.a.to is given in etc/main.yaml:2:19 as well; leave one of them out"],
      "deep inside",
    ],
    [
      { "etc/main.yaml": "include: b\n", "etc/b": "- x\n" },
      ["etc/b:1:1: no section of keys; write listeners and upstreams"],
      "a list",
    ],
    [
      { "etc/main.yaml": "include: 5\n" },
      ["etc/main.yaml:1:10: include: no path; write a path, such as conf.d/*.yaml, or a list of them"],
      "a number",
    ],
    [
      { "etc/main.yaml": "include: ${CONF}/x\n" },
      ["etc/main.yaml:1:10: include: ${CONF}: there is no such variable; set it where Sluice is started"],
      "a variable that is not set",
    ],
    [
      { "etc/main.yaml": "include: conf/**/x\n" },
      ['etc/main.yaml:1:10: include: "etc/conf/**/x": "**" is not supported; write one * for each directory'],
      "any depth",
    ],
    [
      { "etc/main.yaml": "include: b\n", "etc/b": "a: [\n" },
      ['etc/b:1:4: nothing closes "["; write ] behind the last entry'],
      "one that is no YAML",
    ],
  ];
  for (const [files, want, why] of cases) {
    const source = read(files);
    ok("problems" in source, why);
    const told = source.problems.map(formatProblem);
    if (want[0].endsWith(":2:1")) ok(told[0].startsWith(want[0]), told[0]);
    else deepEqual(told, want, why);
  }
});

test("depth and number of files are bounded", () => {
  const chain = Object.fromEntries(
    Array.from({ length: 12 }, (_, at) => [`etc/${at === 0 ? "main.yaml" : at}`, `include: "${at + 1}"\n`]),
  );
  const deep = read(chain);
  ok("problems" in deep && /more than 8 deep/.test(deep.problems[0].what));
  const many = Object.fromEntries(Array.from({ length: 1_005 }, (_, at) => [`etc/d/${at}`, "# x\n"]));
  const wide = read({ ...many, "etc/main.yaml": "include: d/*\n" });
  ok("problems" in wide);
  deepEqual(wide.problems.map(({ what }) => what), [
    'include: "etc/d/' + wide.problems[0].what.split("/d/")[1],
  ]);
  ok(/more than 1000 files/.test(wide.problems[0].what), wide.problems[0].what);
});

test("a pattern that means no file is a warning", () => {
  const source = read({ "etc/main.yaml": "include: conf.d/*.yaml\n" });
  ok("raw" in source);
  deepEqual(source.warnings.map(formatProblem), [
    'etc/main.yaml:1:10: warning: include: no file is called "etc/conf.d/*.yaml"; leave it out if there will be none',
  ]);
});

test("variables in a path", () => {
  deepEqual(raw({ "etc/main.yaml": "include: ${D}/x\n", "etc/a/x": "reactors: 3\n" }, { D: "a" }), {
    reactors: 3,
  });
});

test("expand", () => {
  const disk = diskOf({
    "a/b1.yaml": "",
    "a/b2.yaml": "",
    "a/c.yml": "",
    "a/d/e.yaml": "",
    "f/e.yaml": "",
    "/r/s": "",
  });
  const cases: [pattern: string, want: string[]][] = [
    ["a/b1.yaml", ["a/b1.yaml"]],
    ["nowhere", ["nowhere"]],
    ["a/*.yaml", ["a/b1.yaml", "a/b2.yaml"]],
    ["a/b?.yaml", ["a/b1.yaml", "a/b2.yaml"]],
    ["a/b[2-9].yaml", ["a/b2.yaml"]],
    ["a/b[!2].yaml", ["a/b1.yaml"]],
    ["*/e.yaml", ["a/e.yaml", "f/e.yaml"]],
    ["a/*/e.yaml", ["a/b1.yaml/e.yaml", "a/b2.yaml/e.yaml", "a/c.yml/e.yaml", "a/d/e.yaml"]],
    ["/r/*", ["/r/s"]],
    ["a/[", []],
    ["gone/*", []],
    ["a/(+)", ["a/(+)"]],
  ];
  for (const [pattern, want] of cases) {
    const found = expand(pattern, disk);
    deepEqual("paths" in found && found.paths, want, pattern);
  }
});
