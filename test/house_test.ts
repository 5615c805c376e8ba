// The rules that hold the house. They are the architecture diagram: when one fails, either the code or
// the picture is wrong, and whoever changes the table says why in ARCHITECTURE.md.
import { strictEqual } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SRC = join(ROOT, "src");

/** Which rooms a room may import from, besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  main: ["commands", "sys"], // sys: where the C library is
  commands: ["control", "base"],
  worker: ["proxy", "base", "sys", "plan", "net", "proto", "shared", "policy"],
  log_worker: ["control", "sys"],
  base: [],
  sys: ["base"],
  plan: ["base"],
  proto: ["base"],
  shared: ["base", "sys", "plan"],
  net: ["base", "sys", "shared"],
  policy: ["base", "plan", "proto", "shared"],
  proxy: ["base", "sys", "plan", "net", "proto", "shared", "policy"],
  control: ["base", "plan", "proto", "shared", "policy", "sys"],
};

/** Where a reactor runs: no waiting, no parsing of text, nothing the garbage collector must follow. */
const DATA_PLANE = ["proxy", "net", "policy", "plan", "proto", "base"];

const FORBIDDEN_IN_DATA_PLANE: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/\basync\b/, "a reactor never yields"],
  [/\bawait\b/, "a reactor never yields"],
  [/\bPromise\b/, "a reactor never yields"],
  [/\bsetTimeout\b|\bsetInterval\b|\bqueueMicrotask\b/, "deadlines are net/timers.ts"],
  [/\bJSON\b/, "no text on the path"],
  [/\bTextDecoder\b|\bTextEncoder\b|\bfromCharCode\b|\.toString\(/, "no strings on the path"],
  [/\bRegExp\b|\.match\(|\.replace\(|\.split\(/, "expressions are PCRE2's, on bytes"],
  [/\bnew Date\b|\bDate[.(]|performance\.now/, "one clock per turn: clockMs"],
  [/\bconsole\b|\bprocess\./, "what is to be said goes to the log ring"],
  [/from "node:/, "the data plane needs no runtime"],
];

interface Source {
  readonly path: string; // below src/
  readonly room: string;
  readonly text: string;
  /** Without comments and strings. */
  readonly code: string;
  readonly imports: readonly string[]; // paths below src/, or package names
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : path.endsWith(".ts") ? [path] : [];
  });
}

function read(path: string): Source {
  const below = relative(SRC, path);
  const text = readFileSync(path, "utf8");
  const uncommented = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "").replace(
    /\s\/\/ .*$/gm,
    "",
  );
  const imports = [...uncommented.matchAll(/(?:\bfrom|\bimport\()\s*"([^"\n]+)"/g)].map(([, target]) =>
    target.startsWith(".") ? relative(SRC, join(dirname(path), target)) : target
  );
  const room = below.includes("/") ? below.slice(0, below.indexOf("/")) : below.replace(/\.ts$/, "");
  return { path: below, room, text, code: uncommented.replace(/"(?:[^"\\\n]|\\.)*"/g, '""'), imports };
}

const sources = filesBelow(SRC).map(read);

describe("house", () => {
  it("rooms import only what their row of the table allows", () => {
    const wrong = sources.flatMap((source) =>
      source.imports.filter((target) => target.endsWith(".ts")).flatMap((target) => {
        const room = target.includes("/")
          ? target.slice(0, target.indexOf("/"))
          : target.replace(/\.ts$/, "");
        const allowed = room === source.room || MAY_IMPORT[source.room]?.includes(room);
        return allowed ? [] : [`${source.path} imports ${target}`];
      })
    );
    strictEqual(wrong.join("\n"), "");
  });

  it("every room stands in the table", () => {
    const unknown = new Set(sources.map(({ room }) => room).filter((room) => !(room in MAY_IMPORT)));
    strictEqual([...unknown].join(), "");
  });

  it("no file imports itself, however many steps it takes", () => {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const done = new Set<string>();
    const visit = (path: string, trail: readonly string[]): string | undefined => {
      if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path].join(" -> ");
      if (done.has(path)) return undefined;
      for (const target of byPath.get(path)?.imports ?? []) {
        const cycle = byPath.has(target) ? visit(target, [...trail, path]) : undefined;
        if (cycle !== undefined) return cycle;
      }
      done.add(path);
      return undefined;
    };
    strictEqual(sources.map(({ path }) => visit(path, [])).find((cycle) => cycle !== undefined), undefined);
  });

  it("the data plane never waits, and handles neither text nor the runtime", () => {
    const wrong = sources.filter(({ room }) => DATA_PLANE.includes(room)).flatMap((source) =>
      FORBIDDEN_IN_DATA_PLANE.flatMap(([pattern, why]) => {
        const code = pattern.source.startsWith("from") ? source.text : source.code;
        const found = pattern.exec(code);
        return found === null ? [] : [`${source.path}: "${found[0]}": ${why}`];
      })
    );
    strictEqual(wrong.join("\n"), "");
  });

  it("FFI is spoken in sys/ alone", () => {
    const wrong = sources.filter(({ room, text }) =>
      room !== "sys" && /bun:ffi|Deno\.dlopen|dlopen\(/.test(text)
    );
    strictEqual(wrong.map(({ path }) => path).join("\n"), "");
  });

  it("no npm package is in the data plane", () => {
    const wrong = sources.filter(({ room }) =>
      [...DATA_PLANE, "shared", "sys", "worker", "log_worker"].includes(room)
    )
      .flatMap((
        { path, imports },
      ) =>
        imports.filter((target) => !target.endsWith(".ts") && !/^(node|bun):/.test(target)).map((target) =>
          `${path} imports ${target}`
        )
      );
    strictEqual(wrong.join("\n"), "");
  });

  it("every link between the documents leads somewhere, and no place is left to be filled", () => {
    const pages = [
      "README.md",
      "ARCHITECTURE.md",
      "CHANGELOG.md",
      "bench/README.md",
      "docs/l4.md",
      "docs/reasons.md",
      "docs/service.md",
      "ffi/README.md",
    ];
    const wrong = pages.flatMap((page) => {
      const text = readFileSync(join(ROOT, page), "utf8");
      const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target]) => target);
      const dead = links.filter((target) => !existsSync(join(ROOT, dirname(page), target)));
      return [
        ...dead.map((target) => `${page}: ${target}`),
        ...(/[A-Z]+_TABLE/.test(text) ? [`${page}: a gap`] : []),
      ];
    });
    strictEqual(wrong.join("\n"), "");
  });

  it("assertions carry constant messages", () => {
    const wrong = sources.flatMap(({ path, text }) =>
      /\b(?:assert|assertTable|unreachable)\([^;]*`/.test(text) ? [path] : []
    );
    strictEqual(wrong.join("\n"), "");
  });
});
