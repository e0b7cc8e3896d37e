// One message of a chat as DOM nodes, kept up to date while it grows.
import {copyButton, el, icon, iconButton} from './dom.js';
import {callIsWhole} from './generation.js';
import {codeNode, MarkdownView} from './markdown.js';

const seconds = (ms) => `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
const plural = (count, noun) => `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;

const FINISHES = {
  stop: 'ended', length: 'reached max_tokens', tool_calls: 'called a tool', stopped: 'stopped',
  cancelled: 'cancelled by the server', timeout: 'ran out of time', error: 'failed',
};

// A part: [shown, explanation].
function statParts({stats = {}, finish}) {
  const parts = [];
  if (stats.tokens !== undefined) parts.push([plural(stats.tokens, 'token'), 'Generated']);
  if (stats.tokensPerSecond) {
    parts.push([`${stats.tokensPerSecond.toFixed(1)} tok/s`, 'Tokens per second after the first']);
  }
  if (stats.firstMs !== undefined) {
    parts.push([`first ${seconds(stats.firstMs)}`, 'Time to the first token']);
  }
  if (stats.totalMs !== undefined) parts.push([`total ${seconds(stats.totalMs)}`, 'Whole answer']);
  if (stats.promptTokens !== undefined) {
    const cached = stats.cachedTokens ? `, ${stats.cachedTokens} cached` : '';
    parts.push([`prompt ${stats.promptTokens}${cached}`, 'Tokens of the prompt']);
  }
  if (finish) parts.push([Object.hasOwn(FINISHES, finish) ? FINISHES[finish] : finish, 'Why the answer ended']);
  return parts;
}

function prettyJson(text) {
  try {
    return JSON.stringify(JSON.parse(text || '{}'), null, 2);
  } catch {
    return text;
  }
}

export class MessageView {
  // `actions`: edit(message, text), retry(message), resume(message), saved(message).
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.text = new MarkdownView({class: 'content'});
    this.body = el('div', {class: 'body'});
    this.foot = el('div', {class: 'foot'});
    const name = message.role === 'user' ? 'You' : 'Model';
    this.element = el('article', {class: `message ${message.role}`, 'aria-label': name},
                      el('h3', {class: 'who'}, name), this.body, this.foot);
    this.calls = [];
    if (message.role === 'user') this.#showUser(); else this.#buildAnswer();
    this.update(false);
  }

  // ---- the user's

  #showUser() {
    this.body.replaceChildren(el('div', {class: 'content plain'}, this.message.content));
    this.foot.replaceChildren(
        copyButton('Copy message', () => this.message.content),
        iconButton('edit', 'Edit message and ask again', () => this.#edit()));
  }

  #edit() {
    const area = el('textarea', {class: 'edit', 'aria-label': 'Edit message', rows: '3'});
    area.value = this.message.content;
    const save = () => {
      if (area.value.trim() !== '') this.actions.edit(this.message, area.value);
    };
    const cancel = () => {
      this.#showUser();
      this.foot.querySelector('[aria-label^="Edit"]').focus();
    };
    area.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        cancel();
      } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        save();
      }
    });
    this.body.replaceChildren(area);
    this.foot.replaceChildren(
        el('button', {type: 'button', class: 'primary', onclick: save}, 'Ask again'),
        el('button', {type: 'button', onclick: cancel}, 'Cancel'));
    area.focus();
  }

  // ---- the model's

  #buildAnswer() {
    this.waiting = el('p', {class: 'waiting'}, 'Waiting for the first token');
    this.reasoningText = new MarkdownView({class: 'content'});
    this.reasoningLabel = el('span');
    this.reasoning = el('details', {class: 'reasoning', hidden: true},
                        el('summary', {}, this.reasoningLabel), this.reasoningText.element);
    this.reasoning.addEventListener('toggle', () => this.#updateReasoning());
    this.callBox = el('div', {class: 'calls'});
    this.problem = el('p', {class: 'error', role: 'alert', hidden: true});
    this.stats = el('span', {class: 'stats'});
    this.body.append(this.waiting, this.reasoning, this.text.element, this.callBox, this.problem);
    this.buttons = el('span', {class: 'buttons'},
                      copyButton('Copy answer', () => this.message.content),
                      iconButton('retry', 'Answer again', () => this.actions.retry(this.message)));
    this.foot.append(this.buttons, this.stats);
  }

  // `running`: more is to come.
  update(running) {
    const {message} = this;
    if (message.role !== 'assistant') return;
    const {reasoning = '', content, calls = [], error} = message;
    this.running = running;
    this.element.classList.toggle('running', running);
    this.element.setAttribute('aria-busy', String(running));
    this.waiting.hidden = !running || Boolean(reasoning || content || calls.length > 0);
    this.#updateReasoning();
    this.text.update(content);
    this.text.element.hidden = content === '';
    this.#updateCalls(calls);
    this.problem.hidden = !error;
    if (error) {
      const id = message.requestId ? ` (request ${message.requestId})` : '';
      this.problem.textContent = `${error}${id}`;
    }
    this.buttons.hidden = running;
    const parts = statParts(message);
    this.stats.replaceChildren(...parts.map(([text, title]) => el('span', {title}, text)));
  }

  #updateReasoning() {
    const {reasoning = '', stats = {}} = this.message;
    this.reasoning.hidden = reasoning === '';
    if (this.reasoning.hidden) return;
    const facts = [];
    if (stats.reasoningMs !== undefined) facts.push(seconds(stats.reasoningMs));
    if (stats.reasoningTokens) facts.push(plural(stats.reasoningTokens, 'token'));
    const thinking = this.running && stats.reasoningMs === undefined;
    this.reasoningLabel.textContent =
        [thinking ? 'Thinking…' : 'Thought', ...facts].join(' · ');
    // Folded away it costs nothing.
    if (this.reasoning.open) this.reasoningText.update(reasoning);
  }

  #updateCalls(calls) {
    calls.forEach((call, index) => {
      if (!call) return;
      this.calls[index] ??= this.#buildCall(call);
      this.calls[index].update();
    });
    const open = !this.running && calls.length > 0 && calls.some(callIsWhole);
    if (open && !this.send) {
      this.send = el('button', {type: 'button', class: 'primary send-results',
                                onclick: () => this.#sendResults()}, 'Send results and go on');
      this.callBox.append(this.send);
    }
    if (this.send) this.send.hidden = !open;
  }

  #buildCall(call) {
    const name = el('strong');
    const note = el('span', {class: 'note'});
    const slot = el('div');
    const area = el('textarea', {rows: '2', placeholder: 'What the tool returned'});
    area.value = call.result ?? '';
    area.addEventListener('input', () => {
      if (area.value === '') delete call.result; else call.result = area.value;
      this.actions.saved(this.message);
    });
    area.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#sendResults();
    });
    const label = el('label', {class: 'result'}, 'Result', area);
    this.callBox.append(el('section', {class: 'call', 'aria-label': 'Tool call'},
                           el('header', {}, icon('tool'), name, note), slot, label));
    let shown = null;
    const update = () => {
      name.textContent = call.name || '(no name yet)';
      label.hidden = this.running || !callIsWhole(call);
      area.setAttribute('aria-label', `Result of ${call.name}`);
      const broken = !this.running && !callIsWhole(call);
      note.textContent = broken ? 'incomplete: it will not be sent back' : '';
      if (shown === call.arguments) return;
      shown = call.arguments;
      slot.replaceChildren(codeNode(prettyJson(call.arguments), 'arguments', 'Arguments'));
    };
    return {update, area, call};
  }

  // The first result that is asked for, if any is.
  focusResult() {
    if (this.message.role !== 'assistant') return;
    this.calls.find(({call}) => callIsWhole(call) && call.result === undefined)?.area.focus();
  }

  #sendResults() {
    const empty = this.calls.find(({call}) => callIsWhole(call) && call.result === undefined);
    if (empty) {
      empty.area.focus();
      empty.area.setAttribute('aria-invalid', 'true');
      return;
    }
    this.actions.resume(this.message);
  }
}
