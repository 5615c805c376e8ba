// docs/reference.md: every key of the file and every flag, from the schema.
import { FLAGS } from "./command_line.ts";
import { helpText, verbHelp } from "./help.ts";
import type { KeyDoc } from "./keys.ts";
import { type Key, KEYS } from "./schema.ts";
import { VERBS } from "./verbs.ts";

const HEAD = `# Reference

Made from the schema by \`npm run docs\`: what \`sluice schema\`, \`sluice --help\` and the reader of the file go by.
The whole format by example is [examples/sluice.yaml](../examples/sluice.yaml).

Durations are written \`500ms\`, \`2s\`, \`1m30s\`, \`1h\`; sizes \`64KiB\`, \`10MiB\`. In any value of the file
\`\${NAME}\` stands for a variable of the environment and \`\${file:/PATH}\` for what a file holds; \`$\${\` for itself.
\`NAME\` in a key's path is a name of your own, \`[]\` an entry of a list.
`;

/** The page, in Markdown. */
export function referencePage(): string {
  const sections = new Map<string, Key[]>();
  for (const key of KEYS) {
    if (key.path.length === 0) continue;
    const section = sectionOf(key.path);
    sections.set(section, [...sections.get(section) ?? [], key]);
  }
  return [
    HEAD,
    "## Keys of the file",
    "",
    ...[...sections].flatMap(([section, keys]) => [
      `### ${section === "" ? "The process" : `\`${section}\``}`,
      "",
      "| key | written | default | what it is |",
      "| --- | --- | --- | --- |",
      ...keys.map((key) => row(key, section)),
      "",
    ]),
    "## Flags",
    "",
    "Each is the same value as a key of the file.",
    "",
    "| flag | key |",
    "| --- | --- |",
    ...FLAGS.map(({ name, key }) => `| \`${name}\` | \`${pathOf(key.path)}\` |`),
    "",
    "## The command line",
    "",
    "```",
    helpText().trimEnd(),
    "```",
    "",
    "## Verbs",
    "",
    "| verb | what it does |",
    "| --- | --- |",
    ...VERBS.map(({ name, summary }) => `| \`sluice ${name}\` | ${cell(summary)} |`),
    "",
    ...VERBS.filter(({ flags }) => flags.length > 0).flatMap((verb) => [
      `### \`sluice ${verb.name}\``,
      "",
      "```",
      verbHelp(verb).trimEnd(),
      "```",
      "",
    ]),
  ].join("\n");
}

/** Keys are told in tables by what holds them: the process, a listener, a route, an upstream, ... */
function sectionOf(path: readonly string[]): string {
  const holders = [["listeners", "*", "routes", "*"], ["listeners", "*"], ["upstreams", "*"], ["defaults"], [
    "log",
  ]];
  const holder = holders.find((holder) =>
    path.length > holder.length && holder.every((step, at) => step === path[at])
  );
  return holder === undefined ? "" : pathOf(holder);
}

function pathOf(path: readonly string[]): string {
  return path.map((step, at) =>
    step !== "*"
      ? `${at === 0 ? "" : "."}${step}`
      : at > 0 && LISTS.includes(path[at - 1])
      ? "[]"
      : `${at === 0 ? "" : "."}NAME`
  ).join("");
}

/** Keys whose \`*\` is an entry of a list, not a name. */
const LISTS = ["routes", "servers", "certificates", "challenges", "alpn", "pins"];

function row({ path, doc, default: fallback }: Key, section: string): string {
  const whole = pathOf(path), name = section === "" ? whole : whole.slice(section.length).replace(/^\./, "");
  const cells = [`\`${name}\``, written(doc), fallback === undefined ? "" : code(fallback), what(doc)];
  return `| ${cells.join(" | ")} |`;
}

function written({ placeholder, range }: KeyDoc): string {
  if (placeholder === undefined) return range ?? "";
  return range === undefined ? code(placeholder) : `${code(placeholder)}, ${range}`;
}

function what({ description, flag, commas, example, later = [], secret }: KeyDoc): string {
  const parts = [
    cell(description),
    ...(secret ? ["never shown"] : []),
    ...(example === undefined ? [] : [`for example ${code(example)}`]),
    ...(flag === undefined
      ? []
      : [`flag ${code(flag)}${commas ? ", several with commas, or by one flag each" : ""}`]),
    ...(later.length === 0 ? [] : [`not in this version: ${later.map(code).join(", ")}`]),
  ];
  return parts.join("; ");
}

function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}
