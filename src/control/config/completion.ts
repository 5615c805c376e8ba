// Completion for shells, made from the table of verbs and that of flags: what can be typed next, and no more.
import { FLAGS } from "./command_line.ts";
import { type VerbFlag, VERBS } from "./verbs.ts";
import { REASONS } from "../../shared/reason.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = typeof SHELLS[number];

/** What may follow a flag. */
type Value = { readonly kind: "none" | "file" | "any" } | {
  readonly kind: "words";
  readonly words: readonly string[];
};

interface Completed {
  readonly names: readonly string[];
  readonly description: string;
  readonly value: Value;
}

/** The script that a shell reads to complete `sluice`. */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case "bash":
      return bash();
    case "zsh":
      return zsh();
    case "fish":
      return fish();
  }
}

/** Flags of the quick mode, which `run` and others take as well. */
const QUICK: readonly Completed[] = [
  ...FLAGS.map(({ name, doc }): Completed => ({
    names: [name],
    description: doc.description,
    value: valueOf(doc.placeholder, undefined),
  })),
  { names: ["--help", "-h"], description: "this program's flags and verbs", value: { kind: "none" } },
  { names: ["--version", "-V"], description: "the version", value: { kind: "none" } },
];

function flagsOf(flags: readonly VerbFlag[]): Completed[] {
  return flags.map(({ name, short, description, placeholder, values }) => ({
    names: short === undefined ? [name] : [name, short],
    description,
    value: valueOf(placeholder, values),
  }));
}

/** `auto|N` may be anything, `text|json` is one of these, a FILE is one. */
function valueOf(placeholder: string | undefined, values: readonly string[] | undefined): Value {
  if (values !== undefined) return { kind: "words", words: values };
  if (placeholder === undefined) return { kind: "none" };
  if (/\b(FILE|PATH)\b/.test(placeholder)) return { kind: "file" };
  const words = placeholder.split("|").filter((word) => /^[a-z][a-z-]*$/.test(word));
  return words.length > 0 ? { kind: "words", words } : { kind: "any" };
}

/** Words that a verb takes besides its flags. */
function wordsOf(verb: string): readonly string[] {
  if (verb === "completion") return SHELLS;
  if (verb === "why") return REASONS.map(({ name }) => name);
  return verb === "help" ? VERBS.map(({ name }) => name) : [];
}

function names(flags: readonly Completed[]): string {
  return flags.flatMap((flag) => flag.names).join(" ");
}

function bash(): string {
  const valued = [...QUICK, ...VERBS.flatMap(({ flags }) => flagsOf(flags))];
  const cases = new Map<string, string>();
  for (const { names, value } of valued) {
    const action = value.kind === "file"
      ? 'mapfile -t COMPREPLY < <(compgen -f -- "$cur")'
      : value.kind === "words"
      ? `COMPREPLY=($(compgen -W "${value.words.join(" ")}" -- "$cur"))`
      : "COMPREPLY=()";
    if (value.kind !== "none") { for (const name of names) if (!cases.has(name)) cases.set(name, action); }
  }
  const byAction = new Map<string, string[]>();
  for (const [name, action] of cases) byAction.set(action, [...byAction.get(action) ?? [], name]);
  return [
    "# bash completion for sluice: source <(sluice completion bash)",
    "_sluice() {",
    '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD - 1]}" words',
    "  COMPREPLY=()",
    '  case "$prev" in',
    ...[...byAction].map(([action, flags]) => `    ${flags.join(" | ")}) ${action}; return ;;`),
    "  esac",
    '  case "${COMP_WORDS[1]}" in',
    ...VERBS.map(({ name, flags, takesConfig }) => {
      const all = [names(flagsOf(flags)), ...(takesConfig ? [names(QUICK)] : []), wordsOf(name).join(" ")];
      return `    ${name}) words="${all.filter((text) => text !== "").join(" ")}" ;;`;
    }),
    `    *) words="${names(QUICK)}" ;;`,
    "  esac",
    `  if [[ $COMP_CWORD -eq 1 ]]; then words="${VERBS.map(({ name }) => name).join(" ")} ${
      names(QUICK)
    }"; fi`,
    '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
    "}",
    "complete -o default -F _sluice sluice",
    "",
  ].join("\n");
}

function zsh(): string {
  const spec = ({ names, description, value }: Completed): string[] => {
    const words = description.replace(/[[\]:]/g, "\\$&").replaceAll("'", "'\\''");
    const what = value.kind === "none"
      ? ""
      : value.kind === "file"
      ? ":file:_files"
      : value.kind === "words"
      ? `:value:(${value.words.join(" ")})`
      : ":value: ";
    return names.map((name) => `'${name}[${words}]${what}'`);
  };
  const quick = QUICK.flatMap(spec);
  return [
    "#compdef sluice",
    "# zsh completion for sluice: source <(sluice completion zsh)",
    "_sluice() {",
    "  local -a verbs quick",
    "  verbs=(",
    ...VERBS.map(({ name, summary }) =>
      `    '${name}:${summary.replaceAll(":", "\\:").replaceAll("'", "'\\''")}'`
    ),
    "  )",
    "  quick=(",
    ...quick.map((line) => `    ${line}`),
    "  )",
    "  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then",
    "    _describe 'verb' verbs",
    "    return",
    "  fi",
    "  case $words[2] in",
    ...VERBS.flatMap(({ name, flags, takesConfig }) => {
      const specs = [
        ...flagsOf(flags).flatMap(spec),
        ...(wordsOf(name).length > 0 ? [`'1:word:(${wordsOf(name).join(" ")})'`] : []),
        ...(takesConfig ? ['"${quick[@]}"'] : []),
      ];
      return [`    ${name}) shift words; (( CURRENT-- )); _arguments ${specs.join(" ")} '*:file:_files' ;;`];
    }),
    "    *) _arguments \"${quick[@]}\" '*: ' ;;",
    "  esac",
    "}",
    "compdef _sluice sluice",
    "",
  ].join("\n");
}

function fish(): string {
  const quote = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const line = (condition: string, { names, description, value }: Completed): string => {
    const ways = names.map((name) => name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`);
    const takes = value.kind === "none"
      ? ""
      : value.kind === "file"
      ? " -r -F"
      : value.kind === "words"
      ? ` -x -a ${quote(value.words.join(" "))}`
      : " -x";
    return `complete -c sluice -n ${quote(condition)} ${ways.join(" ")}${takes} -d ${quote(description)}`;
  };
  const first = "__fish_use_subcommand";
  const takers = VERBS.filter(({ takesConfig }) => takesConfig).map(({ name }) => name).join(" ");
  const isQuick = `not __fish_seen_subcommand_from ${VERBS.map(({ name }) => name).join(" ")}; ` +
    `or __fish_seen_subcommand_from ${takers}`;
  return [
    "# fish completion for sluice: sluice completion fish | source",
    "complete -c sluice -f",
    ...VERBS.map(({ name, summary }) => `complete -c sluice -n ${first} -a ${name} -d ${quote(summary)}`),
    ...VERBS.flatMap(({ name, flags }) => {
      const seen = `__fish_seen_subcommand_from ${name}`;
      const words = wordsOf(name);
      return [
        ...flagsOf(flags).map((flag) => line(seen, flag)),
        ...(words.length > 0 ? [`complete -c sluice -n ${quote(seen)} -a ${quote(words.join(" "))}`] : []),
      ];
    }),
    ...QUICK.map((flag) => line(isQuick, flag)),
    "",
  ].join("\n");
}
