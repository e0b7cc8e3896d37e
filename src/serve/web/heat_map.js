// The heat map: a row a layer, a column an expert, on a canvas, since a large model has 15 000 cells.
// A cell is chosen with the pointer or the arrow keys.

// The palette's steps from nothing to much: CSS colours, read again when the theme changes.
const STEPS = 6;
const FULL_MEANS = 4;  // times the mean that get the last colour

function paletteOf(element) {
  const style = getComputedStyle(element);
  return Array.from({length: STEPS}, (_, i) => {
    const hex = style.getPropertyValue(`--heat-${i}`).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  });
}

// `share` from 0 to 1 along the palette.
function colourOf(palette, share) {
  const place = Math.min(1, Math.max(0, share)) * (STEPS - 1);
  const low = Math.min(STEPS - 2, Math.floor(place));
  const [a, b] = [palette[low], palette[low + 1]];
  const mixed = a.map((value, i) => Math.round(value + (b[i] - value) * (place - low)));
  return `rgb(${mixed.join(',')})`;
}

export class HeatMap {
  #layers = [];
  #scale = 'mean';
  #chosen = null;  // {row, column}
  #cell = {width: 8, height: 8};
  #most = 0;

  // `onChoose({row, column} | null)` is told which cell is chosen.
  constructor(canvas, onChoose) {
    this.canvas = canvas;
    this.onChoose = onChoose;
    canvas.addEventListener('pointermove', (event) => this.#point(event));
    canvas.addEventListener('pointerdown', (event) => this.#point(event));
    canvas.addEventListener('pointerleave', () => {
      if (document.activeElement !== canvas) this.#choose(null);
    });
    canvas.addEventListener('focus', () => {
      if (!this.#chosen && this.#layers.length > 0) this.#choose({row: 0, column: 0});
    });
    canvas.addEventListener('blur', () => this.#choose(null));
    canvas.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  get chosen() { return this.#chosen; }

  // layers: [{layer, tokens}]
  show(layers, scale) {
    this.#layers = layers;
    this.#scale = scale;
    this.#most = Math.max(1, ...layers.map(({tokens}) => Math.max(...tokens)));
    this.draw();
  }

  legend() {
    return this.#scale === 'mean' ? ['0', `${FULL_MEANS} × mean`]
                                  : ['0', this.#most.toLocaleString('en')];
  }

  #share(count, mean) {
    if (this.#scale === 'count') return count / this.#most;
    return mean > 0 ? count / mean / FULL_MEANS : 0;
  }

  draw() {
    const rows = this.#layers.length;
    const columns = Math.max(0, ...this.#layers.map(({tokens}) => tokens.length));
    if (rows === 0 || columns === 0) return;
    const box = this.canvas.parentElement;
    const gutter = 30;  // the layers' numbers
    const fit = (box.clientWidth - gutter - 2) / columns;
    const width = Math.max(4, Math.min(72, Math.floor(fit)));
    // As high as the window allows; on a phone the page scrolls.
    const high = Math.floor((innerHeight - box.getBoundingClientRect().top - 90) / rows);
    const height = Math.max(rows > 40 ? 6 : 16, Math.min(36, high));
    this.#cell = {width, height, gutter};
    const scale = devicePixelRatio || 1;
    const size = {width: gutter + columns * width, height: rows * height + 18};
    this.canvas.width = Math.round(size.width * scale);
    this.canvas.height = Math.round(size.height * scale);
    this.canvas.style.width = `${size.width}px`;
    this.canvas.style.height = `${size.height}px`;
    const context = this.canvas.getContext('2d');
    context.scale(scale, scale);
    this.#drawCells(context, rows);
    this.#drawNumbers(context, columns, rows);
    this.#drawChosen(context);
  }

  #drawCells(context) {
    const palette = paletteOf(this.canvas);
    const {width, height, gutter} = this.#cell;
    const gap = Math.min(width, height) > 5 ? 1 : 0;
    this.#layers.forEach(({tokens}, row) => {
      const mean = tokens.reduce((a, b) => a + b, 0) / tokens.length;
      tokens.forEach((count, column) => {
        context.fillStyle = colourOf(palette, this.#share(count, mean));
        context.fillRect(gutter + column * width, row * height, width - gap, height - gap);
      });
    });
  }

  #drawNumbers(context, columns, rows) {
    const {width, height, gutter} = this.#cell;
    context.fillStyle = getComputedStyle(this.canvas).getPropertyValue('--quiet');
    context.font = '10px system-ui, sans-serif';
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    const everyRow = Math.ceil(12 / height);
    for (let row = 0; row < rows; row += everyRow) {
      context.fillText(String(this.#layers[row].layer), gutter - 6, (row + 0.5) * height);
    }
    context.textAlign = 'center';
    const everyColumn = [1, 2, 5, 10, 20].find((step) => step * width >= 22) ?? 50;
    for (let column = 0; column < columns; column += everyColumn) {
      context.fillText(String(column), gutter + (column + 0.5) * width, rows * height + 9);
    }
  }

  #drawChosen(context) {
    if (!this.#chosen) return;
    const {width, height, gutter} = this.#cell;
    context.strokeStyle = getComputedStyle(this.canvas).getPropertyValue('--text');
    context.lineWidth = 2;
    context.strokeRect(gutter + this.#chosen.column * width - 1, this.#chosen.row * height - 1,
                       width + 1, height + 1);
  }

  #choose(cell) {
    this.#chosen = cell;
    this.draw();
    this.onChoose(cell);
  }

  #point(event) {
    const {width, height, gutter} = this.#cell;
    const row = Math.floor(event.offsetY / height);
    const column = Math.floor((event.offsetX - gutter) / width);
    const tokens = this.#layers[row]?.tokens;
    this.#choose(tokens && column >= 0 && column < tokens.length ? {row, column} : null);
  }

  #key(event) {
    const moves = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
                   Home: [0, -1e6], End: [0, 1e6], PageUp: [-10, 0], PageDown: [10, 0]};
    const move = moves[event.key];
    if (!move || this.#layers.length === 0 || event.altKey || event.ctrlKey) return;
    event.preventDefault();
    const clamp = (value, length) => Math.min(length - 1, Math.max(0, value));
    const from = this.#chosen ?? {row: 0, column: 0};
    const row = clamp(from.row + move[0], this.#layers.length);
    const column = clamp(from.column + move[1], this.#layers[row].tokens.length);
    this.#choose({row, column});
    const {width, height} = this.#cell;
    const box = this.canvas.parentElement;
    box.scrollTop = clamp(row * height - box.clientHeight / 2, 1e6);
    box.scrollLeft = clamp(column * width - box.clientWidth / 2, 1e6);
  }
}
