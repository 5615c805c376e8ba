// The page of all reasons, docs/reasons.md, from the same table as `sluice why`.
import { EXPLAINED, type Explained, seenByClient } from "./explained.ts";

/** The whole page, in Markdown. */
export function reasonsPage(): string {
  return [
    "# Reasons",
    "",
    "Why a connection or a request ended: the `reason=` of the access log, the label `reason` of",
    "`sluice_connections_ended_total`, and, by its type (RFC 9209), the `Proxy-Status` of an answer. The same",
    "is on the command line: `sluice why connection_refused`, `sluice why 502`, `sluice why http_request_error`;",
    "and what an errno or an alert of TLS is: `sluice why ECONNREFUSED`, `sluice why unknown_ca`.",
    "",
    "| reason | status | type | |",
    "| --- | --- | --- | --- |",
    ...EXPLAINED.map((reason) =>
      `| [${reason.name}](#${reason.name}) | ${reason.statuses.join(", ")} | ${
        reason.type ?? ""
      } | ${reason.text} |`
    ),
    "",
    "A status of 4xx or 5xx with `finished` is what the server said, with `answered` what the configuration",
    "says. `NAME` stands for the name of a listener or an upstream, `N` for a number in a list.",
    "",
    ...EXPLAINED.flatMap(section),
    "This page is generated: `npm run docs`.",
    "",
  ].join("\n");
}

function section(reason: Explained): string[] {
  const { name, type, help, details } = reason;
  return [
    `## ${name}`,
    "",
    help.means,
    "",
    ...points("Why", help.causes),
    ...points("Look at", help.look),
    ...points("Change", help.change),
    ...table(["errno", ""], (help.errnos ?? []).map(([name, text]) => [`\`${name}\``, text])),
    ...(help.details === "request"
      ? table(["detail", "status"], details.map(({ status, text }) => [text, String(status)]))
      : table(["detail"], details.map(({ text }) => [text]))),
    `The client gets: ${seenByClient(reason)}.${type === null ? "" : ` Type: \`${type}\`.`}`,
    "",
  ];
}

function points(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`**${title}**`, "", ...lines.map((line) => `- ${line}`), ""];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line), ""];
}
