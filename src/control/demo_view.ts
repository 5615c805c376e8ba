// What the demo shows: which server got what, and what happened. On a terminal one block of plain text,
// redrawn in place; elsewhere one line for each thing that happens, without control characters.
import process from "node:process";
import type { Output } from "./output.ts";

/** A server as the view shows it. */
export interface Row {
  readonly name: string;
  readonly address: string;
  /** What the load balancer thinks of it. */
  readonly health: "up" | "down" | "unchecked";
  readonly isRunning: boolean;
  readonly answers: number;
}

/** Events that stay on the screen. */
const EVENTS_SHOWN = 8;
const BAR_CHARACTERS = 24;

export class DemoView {
  readonly #output: Output;
  readonly #intro: readonly string[];
  readonly #startMs = performance.now();
  #events: string[] = [];
  #drawnLines = 0;

  /** @param intro lines that say what runs and what to try */
  constructor(output: Output, intro: readonly string[]) {
    this.#output = output;
    this.#intro = intro;
    if (!output.isTerminal) this.#write([...intro, ""].join("\n"));
  }

  /** Something happened: told now, with what every server got so far. */
  happened(event: string, rows: readonly Row[], failed: number): void {
    const line = `${seconds(performance.now() - this.#startMs)}  ${event}`;
    if (this.#output.isTerminal) {
      this.#events = [...this.#events, line].slice(-EVENTS_SHOWN);
      this.draw(rows, failed);
    } else {
      const counts = rows.map(({ name, answers }) => `${name} ${answers}`).join(", ");
      this.#write(`${line} [${counts}, failed ${failed}]\n`);
    }
  }

  /** On a terminal, shows the present numbers; elsewhere nothing, since nothing happened. */
  draw(rows: readonly Row[], failed: number): void {
    if (!this.#output.isTerminal) return;
    const most = Math.max(1, ...rows.map(({ answers }) => answers));
    const lines = [
      ...this.#intro,
      ...rows.map((row) => rowText(row, most)),
      `  failed requests: ${failed}`,
      "",
      ...this.#events,
    ];
    const columns = process.stdout.columns || 80, height = process.stdout.rows || 24; // 0: it does not know
    const shown = lines.slice(-(height - 1)).map((line) => line.slice(0, columns - 1)); // or they would scroll
    const back = this.#drawnLines === 0 ? "" : `\x1b[${this.#drawnLines}A\r`;
    this.#write(`${back}\x1b[J${shown.join("\n")}\n`);
    this.#drawnLines = shown.length;
  }

  #write(text: string): void {
    this.#output.put(text, 1);
  }
}

/** `  red     127.0.0.1:41234   up         120  ########` */
function rowText({ name, address, health, isRunning, answers }: Row, most: number): string {
  const state = health === "down" ? "ejected" : isRunning ? health : "stopped";
  const bar = "#".repeat(Math.round((answers / most) * BAR_CHARACTERS));
  return `  ${name.padEnd(6)} ${address.padEnd(16)} ${state.padEnd(10)} ${
    String(answers).padStart(6)
  }  ${bar}`;
}

/** ` 3.2s` */
function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1).padStart(5)}s`;
}
