// Starts the page: which view is shown, the theme, panels, keys, and whether the server is ready.
import {getJson} from './api.js';
import {ChatView} from './chat.js';
import {byId, el} from './dom.js';
import {ExpertsView} from './experts.js';
import {Settings} from './settings.js';
import {loadChoice, saveChoice} from './store.js';

const READY_INTERVAL_MS = 2000;

const say = (text, kind = '') => {
  byId('status').textContent = text;
  byId('status').className = kind;
};

// ---------------------------------------------------------------------------- theme

const THEMES = ['system', 'light', 'dark'];

function showTheme(theme) {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const label = `Theme: ${theme === 'system' ? 'as the system' : theme}`;
  byId('theme').setAttribute('aria-label', label);
  byId('theme').title = label;
}

function startTheme(onChange) {
  let theme = loadChoice('theme', 'system');
  if (!THEMES.includes(theme)) theme = 'system';
  showTheme(theme);
  byId('theme').addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    saveChoice('theme', theme);
    showTheme(theme);
    onChange();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', onChange);
}

// ---------------------------------------------------------------------------- panels

function showSettings(open) {
  byId('settings').hidden = !open;
  byId('settings-toggle').setAttribute('aria-expanded', String(open));
  document.body.classList.toggle('show-settings', open);
}

function toggleSettings() {
  const open = byId('settings').hidden;
  showSettings(open);
  byId(open ? 'set-system' : 'settings-toggle').focus();
}

function showChats(open) {
  document.body.classList.toggle('show-chats', open);
  byId('chats-toggle').setAttribute('aria-expanded', String(open));
}

function startPanels() {
  byId('settings-toggle').addEventListener('click', toggleSettings);
  byId('settings-close').addEventListener('click', toggleSettings);
  byId('chats-toggle').addEventListener('click', () => {
    const open = !document.body.classList.contains('show-chats');
    showChats(open);
    if (open) byId('new-chat').focus();
  });
  byId('chat-main').addEventListener('pointerdown', () => showChats(false));
}

// ---------------------------------------------------------------------------- views

const viewOf = () => (location.hash === '#experts' ? 'experts' : 'chat');

function showView(experts) {
  const view = viewOf();
  document.body.dataset.view = view;
  byId('chat-view').hidden = view !== 'chat';
  byId('experts-view').hidden = view !== 'experts';
  for (const name of ['chat', 'experts']) {
    if (name === view) byId(`tab-${name}`).setAttribute('aria-current', 'page');
    else byId(`tab-${name}`).removeAttribute('aria-current');
  }
  byId('skip').hidden = view !== 'chat';
  experts.setVisible(view === 'experts');
}

// ---------------------------------------------------------------------------- keys

const isTyping = (target) => target.closest('input, textarea, select') !== null;

function closeSomething(chat) {
  if (document.body.classList.contains('show-chats')) {
    showChats(false);
    byId('chats-toggle').focus();
  } else if (!chat.stop() && !byId('settings').hidden) {
    toggleSettings();
  }
}

function startKeys(chat) {
  const withAlt = {
    KeyN: () => { location.hash = '#chat'; chat.startNew(); },
    KeyS: toggleSettings,
    KeyX: () => { location.hash = viewOf() === 'chat' ? '#experts' : '#chat'; },
  };
  document.addEventListener('keydown', (event) => {
    if (byId('keys').open || event.isComposing) return;
    if (event.altKey && !event.ctrlKey && !event.metaKey && withAlt[event.code]) {
      event.preventDefault();
      withAlt[event.code]();
    } else if (event.key === 'Escape') {
      closeSomething(chat);
    } else if (!isTyping(event.target) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (event.key === '/' && viewOf() === 'chat') {
        event.preventDefault();
        byId('input').focus();
      } else if (event.key === '?') {
        byId('keys').showModal();
      }
    }
  });
}

// ---------------------------------------------------------------------------- the server

function showModels(models, settings) {
  const names = models.map(({id}) => String(id));
  const select = byId('model');
  select.hidden = names.length < 2;
  byId('model-name').textContent = names.length === 1 ? names[0] : '';
  select.replaceChildren(...names.map((name) => el('option', {value: name}, name)));
  // A name kept from another server would be refused.
  if (!names.includes(settings.model) || names.length === 1) settings.model = '';
  if (settings.model) select.value = settings.model;
  select.onchange = () => { settings.model = select.value; };
}

function askForKey() {
  say('An API key is needed', 'bad');
  showSettings(true);
  byId('set-key').focus();
}

async function connect(config, settings) {
  try {
    if (!config.chat) {
      say('Admin port');
      return;
    }
    const {status} = await getJson('ready', {anyStatus: true});
    if (status !== 'ready') {
      say(status === 'failed' ? 'The engine has failed' : `The server is ${status}`, 'busy');
      setTimeout(() => connect(config, settings), READY_INTERVAL_MS);
      return;
    }
    const {data} = await getJson('v1/models');
    showModels(data, settings);
    say('');
  } catch (error) {
    if (error.status === 401) {
      askForKey();
      return;
    }
    say('The server cannot be reached', 'bad');
    setTimeout(() => connect(config, settings), READY_INTERVAL_MS);
  }
}

// What this port offers: {chat: whether it answers prompts, experts: the path of the counts}.
async function loadConfig() {
  try {
    return await getJson('web/config.json');
  } catch {
    return {chat: true, experts: null};
  }
}

async function start() {
  const config = await loadConfig();
  const settings = new Settings(() => connect(config, settings));
  const chat = new ChatView(settings, ({status, field}) => {
    if (status === 401) askForKey();
    if (field) {
      showSettings(true);
      field.focus();
    }
  });
  const experts = new ExpertsView(config.experts);
  startTheme(() => experts.redraw());
  startPanels();
  startKeys(chat);
  if (!config.chat) {
    byId('chat-list').before(el('p', {class: 'note-box'}, 'This is the admin port: it shows the ' +
        'experts. The chat is on the port of the API.'));
    byId('input').disabled = byId('send').disabled = true;
    if (location.hash === '') location.hash = '#experts';
  }
  addEventListener('hashchange', () => showView(experts));
  showView(experts);
  connect(config, settings);
  document.documentElement.dataset.started = 'true';
}

start();
