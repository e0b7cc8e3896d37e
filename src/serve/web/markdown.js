// A small Markdown renderer that builds DOM nodes: paragraphs, headings, lists, quotes, code, tables.
//
// While an answer grows only its last blocks change: MarkdownView keeps the nodes of the others.
import {copyButton, el} from './dom.js';
import {inlineNodes} from './markdown_inline.js';

const MAX_DEPTH = 6;

// Each is decided in one pass: a pattern that can match the same text in two ways takes long for
// texts that somebody made for it.
const FENCE = /^ {0,3}(`{3,}|~{3,})([^]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s([^]*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(?:\s+([^]*))?$/;
const QUOTE = /^ {0,3}> ?([^]*)$/;

const isBlank = (line) => line.trim() === '';
const indentOf = (line) => /^\s*/.exec(line)[0].replace(/\t/g, '    ').length;

// Cuts text into blocks: {kind, lines, ...}.
export function parseBlocks(text) {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    if (isBlank(lines[at])) {
      ++at;
      continue;
    }
    const block = codeBlock(lines, at) ?? ruleOrHeading(lines, at) ?? listBlock(lines, at) ??
        quoteBlock(lines, at) ?? tableBlock(lines, at) ?? paragraph(lines, at);
    block.source = lines.slice(at, block.end).join('\n');
    at = block.end;
    blocks.push(block);
  }
  return blocks;
}

// {fence, info} of a line that opens or closes a block of code.
function fenceOf(line) {
  const found = FENCE.exec(line);
  if (!found || (found[1][0] === '`' && found[2].includes('`'))) return null;
  return {fence: found[1], info: found[2].trim()};
}

function codeBlock(lines, at) {
  const open = fenceOf(lines[at]);
  if (!open) return null;
  const {fence} = open;
  const language = open.info.split(/\s/)[0];
  const code = [];
  let end = at + 1;
  for (; end < lines.length; ++end) {
    const close = fenceOf(lines[end]);
    if (close && close.fence[0] === fence[0] && close.fence.length >= fence.length &&
        close.info === '') {
      return {kind: 'code', language, text: code.join('\n'), end: end + 1};
    }
    code.push(lines[end]);
  }
  return {kind: 'code', language, text: code.join('\n'), end};
}

function ruleOrHeading(lines, at) {
  const heading = HEADING.exec(lines[at]);
  if (heading) {
    const text = heading[2].trim().replace(/(^|\s)#+$/, '').trim();
    return {kind: 'heading', level: heading[1].length, text, end: at + 1};
  }
  return RULE.test(lines[at]) ? {kind: 'rule', end: at + 1} : null;
}

// Items with the lines that belong to each, without their indentation.
function listBlock(lines, at) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const ordered = /\d/.test(first[2]);
  const base = indentOf(lines[at]);
  const items = [];
  let end = at;
  for (; end < lines.length; ++end) {
    const line = lines[end];
    const item = ITEM.exec(line);
    if (item && indentOf(line) <= base + 1 && /\d/.test(item[2]) === ordered &&
        !RULE.test(line)) {
      items.push({lines: [item[3] ?? ''], width: base + item[2].length + 1});
    } else if (isBlank(line)) {
      const next = lines[end + 1];
      if (next === undefined || isBlank(next) ||
          (indentOf(next) <= base && !continuesList(next, ordered, base))) break;
      items.at(-1).lines.push('');
    } else if (indentOf(line) > base) {
      const cut = Math.min(indentOf(line), items.at(-1).width);
      items.at(-1).lines.push(line.replace(/\t/g, '    ').slice(cut));
    } else if (startsBlock(lines, end) || isBlank(lines[end - 1])) {
      break;
    } else {
      items.at(-1).lines.push(line);  // a paragraph that goes on without its indentation
    }
  }
  return {kind: 'list', ordered, start: ordered ? parseInt(first[2], 10) : 1, items, end};
}

function continuesList(line, ordered, base) {
  const item = ITEM.exec(line);
  return item !== null && /\d/.test(item[2]) === ordered && indentOf(line) <= base + 1 &&
      !RULE.test(line);
}

function quoteBlock(lines, at) {
  const inside = [];
  let end = at;
  for (; end < lines.length; ++end) {
    const quote = QUOTE.exec(lines[end]);
    if (!quote) break;
    inside.push(quote[1]);
  }
  return end === at ? null : {kind: 'quote', text: inside.join('\n'), end};
}

// Cells of a table's row; "\|" is no border.
function cells(line) {
  const row = line.trim().replace(/^\|/, '').replace(/(^|[^\\])\|$/, '$1');
  return row.split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, '|'));
}

function isTableRule(line) {
  return /^[\s|:-]+$/.test(line) && cells(line).every((cell) => /^:?-+:?$/.test(cell));
}

function startsTable(lines, at) {
  return lines[at].includes('|') && at + 1 < lines.length && isTableRule(lines[at + 1]) &&
      cells(lines[at]).length === cells(lines[at + 1]).length;
}

function tableBlock(lines, at) {
  if (!startsTable(lines, at)) return null;
  const align = cells(lines[at + 1]).map((cell) => {
    if (cell.endsWith(':')) return cell.startsWith(':') ? 'center' : 'right';
    return '';
  });
  let end = at + 2;
  const rows = [];
  for (; end < lines.length && lines[end].includes('|') && !isBlank(lines[end]); ++end) {
    rows.push(cells(lines[end]));
  }
  return {kind: 'table', head: cells(lines[at]), align, rows, end};
}

function startsBlock(lines, at) {
  const line = lines[at];
  return fenceOf(line) !== null || HEADING.test(line) || RULE.test(line) || ITEM.test(line) ||
      QUOTE.test(line) || startsTable(lines, at);
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end]) && !startsBlock(lines, end)) ++end;
  const text = lines.slice(at, end).map((line) => line.trimStart()).join('\n');
  return {kind: 'paragraph', text, end};
}

const RENDER = {
  paragraph: (block) => el('p', {}, ...inlineNodes(block.text.trimEnd())),
  // The page has h1 and h2 of its own.
  heading: (block) => el(`h${Math.min(6, block.level + 2)}`, {class: `level-${block.level}`},
                         ...inlineNodes(block.text)),
  rule: () => el('hr'),
  quote: (block, depth) => el('blockquote', {}, ...renderText(block.text, depth + 1)),
  code: (block) => codeNode(block.text, block.language),
  list: (block, depth) => el(
      block.ordered ? 'ol' : 'ul', {start: block.start === 1 ? null : String(block.start)},
      ...block.items.map((item) => el('li', {}, ...itemNodes(item.lines.join('\n'), depth + 1)))),
  table: (block) => el('div', {class: 'table-scroll', tabindex: '0', role: 'region',
                               'aria-label': 'Table'}, tableNode(block)),
};

function tableNode({head, align, rows}) {
  const cell = (tag, text, column) => el(tag, {class: align[column] || null,
                                               scope: tag === 'th' ? 'col' : null},
                                         ...inlineNodes(text));
  return el('table', {},
            el('thead', {}, el('tr', {}, ...head.map((text, i) => cell('th', text, i)))),
            el('tbody', {}, ...rows.map((row) => el(
                'tr', {}, ...head.map((_, i) => cell('td', row[i] ?? '', i))))));
}

export function codeNode(text, language = '', label = 'Code') {
  const head = el('div', {class: 'code-head'}, el('span', {}, language || 'text'),
                  copyButton('Copy code', () => text));
  const code = el('code', {}, text);
  return el('div', {class: 'code'}, head,
            el('pre', {tabindex: '0', role: 'region', 'aria-label': label}, code));
}

function renderBlock(block, depth) {
  return RENDER[block.kind](block, depth);
}

function renderText(text, depth) {
  if (depth > MAX_DEPTH) return [el('p', {}, text)];
  return parseBlocks(text).map((block) => renderBlock(block, depth));
}

// The first paragraph of an item stands beside its bullet.
function itemNodes(text, depth) {
  if (depth > MAX_DEPTH) return [text];
  const blocks = parseBlocks(text);
  if (blocks[0]?.kind !== 'paragraph') return blocks.map((block) => renderBlock(block, depth));
  return [...inlineNodes(blocks[0].text.trimEnd()),
          ...blocks.slice(1).map((block) => renderBlock(block, depth))];
}

export class MarkdownView {
  constructor(attributes = {}) {
    this.element = el('div', {...attributes, class: `markdown ${attributes.class ?? ''}`.trim()});
    this.blocks = [];
  }

  // Shows `text`, and builds only the blocks that differ from what is there.
  update(text) {
    const blocks = parseBlocks(text);
    let same = 0;
    while (same < blocks.length && same < this.blocks.length &&
           blocks[same].source === this.blocks[same].source) ++same;
    while (this.element.childNodes.length > same) this.element.lastChild.remove();
    for (const block of blocks.slice(same)) this.element.append(renderBlock(block, 0));
    this.blocks = blocks;
  }
}
