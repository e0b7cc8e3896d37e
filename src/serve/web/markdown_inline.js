// The inside of a Markdown paragraph as DOM nodes: code, emphasis, links, line breaks.
//
// A scanner, not regular expressions over the whole: its time stays in proportion to the text
// whatever a model writes. Links lead to http and https only.
import {el} from './dom.js';

const MAX_DEPTH = 8;
const ESCAPABLE = '\\`*_{}[]()#+-.!|~<>"';

function safeUrl(text) {
  if (!/^https?:\/\//i.test(text)) return null;
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

function link(url, ...children) {
  return el('a', {href: url, target: '_blank', rel: 'noopener noreferrer nofollow'}, ...children);
}

const isWord = (char) => char !== undefined && /[\p{L}\p{N}]/u.test(char);
const isSpace = (char) => char === undefined || /\s/.test(char);

class Scanner {
  constructor(text, depth) {
    this.text = text;
    this.depth = depth;
    this.at = 0;
    this.plain = '';
    this.nodes = [];
    this.places = new Map();  // closer -> where it comes next, -1: nowhere
  }

  flush() {
    if (this.plain) this.nodes.push(this.plain);
    this.plain = '';
  }

  push(node, length) {
    this.flush();
    this.nodes.push(node);
    this.at += length;
  }

  // Where `closer` comes next, or -1. The text is not searched twice for the same.
  find(closer, from) {
    const known = this.places.get(closer);
    if (known === -1 || known >= from) return known;
    const place = this.text.indexOf(closer, from);
    this.places.set(closer, place);
    return place;
  }

  run() {
    while (this.at < this.text.length) {
      if (!this.step()) this.plain += this.text[this.at++];
    }
    this.flush();
    return this.nodes;
  }

  // True if something other than a plain character was taken.
  step() {
    const char = this.text[this.at];
    switch (char) {
      case '\\': return this.escape();
      case '`': return this.code();
      case '*':
      case '_': return this.emphasis(char);
      case '~': return this.text.startsWith('~~', this.at) && this.wrapped('~~', 'del');
      case '[': return this.link();
      case '<': return this.angleLink();
      case 'h': return this.bareLink();
      case '\n':
        this.plain = this.plain.trimEnd();
        this.push(el('br'), 1);
        return true;
      default: return false;
    }
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === undefined || !ESCAPABLE.includes(next)) return false;
    this.plain += next;
    this.at += 2;
    return true;
  }

  code() {
    let fence = '`';
    while (this.text[this.at + fence.length] === '`') fence += '`';
    const from = this.at + fence.length;
    let end = this.find(fence, from);
    // The closing run has to be as long as the opening one.
    while (end >= 0 && this.text[end + fence.length] === '`') {
      let after = end;
      while (this.text[after] === '`') ++after;
      end = this.find(fence, after);
    }
    if (end < 0) {
      this.plain += fence;
      this.at = from;
      return true;
    }
    const inside = this.text.slice(from, end).replace(/\n/g, ' ');
    const padded = inside.startsWith(' ') && inside.endsWith(' ') && inside.trim() !== '';
    const trimmed = padded ? inside.slice(1, -1) : inside;
    this.push(el('code', {}, trimmed), end + fence.length - this.at);
    return true;
  }

  emphasis(char) {
    // snake_case is not emphasis.
    if (char === '_' && isWord(this.text[this.at - 1])) return false;
    const double = char + char;
    if (this.text.startsWith(double, this.at)) return this.wrapped(double, 'strong');
    return this.wrapped(char, 'em');
  }

  wrapped(marker, tag) {
    const from = this.at + marker.length;
    if (this.depth >= MAX_DEPTH || isSpace(this.text[from])) return this.asText(marker);
    const end = this.closer(marker, from);
    if (end < 0) return this.asText(marker);
    const inside = inlineNodes(this.text.slice(from, end), this.depth + 1);
    this.push(el(tag, {}, ...inside), end + marker.length - this.at);
    return true;
  }

  asText(marker) {
    this.plain += marker;
    this.at += marker.length;
    return true;
  }

  closer(marker, from) {
    let end = this.find(marker, from);
    for (let tries = 0; end >= 0 && tries < 16; ++tries) {
      const after = this.text[end + marker.length];
      const longer = marker.length === 1 && after === marker;
      const opens = isSpace(this.text[end - 1]) || (marker[0] === '_' && isWord(after));
      if (end > from && !longer && !opens) return end;
      end = this.find(marker, end + (longer ? 2 : marker.length));
    }
    return -1;
  }

  link() {
    const middle = this.find('](', this.at);
    if (middle < 0 || this.depth >= MAX_DEPTH) return false;
    const label = this.text.slice(this.at + 1, middle);
    if (label.length > 1000 || /[[\]]/.test(label)) return false;
    const end = this.find(')', middle);
    if (end < 0 || end - middle > 2100) return false;
    const target = this.text.slice(middle + 2, end).trim().replace(/\s+"[^"]*"$/, '');
    const url = safeUrl(target);
    if (url === null) return false;
    // The "!" of an image: what it shows would come from elsewhere, so it stays a link.
    if (this.plain.endsWith('!')) this.plain = this.plain.slice(0, -1);
    this.push(link(url, ...inlineNodes(label, MAX_DEPTH)), end + 1 - this.at);
    return true;
  }

  angleLink() {
    if (!/^<https?:/i.test(this.text.slice(this.at, this.at + 7))) return false;
    const end = this.find('>', this.at);
    if (end < 0 || end - this.at > 2100) return false;
    const shown = this.text.slice(this.at + 1, end);
    const url = safeUrl(shown);
    if (url === null || /\s/.test(shown)) return false;
    this.push(link(url, shown), end + 1 - this.at);
    return true;
  }

  bareLink() {
    if (isWord(this.text[this.at - 1])) return false;
    const found = /^https?:\/\/[^\s<>"'`*|]{1,2000}/.exec(this.text.slice(this.at, this.at + 2010));
    if (!found) return false;
    const shown = found[0].replace(/[.,;:!?)\]}]+$/, '');
    const url = safeUrl(shown);
    if (url === null) return false;
    this.push(link(url, shown), shown.length);
    return true;
  }
}

// Nodes and strings for ParentNode.append.
export function inlineNodes(text, depth = 0) {
  return new Scanner(text, depth).run();
}
