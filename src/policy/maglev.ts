// Maglev tables (Eisenbud et al., NSDI 2016, section 3.4): each server has a permutation of the places of its own,
// by what it is and not by where it stands; in turns each takes the first place of it that is free. So every
// server has its share of the places, and one that joins or leaves moves few places besides its own.
// The table is made by the control plane and lies in the Plan; a look is one read.

/** Places: a prime, so that any stride visits all. It stays the same as servers come and go, or all would move. */
const PLACES = 65_537;
/** With more servers than this their shares would become uneven, and there are so many places. */
const SERVERS_FEW = 655;
const PLACES_MANY = 1_048_573;

/** One server that takes part. */
export interface Seat {
  /** What the table holds of it: 0 to 65,535. */
  readonly member: number;
  /** Two hashes of 32 bits of its identity. */
  readonly offset: number;
  readonly stride: number;
  /** Above 0. */
  readonly weight: number;
}

/** The table, two bytes for each place, low byte first; empty when nobody takes part. */
export function maglevTable(seats: readonly Seat[]): Uint8Array {
  if (seats.length === 0) return new Uint8Array(0);
  const places = seats.length > SERVERS_FEW ? PLACES_MANY : PLACES;
  const table = new Uint16Array(places), isTaken = new Uint8Array(places);
  const next = Float64Array.from(seats, ({ offset }) => offset % places);
  const stride = Float64Array.from(seats, (seat) => seat.stride % (places - 1) + 1);
  const most = seats.reduce((most, { weight }) => Math.max(most, weight), 0);
  const turns = new Float64Array(seats.length); // places that it may take by now
  for (let left = places; left > 0;) {
    for (let seat = 0; seat < seats.length && left > 0; seat++) {
      turns[seat] += seats[seat].weight;
      if (turns[seat] < most) continue;
      turns[seat] -= most;
      let place = next[seat];
      while (isTaken[place] === 1) place = (place + stride[seat]) % places;
      isTaken[place] = 1;
      table[place] = seats[seat].member;
      next[seat] = (place + stride[seat]) % places;
      left--;
    }
  }
  const bytes = new Uint8Array(2 * places);
  table.forEach((member, place) => {
    bytes[2 * place] = member;
    bytes[2 * place + 1] = member >> 8;
  });
  return bytes;
}
