// What the browser keeps: chats and settings in local storage, one entry a chat, so that two tabs
// do not overwrite each other's.

const CHAT = 'glmoe.chat.';
const SETTINGS = 'glmoe.settings';

export const DEFAULT_SETTINGS = Object.freeze({
  system: '', thinking: '', temperature: '', top_p: '', top_k: '', min_p: '', max_tokens: '',
  seed: '', repetition_penalty: '', presence_penalty: '', frequency_penalty: '', stop: '',
  tools: '', model: '',
});

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

// False where the browser has no room or no permission.
function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function newChat() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const now = Date.now();
  return {id, title: 'New chat', created: now, updated: now, messages: []};
}

function isChat(chat) {
  return chat !== null && typeof chat === 'object' && typeof chat.id === 'string' &&
      typeof chat.title === 'string' && Array.isArray(chat.messages) &&
      chat.messages.every((message) => message && typeof message.content === 'string' &&
                                       typeof message.role === 'string');
}

// All chats, the one used last first.
export function loadChats() {
  let keys = [];
  try {
    keys = Object.keys(localStorage).filter((key) => key.startsWith(CHAT));
  } catch {
    return [];
  }
  return keys.map(read).filter(isChat).sort((a, b) => b.updated - a.updated);
}

export function saveChat(chat) {
  return write(CHAT + chat.id, chat);
}

export function removeChat(chat) {
  try {
    localStorage.removeItem(CHAT + chat.id);
  } catch {
    // Nothing was kept.
  }
}

// `onChange` is told when another tab changes the chats.
export function watchChats(onChange) {
  addEventListener('storage', (event) => {
    if (event.key === null || event.key.startsWith(CHAT)) onChange();
  });
}

export function loadSettings() {
  const kept = read(SETTINGS);
  const settings = {...DEFAULT_SETTINGS};
  for (const name of Object.keys(settings)) {
    if (typeof kept?.[name] === 'string') settings[name] = kept[name];
  }
  return settings;
}

export const saveSettings = (settings) => write(SETTINGS, settings);

// Small choices of the page itself, such as the theme.
export function loadChoice(name, fallback) {
  return read(`glmoe.${name}`) ?? fallback;
}
export const saveChoice = (name, value) => write(`glmoe.${name}`, value);
