// A strict reader of what /metrics says, as those who scrape it read it.

export interface Scrape {
  readonly types: Map<string, string>;
  /** By `name{labels}` with the labels sorted. */
  readonly samples: Map<string, number>;
}

/** A strict reader of the text format 0.0.4: one HELP, one TYPE, then the family's samples, each label set once; a
 * histogram's buckets in order, none less than the one before, the last the count. Throws at anything else. */
export function scrape(text: string): Scrape {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const types = new Map<string, string>(), samples = new Map<string, number>();
  let family = "", helped = "";
  for (const line of text.split("\n").slice(0, -1)) {
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\\n]|\\\\|\\n)*)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (help !== null) {
      if (types.has(help[1])) throw new Error(`a family twice: ${line}`);
      helped = help[1];
    } else if (type !== null) {
      if (types.has(type[1]) || helped !== type[1]) throw new Error(`TYPE out of place: ${line}`);
      family = type[1];
      types.set(family, type[2]);
      if (type[2] === "counter" && !family.endsWith("_total")) {
        throw new Error(`a counter without _total: ${line}`);
      }
    } else {
      const [key, value] = sample(line, family, types.get(family) ?? "");
      if (samples.has(key)) throw new Error(`a label set twice: ${line}`);
      if (types.get(family) === "counter" && !(value >= 0)) throw new Error(`a counter below 0: ${line}`);
      samples.set(key, value);
    }
  }
  for (const [family, type] of types) if (type === "histogram") checkHistogram(family, samples);
  return { types, samples };
}

/** Each label set of a histogram: buckets that rise, up to +Inf, which is the count; and a sum. */
function checkHistogram(family: string, samples: ReadonlyMap<string, number>): void {
  const sets = new Map<string, [bound: number, count: number][]>();
  for (const [key, value] of samples) {
    if (!key.startsWith(`${family}_bucket{`)) continue;
    const le = /(?<=[{,])le="([^"]*)",?/.exec(key);
    if (le === null) throw new Error(`a bucket without le: ${key}`);
    const labels = key.slice(`${family}_bucket`.length).replace(le[0], "").replace(/,\}$/, "}");
    sets.set(labels, [...sets.get(labels) ?? [], [le[1] === "+Inf" ? Infinity : Number(le[1]), value]]);
  }
  for (const [labels, buckets] of sets) {
    buckets.forEach(([bound, count], at) => {
      if (at === 0 ? !(count >= 0) : !(bound > buckets[at - 1][0] && count >= buckets[at - 1][1])) {
        throw new Error(`buckets out of order: ${family}${labels} at ${bound}`);
      }
    });
    const [bound, count] = buckets[buckets.length - 1];
    if (bound !== Infinity || samples.get(`${family}_count${labels}`) !== count) {
      throw new Error(`the last bucket is not the count: ${family}${labels}`);
    }
    if (!((samples.get(`${family}_sum${labels}`) ?? NaN) >= 0)) throw new Error(`no sum: ${family}${labels}`);
  }
}

function sample(line: string, family: string, type: string): [key: string, value: number] {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  const endings = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
  if (match === null || !endings.some((ending) => match[1] === family + ending)) {
    throw new Error(`not a sample of ${family}: ${line}`);
  }
  const labels: [string, string][] = [];
  let rest = match[2] ?? "";
  while (rest !== "") {
    const pair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,(?=.)|$)/.exec(rest);
    if (pair === null) throw new Error(`bad labels: ${line}`);
    if (labels.some(([name]) => name === pair[1])) throw new Error(`a label twice: ${line}`);
    labels.push([pair[1], pair[2].replace(/\\(.)/g, (_, next: string) => next === "n" ? "\n" : next)]);
    rest = rest.slice(pair[0].length);
  }
  if (!/^([+-]Inf|NaN|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)$/.test(match[3])) {
    throw new Error(`bad value: ${line}`);
  }
  const value = match[3].endsWith("Inf") ? Infinity * (match[3][0] === "-" ? -1 : 1) : Number(match[3]);
  const sorted = labels.sort(([a], [b]) => a < b ? -1 : 1).map(([name, text]) =>
    `${name}=${JSON.stringify(text)}`
  );
  return [`${match[1]}{${sorted.join(",")}}`, value];
}
