// Building DOM nodes. Text always becomes text nodes: nothing in this page parses HTML at run time.

const SVG = 'http://www.w3.org/2000/svg';

// el('button', {class: 'x', onclick: f, 'aria-label': 'Copy'}, 'text', node, ...)
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) {
      node.addEventListener(name.slice(2), value);
    } else if (value === true) {
      node.setAttribute(name, '');
    } else {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Strokes on a grid of 20 by 20.
const ICONS = {
  plus: 'M10 4v12M4 10h12',
  close: 'M5 5l10 10M15 5L5 15',
  copy: 'M7.5 7.5h8.5v8.5H7.5zM4 12.5V4h8.5',
  check: 'M4 10.5l4 4 8-9',
  edit: 'M4 16l.8-3.5L13 4.3l2.7 2.7-8.2 8.2zM11.3 6l2.7 2.7',
  retry: 'M15.5 8.5A6 6 0 1 0 16 11M16 4v4.5h-4.5',
  trash: 'M4 6h12M8 6V4h4v2M5.5 6l.8 10.5h7.4L14.5 6',
  tool: 'M11.5 6.5a3.3 3.3 0 0 1 4.3-3l-2.1 2.1.7 1.7 1.7.7 2-2a3.3 3.3 0 0 1-4.4 4L7.3 16.5a1.7 1.7 0 0 1-2.5-2.4L11.5 8z',
  down: 'M10 4v12M5 11l5 5 5-5',
};

export function icon(name) {
  return svg('svg', {viewBox: '0 0 20 20', 'aria-hidden': 'true', class: 'icon'},
             svg('path', {d: ICONS[name]}));
}

export function iconButton(name, label, onclick, attributes = {}) {
  return el('button', {type: 'button', class: 'icon-button', 'aria-label': label, title: label,
                       onclick, ...attributes}, icon(name));
}

// Said by screen readers, shown to nobody.
export function announce(text) {
  byId('announcer').textContent = text;
}

let toastTimer = 0;

// A line at the bottom for some seconds, with an action if one is given: {label, run}.
export function toast(text, action = null) {
  const box = byId('toast');
  clearTimeout(toastTimer);
  const hide = () => { box.hidden = true; };
  box.replaceChildren(el('span', {}, text));
  if (action) {
    box.append(el('button', {type: 'button', class: 'text-button', onclick: () => {
      hide();
      action.run();
    }}, action.label));
  }
  box.hidden = false;
  toastTimer = setTimeout(hide, action ? 8000 : 4000);
}

// The clipboard's interface exists on secure origins only; elsewhere a selection is copied.
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused by a permission: the other way may still work.
    }
  }
  const area = el('textarea', {class: 'offscreen', 'aria-hidden': 'true'});
  area.value = text;
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  focused?.focus();
  return copied;
}

export function copyButton(label, text) {
  const button = iconButton('copy', label, async () => {
    if (!await copyText(text())) {
      toast('The browser did not allow copying: select the text instead.');
      return;
    }
    button.replaceChildren(icon('check'));
    announce('Copied');
    setTimeout(() => button.replaceChildren(icon('copy')), 1500);
  });
  return button;
}
