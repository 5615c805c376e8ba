// A table in shared memory: a column per field, described as data. The control plane makes the
// memory, one reactor writes it, anybody may read it. Memory is committed by touch, so a table may be
// as large as its worst day; therefore nothing here ever fills or copies a whole column.

type ColumnType =
  | Uint8ArrayConstructor
  | Uint16ArrayConstructor
  | Int16ArrayConstructor
  | Uint32ArrayConstructor
  | Int32ArrayConstructor
  | Float64ArrayConstructor;

/** Field -> its type and how many elements a row has. */
export type Layout = Readonly<Record<string, readonly [type: ColumnType, perRow: number]>>;

export type Columns<L extends Layout> = { [K in keyof L]: InstanceType<L[K][0]> };

const ALIGN = 64; // a cache line: columns that different threads write never share one

function columnBytes(type: ColumnType, perRow: number, rows: number): number {
  return Math.ceil((type.BYTES_PER_ELEMENT * perRow * rows) / ALIGN) * ALIGN;
}

/** Bytes that a table of `rows` rows (row 0, never used, included) needs. */
export function tableBytes(layout: Layout, rows: number): number {
  return Object.values(layout).reduce((sum, [type, perRow]) => sum + columnBytes(type, perRow, rows), 0);
}

/** Views a table's memory as its columns. */
export function openTable<L extends Layout>(layout: L, memory: SharedArrayBuffer, rows: number): Columns<L> {
  const columns: Record<string, InstanceType<ColumnType>> = {};
  let at = 0;
  for (const [name, [type, perRow]] of Object.entries(layout)) {
    columns[name] = new type(memory as unknown as ArrayBuffer, at, rows * perRow);
    at += columnBytes(type, perRow, rows);
  }
  return columns as Columns<L>;
}

/** Zeroed memory for a table. */
export function makeTable(layout: Layout, rows: number): SharedArrayBuffer {
  return new SharedArrayBuffer(tableBytes(layout, rows));
}
