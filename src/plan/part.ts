// A part of the Plan in an object of its own: tables, and flat columns of int32 that have a row for each row
// of their table. In memory its sizes stand first, then its columns one after the other.

export interface Layout<Table extends string, Column extends string> {
  readonly tables: readonly Table[];
  /** Column -> the table whose rows it has. */
  readonly columns: Readonly<Record<Column, Table>>;
}

export type Sizes<Table extends string> = Readonly<Record<Table, number>>;

export type Part<Table extends string, Column extends string> =
  & { readonly [K in Column]: Int32Array }
  & { readonly sizes: Sizes<Table> };

/** Bytes of a part; without sizes it has no rows. */
export function partBytes<T extends string, C extends string>(
  { tables, columns }: Layout<T, C>,
  sizes: Sizes<T> | undefined,
): number {
  const tableOf: readonly T[] = Object.values(columns);
  return 4 * tableOf.reduce((sum, table) => sum + (sizes?.[table] ?? 0), tables.length);
}

/** Writes the sizes where the part begins. */
export function makePart<T extends string, C extends string>(
  memory: SharedArrayBuffer,
  from: number,
  { tables }: Layout<T, C>,
  sizes: Sizes<T> | undefined,
): void {
  new Int32Array(memory, from, tables.length).set(tables.map((table) => sizes?.[table] ?? 0));
}

export function openPart<T extends string, C extends string>(
  memory: SharedArrayBuffer,
  from: number,
  { tables, columns }: Layout<T, C>,
): Part<T, C> {
  const header = new Int32Array(memory, from, tables.length);
  const sizes = Object.fromEntries(tables.map((table, index) => [table, header[index]])) as Sizes<T>;
  const views: Record<string, Int32Array> = {};
  let at = from + tables.length * 4;
  for (const [name, table] of Object.entries<T>(columns)) {
    views[name] = new Int32Array(memory, at, sizes[table]);
    at += sizes[table] * 4;
  }
  return { ...(views as { [K in C]: Int32Array }), sizes };
}
