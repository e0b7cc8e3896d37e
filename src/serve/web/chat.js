// The chat view: the list of chats, the messages of one, and the composer.
import {announce, byId, el, iconButton, toast} from './dom.js';
import {Generation, requestMessages} from './generation.js';
import {MessageView} from './message_view.js';
import {loadChats, newChat, removeChat, saveChat, watchChats} from './store.js';

const SAVE_INTERVAL_MS = 2000;  // while an answer comes

export class ChatView {
  #chats = loadChats();
  #chat = null;
  #views = new Map();    // message -> MessageView, of the chat that is shown
  #running = new Map();  // chat id -> Generation
  #following = true;     // the end stays in sight until the reader scrolls up
  #warned = false;

  // `onProblem({status, field})`: an answer failed, or a setting is wrong.
  constructor(settings, onProblem) {
    this.settings = settings;
    this.onProblem = onProblem;
    this.input = byId('input');
    this.scroller = byId('messages');
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.input.addEventListener('input', () => this.#fitInput());
    byId('stop').addEventListener('click', () => this.stop());
    byId('new-chat').addEventListener('click', () => this.startNew());
    byId('delete-all').addEventListener('click', () => this.#deleteAll());
    byId('to-end').addEventListener('click', () => this.#follow());
    this.scroller.addEventListener('scroll', () => this.#scrolled());
    watchChats(() => this.#reload());
    this.open(this.#chats[0] ?? newChat());
  }

  // ---- which chat

  open(chat) {
    this.#chat = chat;
    this.#views.clear();
    byId('thread').replaceChildren();
    for (const message of chat.messages) this.#show(message);
    this.#refresh();
    this.#follow();
  }

  startNew() {
    this.open(newChat());
    this.input.focus();
  }

  #delete(chat) {
    this.#running.get(chat.id)?.stop();
    removeChat(chat);
    this.#chats = this.#chats.filter((other) => other !== chat);
    if (chat === this.#chat) this.open(this.#chats[0] ?? newChat()); else this.#showList();
    byId('new-chat').focus();
    toast(`“${chat.title}” was deleted.`, {label: 'Undo', run: () => {
      this.#keep(chat);
      this.open(chat);
    }});
  }

  #deleteAll() {
    const chats = this.#chats;
    if (chats.length === 0) return;
    for (const chat of chats) {
      this.#running.get(chat.id)?.stop();
      removeChat(chat);
    }
    this.#chats = [];
    this.startNew();
    toast(`${chats.length} chats were deleted.`, {label: 'Undo', run: () => {
      chats.forEach((chat) => this.#keep(chat, false));
      this.open(chats[0]);
    }});
  }

  // Another tab has changed the stored chats; those that are answered here stay.
  #reload() {
    const mine = this.#chats.filter((chat) => chat === this.#chat || this.#running.has(chat.id));
    const ids = new Set(mine.map((chat) => chat.id));
    const others = loadChats().filter((chat) => !ids.has(chat.id));
    this.#chats = [...mine, ...others].sort((a, b) => b.updated - a.updated);
    this.#showList();
  }

  #keep(chat, used = true) {
    if (used) chat.updated = Date.now();
    if (!this.#chats.includes(chat)) this.#chats.push(chat);
    this.#chats.sort((a, b) => b.updated - a.updated);
    if (!saveChat(chat) && !this.#warned) {
      this.#warned = true;
      toast('The browser has no room or no permission to keep chats: they end with this tab.');
    }
    this.#showList();
  }

  #showList() {
    byId('chat-list').replaceChildren(...this.#chats.map((chat) => {
      const current = chat === this.#chat;
      return el('li', {class: current ? 'current' : null},
                el('button', {type: 'button', class: 'chat-name', title: chat.title,
                              'aria-current': current ? 'true' : null,
                              onclick: () => {
                                this.open(chat);
                                document.body.classList.remove('show-chats');
                              }}, chat.title),
                iconButton('trash', `Delete chat ${chat.title}`, () => this.#delete(chat)));
    }));
    byId('delete-all').hidden = this.#chats.length < 2;
  }

  // ---- what is shown

  #show(message) {
    if (message.role !== 'user' && message.role !== 'assistant') return;
    const view = new MessageView(message, {
      edit: (edited, text) => this.#edit(edited, text),
      retry: (answer) => this.#retry(answer),
      resume: (answer) => this.#resume(answer),
      saved: () => this.#keep(this.#chat, false),
    });
    this.#views.set(message, view);
    view.update(this.#running.get(this.#chat.id)?.message === message);
    byId('thread').append(view.element);
  }

  #refresh() {
    const running = this.#running.has(this.#chat.id);
    byId('welcome').hidden = this.#chat.messages.length > 0;
    byId('stop').hidden = !running;
    byId('send').hidden = running;
    this.#showList();
  }

  #truncate(length) {
    for (const message of this.#chat.messages.splice(length)) {
      this.#views.get(message)?.element.remove();
      this.#views.delete(message);
    }
  }

  #fitInput() {
    this.input.style.height = 'auto';
    this.input.style.height = `${Math.min(this.input.scrollHeight + 2, 240)}px`;
  }

  #scrolled() {
    const {scrollTop, clientHeight, scrollHeight} = this.scroller;
    this.#following = scrollTop + clientHeight > scrollHeight - 40;
    byId('to-end').hidden = this.#following;
  }

  #follow() {
    this.#following = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    byId('to-end').hidden = true;
  }

  // ---- asking

  #submit() {
    const text = this.input.value;
    if (text.trim() === '' || this.#running.has(this.#chat.id) || !this.#settingsAreGood()) return;
    this.input.value = '';
    this.#fitInput();
    this.#ask(text);
  }

  #ask(text) {
    const message = {role: 'user', content: text};
    if (this.#chat.messages.length === 0) {
      this.#chat.title = text.trim().split('\n')[0].slice(0, 60);
    }
    this.#chat.messages.push(message);
    this.#show(message);
    this.#answer();
  }

  #edit(message, text) {
    if (this.#busy() || !this.#settingsAreGood()) return;
    this.#truncate(this.#chat.messages.indexOf(message));
    this.#ask(text);
    this.input.focus();
  }

  #retry(answer) {
    if (this.#busy() || !this.#settingsAreGood()) return;
    this.#truncate(this.#chat.messages.indexOf(answer));
    this.#answer();
    this.input.focus();
  }

  // Goes on after tools: their results stand in the calls of `answer`.
  #resume(answer) {
    if (this.#busy() || !this.#settingsAreGood()) return;
    this.#truncate(this.#chat.messages.indexOf(answer) + 1);
    this.#answer();
    this.input.focus();
  }

  #busy() {
    const busy = this.#running.has(this.#chat.id);
    if (busy) toast('An answer is still coming: stop it first.');
    return busy;
  }

  #settingsAreGood() {
    const problem = this.settings.firstProblem();
    if (problem) {
      this.onProblem(problem);
      toast(problem.text);
    }
    return problem === null;
  }

  async #answer() {
    const chat = this.#chat;
    const body = this.settings.requestBody();
    body.messages = requestMessages(chat.messages, this.settings.systemPrompt);
    const message = {role: 'assistant', content: ''};
    chat.messages.push(message);
    let savedAt = performance.now();
    const generation = new Generation(message, () => {
      if (chat === this.#chat) this.#updateMessage(message, this.#running.has(chat.id));
      if (performance.now() - savedAt < SAVE_INTERVAL_MS || !this.#chats.includes(chat)) return;
      savedAt = performance.now();
      this.#keep(chat);
    });
    this.#running.set(chat.id, generation);
    this.#show(message);
    this.#keep(chat);
    this.#refresh();
    this.#follow();
    announce('The model answers');
    await generation.run(body);
    this.#running.delete(chat.id);
    this.#ended(chat, message);
  }

  #ended(chat, message) {
    if (this.#chats.includes(chat)) this.#keep(chat);  // it may have been deleted meanwhile
    if (chat === this.#chat) {
      this.#updateMessage(message, false);
      this.#refresh();
    }
    const tokens = message.stats.tokens === undefined ? '' : `, ${message.stats.tokens} tokens`;
    announce(message.error ? `The answer failed: ${message.error}`
                           : `The answer is complete${tokens}`);
    if (message.error) this.onProblem({status: message.errorStatus});
    // Whoever waits with the keyboard goes on where the answer needs them.
    const waiting = document.activeElement === this.input && this.input.value === '';
    if (chat === this.#chat && waiting) this.#views.get(message)?.focusResult();
  }

  #updateMessage(message, running) {
    this.#views.get(message)?.update(running);
    if (this.#following) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  // True if there was something to stop.
  stop() {
    const generation = this.#running.get(this.#chat.id);
    generation?.stop();
    if (generation) this.input.focus();
    return generation !== undefined;
  }
}
