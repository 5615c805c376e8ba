// `sluice demo`. (Being written: the signature is final.)

/** @param argv what follows `demo` @param library where the C library is; looked for only when needed @returns the exit status */
export function demo(_argv: readonly string[], _library: () => string): Promise<number> {
  return Promise.resolve(1);
}
