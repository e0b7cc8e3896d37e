// The numbers behind the expert view: polled totals, and what was added between two of them.

const MINUTE_MS = 60000;
const COURSE_POINTS = 60;

// {steps, layers: [{layer, tokens: [...]}]} as it came, or null where it is something else.
export function readCounts(json) {
  const good = Array.isArray(json?.layers) && json.layers.every(
      ({layer, tokens}) => Number.isInteger(layer) && Array.isArray(tokens) &&
          tokens.every(Number.isFinite));
  return good ? {steps: Number(json.steps) || 0, layers: json.layers} : null;
}

export function layerBalance(tokens) {
  let sum = 0;
  let max = 0;
  let idle = 0;
  for (const count of tokens) {
    sum += count;
    if (count > max) max = count;
    if (count === 0) ++idle;
  }
  // 1 where all experts got the same, the number of experts where one got everything.
  return {sum, max, idle, mean: sum / tokens.length,
          imbalance: sum > 0 ? (max * tokens.length) / sum : null};
}

function sameShape(a, b) {
  return a.layers.length === b.layers.length &&
      a.layers.every(({layer, tokens}, i) => layer === b.layers[i].layer &&
                                             tokens.length === b.layers[i].tokens.length);
}

// null where the totals went down: the server was started anew.
function difference(now, before) {
  if (!sameShape(now, before) || now.steps < before.steps) return null;
  const layers = now.layers.map(({layer, tokens}, i) => {
    const old = before.layers[i].tokens;
    return {layer, tokens: tokens.map((count, e) => count - old[e])};
  });
  if (layers.some(({tokens}) => tokens.some((count) => count < 0))) return null;
  return {steps: now.steps - before.steps, layers};
}

export class CountHistory {
  #snapshots = [];   // {at, counts} of the last minute and one before it, oldest first
  #opened = null;    // the first one
  courses = [];      // a layer: its imbalance at the last polls that had tokens

  // `at` in milliseconds of a steady clock.
  add(counts, at) {
    const last = this.#snapshots.at(-1);
    const step = last ? difference(counts, last.counts) : null;
    if (last && step === null) {
      this.#snapshots = [];
      this.#opened = null;
      this.courses = [];
    }
    this.#opened ??= {at, counts};
    this.#snapshots.push({at, counts});
    while (this.#snapshots.length > 2 && this.#snapshots[1].at <= at - MINUTE_MS) {
      this.#snapshots.shift();
    }
    step?.layers.forEach(({tokens}, i) => {
      const {imbalance} = layerBalance(tokens);
      if (imbalance === null) return;
      const course = (this.courses[i] ??= []);
      course.push(imbalance);
      if (course.length > COURSE_POINTS) course.shift();
    });
  }

  // {counts, ms} of a span: poll, minute, opened or total; null before the first poll.
  span(name) {
    const now = this.#snapshots.at(-1);
    if (!now) return null;
    if (name === 'total') return {counts: now.counts, ms: null};
    const since = {poll: this.#snapshots.at(-2), minute: this.#snapshots[0],
                   opened: this.#opened}[name] ?? now;
    return {counts: difference(now.counts, since.counts), ms: now.at - since.at};
  }
}
