// Edits of a text, as lists of [at, removed, inserted] that are done in turn, and how two such lists from the
// same text are done in turn. Positions count UTF-16 units.

export const apply = (text, splices) =>
  splices.reduce((now, [at, removed, put]) => now.slice(0, at) + put + now.slice(at + removed), text);

// The one edit that makes one text of another, or none; it doesn't cut a character of two units in half.
export function difference(before, after) {
  if (before === after) return [];
  const most = Math.min(before.length, after.length);
  let head = 0;
  while (head < most && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < most - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  if (head && /[\uD800-\uDBFF]/.test(before[head - 1])) head -= 1;
  if (tail && /[\uDC00-\uDFFF]/.test(before.at(-tail))) tail -= 1;
  return [[head, before.length - head - tail, after.slice(head, after.length - tail)]];
}

// Where a position is after an edit; one where something is inserted moves only if it `yields`.
export function moved(place, [at, removed, put], yields = true) {
  if (place < at || (place === at && !yields)) return place;
  return place <= at + removed ? at + (yields ? put.length : 0) : place + put.length - removed;
}

// Either an insertion or a removal.
const parts = (splices) =>
  splices.flatMap(([at, removed, put]) => [...(removed ? [[at, removed, ""]] : []), ...(put ? [[at, 0, put]] : [])]);

function one(part, other, yields) {
  const [at, removed, put] = part;
  const [where, gone, come] = other;
  if (put && come) return [[at > where || (at === where && yields) ? at + come.length : at, 0, put]];
  if (put) return [[at <= where ? at : Math.max(where, at - gone), 0, put]];
  if (come) {
    if (where <= at) return [[at + come.length, removed, ""]];
    if (where >= at + removed) return [part];
    return [
      [at, where - at, ""],
      [at + come.length, removed - (where - at), ""],
    ];
  }
  const both = Math.max(0, Math.min(at + removed, where + gone) - Math.max(at, where));
  const before = Math.max(0, Math.min(at, where + gone) - where); // of what is gone, how much was in front
  return removed > both ? [[at - before, removed - both, ""]] : [];
}

// Two lists of edits of the same text: mine, to be done after theirs, and theirs, to be done after mine. What two
// have put at the same place is in the order theirs, mine.
export const both = (mine, theirs) => across(parts(mine), parts(theirs));

function across(mine, theirs) {
  if (mine.length === 1 && theirs.length === 1) {
    return [one(mine[0], theirs[0], true), one(theirs[0], mine[0], false)];
  }
  const done = [];
  let rest = theirs;
  for (const part of mine) {
    let pieces = [part];
    const next = [];
    for (const other of rest) {
      const [after, others] = across(pieces, [other]);
      pieces = after;
      next.push(...others);
    }
    done.push(...pieces);
    rest = next;
  }
  return [done, rest];
}

// A list with one more edit; what is typed in one go becomes one.
export function followed(splices, edit) {
  const last = splices.at(-1);
  if (last && !edit[1] && edit[0] === last[0] + last[2].length && last[2]) {
    return [...splices.slice(0, -1), [last[0], last[1], last[2] + edit[2]]];
  }
  return [...splices, edit];
}
