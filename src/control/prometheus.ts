// The text format of Prometheus, version 0.0.4: what a scrape reads. A family is written once, a label
// set once in it; what has the same labels is put together, so a scrape is never refused as a whole.

export type Labels = Readonly<Record<string, string | number>>;

/** Content-Type of the format. */
export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A metric of one name. Values with the same labels are added; in a "least" gauge the least holds. */
export class Family {
  readonly #name: string;
  readonly #head: string;
  readonly #least: boolean;
  /** By the labels as written. */
  readonly #values = new Map<string, number>();

  /**
   * @param name in base units; a counter's ends in `_total`
   * @param help one sentence
   */
  constructor(type: "counter" | "gauge" | "least gauge", name: string, help: string) {
    this.#name = name;
    this.#least = type === "least gauge";
    this.#head = `# HELP ${name} ${help.replace(/[\\\n]/g, escaped)}\n` +
      `# TYPE ${name} ${type === "counter" ? "counter" : "gauge"}\n`;
  }

  set(labels: Labels, value: number): this {
    const text = labelText(labels);
    const before = this.#values.get(text);
    const next = before === undefined ? value : this.#least ? Math.min(before, value) : before + value;
    this.#values.set(text, next);
    return this;
  }

  /** The family's lines; nothing when it has no values. */
  toString(): string {
    if (this.#values.size === 0) return "";
    let text = this.#head;
    for (const [labels, value] of this.#values) text += this.#name + labels + " " + number(value) + "\n";
    return text;
  }
}

/** A histogram of one name. Values with the same labels are added. */
export class Histogram {
  readonly #name: string;
  readonly #head: string;
  readonly #bounds: readonly string[];
  /** By the labels: values in each bucket, the last one without a bound, and their sum. */
  readonly #values = new Map<string, { labels: Labels; buckets: number[]; sum: number }>();

  /**
   * @param name in base units
   * @param bounds upper bounds of the buckets but the last, inclusive, in that unit
   */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name;
    this.#bounds = [...bounds.map(String), "+Inf"];
    this.#head = `# HELP ${name} ${help.replace(/[\\\n]/g, escaped)}\n# TYPE ${name} histogram\n`;
  }

  /** @param countIn how many values are in a bucket and in no lower one */
  add(labels: Labels, countIn: (bucket: number) => number, sum: number): this {
    const text = labelText(labels), known = this.#values.get(text);
    const buckets = this.#bounds.map((_, bucket) => (known?.buckets[bucket] ?? 0) + countIn(bucket));
    this.#values.set(text, { labels, buckets, sum: (known?.sum ?? 0) + sum });
    return this;
  }

  /** The histogram's lines; nothing when it has no values. */
  toString(): string {
    if (this.#values.size === 0) return "";
    const lines: string[] = [];
    for (const [text, { labels, buckets, sum }] of this.#values) {
      let count = 0;
      buckets.forEach((values, bucket) => {
        count += values;
        lines.push(
          `${this.#name}_bucket${labelText({ ...labels, le: this.#bounds[bucket] })} ${number(count)}\n`,
        );
      });
      lines.push(
        `${this.#name}_sum${text} ${number(sum)}\n`,
        `${this.#name}_count${text} ${number(count)}\n`,
      );
    }
    return this.#head + lines.join("");
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    return `${name}="${String(value).replace(/[\\\n"]/g, escaped)}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escaped(character: string): string {
  return character === "\n" ? "\\n" : "\\" + character;
}

function number(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? String(value) : value > 0 ? "+Inf" : "-Inf";
}
