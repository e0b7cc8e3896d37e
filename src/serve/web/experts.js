// The expert view: polls the counts while it is looked at, and shows the map and the balance.
import {getJson} from './api.js';
import {byId, el, svg} from './dom.js';
import {CountHistory, layerBalance, readCounts} from './expert_counts.js';
import {HeatMap} from './heat_map.js';
import {loadChoice, saveChoice} from './store.js';

const number = (value) => value.toLocaleString('en');

const WHERE = `The counts of the experts are on the server's admin port, which by default answers
only on the machine that runs the server: open this page there (glmoe serve prints the address as
“admin”; from elsewhere, forward the port with ssh -L). Started with --enable_expert_view, the
server shows them here too, to whoever may use the API.`;

function sparkline(values) {
  const [width, height] = [96, 18];
  const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, class: 'sparkline',
                              'aria-hidden': 'true'});
  if (values.length < 2) return picture;
  // From perfect balance at the bottom, so that heights of different layers compare.
  const top = Math.max(2, ...values);
  const points = values.map((value, i) => {
    const x = (i / (values.length - 1)) * (width - 2) + 1;
    return `${x.toFixed(1)},${(height - 2 - ((value - 1) / (top - 1)) * (height - 4)).toFixed(1)}`;
  });
  picture.append(svg('polyline', {points: points.join(' ')}));
  return picture;
}

export class ExpertsView {
  #history = new CountHistory();
  #timer = 0;
  #visible = false;
  #paused = false;
  #busy = false;
  #shown = null;

  // `path`: where the counts are; null: not on this port.
  constructor(path) {
    this.path = path;
    this.map = new HeatMap(byId('map'), () => this.#readout());
    for (const name of ['span', 'scale', 'rate']) {
      const select = byId(`experts-${name}`);
      const kept = String(loadChoice(`experts_${name}`, ''));
      if ([...select.options].some(({value}) => value === kept)) select.value = kept;
      else if (name === 'rate') select.value = '1000';
      select.addEventListener('change', () => {
        saveChoice(`experts_${name}`, select.value);
        if (name === 'rate') this.#schedule(0); else this.#render();
      });
    }
    byId('experts-pause').addEventListener('click', () => this.#pause());
    document.addEventListener('visibilitychange', () => this.#schedule(0));
    if (path === null) this.#note(WHERE);
    byId('experts-bar').hidden = path === null;
  }

  setVisible(visible) {
    this.#visible = visible;
    this.#schedule(0);
  }

  redraw() { this.map.draw(); this.#legend(); }

  #pause() {
    this.#paused = !this.#paused;
    const button = byId('experts-pause');
    button.setAttribute('aria-pressed', String(this.#paused));
    button.textContent = this.#paused ? 'Go on' : 'Pause';
    this.#schedule(0);
  }

  #schedule(ms) {
    clearTimeout(this.#timer);
    if (this.path === null || !this.#visible || this.#paused || document.hidden) return;
    this.#timer = setTimeout(() => this.#poll(), ms);
  }

  async #poll() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const counts = readCounts(await getJson(this.path));
      if (counts === null) throw new Error('The server sent counts in a form not known here.');
      this.#history.add(counts, performance.now());
      this.#note('');
      this.#render();
    } catch (error) {
      const hint = error.status === 401 ? ' Put the key of this port into Settings.' : '';
      this.#note(`${error.message}${hint} The next try comes by itself.`);
    } finally {
      this.#busy = false;
      this.#schedule(Number(byId('experts-rate').value));
    }
  }

  #note(text) {
    const note = byId('experts-note');
    note.textContent = text;
    note.hidden = text === '';
  }

  #render() {
    const span = this.#history.span(byId('experts-span').value);
    if (!span?.counts) return;
    byId('experts-body').hidden = span.counts.layers.length === 0;
    if (span.counts.layers.length === 0) {
      this.#note('This model has no expert layers.');
      return;
    }
    this.#shown = span.counts;
    const balances = span.counts.layers.map(({tokens}) => layerBalance(tokens));
    this.map.show(span.counts.layers, byId('experts-scale').value);
    this.#balance(balances);
    this.#summary(span, balances);
    this.#legend();
    this.#readout();
  }

  #summary({counts, ms}, balances) {
    const used = balances.filter(({imbalance}) => imbalance !== null);
    const summary = byId('experts-summary');
    if (used.length === 0) {
      summary.textContent = 'No tokens in this span.';
      return;
    }
    const mean = used.reduce((sum, {imbalance}) => sum + imbalance, 0) / used.length;
    const worst = balances.reduce(
        (best, {imbalance}, i) => (imbalance ?? 0) > (balances[best].imbalance ?? 0) ? i : best, 0);
    const time = ms ? ` in ${(ms / 1000).toFixed(1)} s` : '';
    summary.textContent = `${number(counts.steps)} steps${time} · max / mean ` +
        `${mean.toFixed(2)} on average, ${balances[worst].imbalance.toFixed(2)} in layer ` +
        `${counts.layers[worst].layer}`;
  }

  #balance(balances) {
    const worst = Math.max(...balances.map(({imbalance}) => imbalance ?? 0));
    const rows = balances.map(({sum, idle, imbalance}, i) => {
      const {layer, tokens} = this.#shown.layers[i];
      return el('tr', {class: imbalance !== null && imbalance === worst ? 'worst' : null},
                el('th', {scope: 'row'}, String(layer)),
                el('td', {class: 'right'}, number(sum)),
                el('td', {class: 'right strong'}, imbalance === null ? '–' : imbalance.toFixed(2)),
                el('td', {class: 'right'}, `${idle} / ${tokens.length}`),
                el('td', {}, sparkline(this.#history.courses[i] ?? [])));
    });
    byId('balance').tBodies[0].replaceChildren(...rows);
  }

  #readout() {
    const cell = this.map.chosen;
    const {layer, tokens} = (cell && this.#shown?.layers[cell.row]) ?? {};
    if (!tokens) {
      byId('map-readout').textContent = 'Point at a cell, or use the arrow keys.';
      return;
    }
    const count = tokens[cell.column];
    const {mean} = layerBalance(tokens);
    const share = mean > 0 ? `, ${(count / mean).toFixed(2)} × the mean of its layer` : '';
    byId('map-readout').textContent =
        `Layer ${layer}, expert ${cell.column}: ${number(count)} tokens${share}`;
  }

  #legend() {
    const [low, high] = this.map.legend();
    const steps = Array.from({length: 6}, (_, i) => el('span', {class: `step heat-${i}`}));
    byId('legend').replaceChildren(low, ...steps, high);
  }
}
