// The settings panel: its fields, their checks, and the request that follows from them.
import {apiKey, setApiKey} from './api.js';
import {byId, el} from './dom.js';
import {DEFAULT_SETTINGS, loadSettings, saveSettings} from './store.js';

const NUMBERS = {
  temperature: {min: 0, max: 100},
  top_p: {min: 0, max: 1, above: true},
  top_k: {min: 0, max: 1e9, integer: true},
  min_p: {min: 0, max: 1},
  max_tokens: {min: 1, max: 1e9, integer: true},
  seed: {min: 0, max: Number.MAX_SAFE_INTEGER, integer: true},
  repetition_penalty: {min: 0, max: 100, above: true},
  presence_penalty: {min: -2, max: 2},
  frequency_penalty: {min: -2, max: 2},
};

// What is wrong with the text of a number's field, or null.
function numberProblem(text, {min, max, above = false, integer = false}) {
  if (text.trim() === '') return null;
  const value = Number(text);
  const low = above ? `above ${min}` : `from ${min}`;
  const wanted = `${integer ? 'a whole number' : 'a number'} ${low} to ${max}`;
  const fits = Number.isFinite(value) && value <= max && (above ? value > min : value >= min) &&
      (!integer || Number.isInteger(value));
  return fits ? null : `Wanted: ${wanted}.`;
}

function toolsProblem(text) {
  if (text.trim() === '') return null;
  let tools;
  try {
    tools = JSON.parse(text);
  } catch (error) {
    return `Not JSON: ${error.message}`;
  }
  if (!Array.isArray(tools)) return 'Wanted: a JSON array of tools.';
  const bad = tools.findIndex((tool) => typeof tool?.function?.name !== 'string');
  return bad < 0 ? null : `Tool ${bad + 1} has no "function" with a "name".`;
}

const stopStrings = (text) => text.split('\n').filter((line) => line !== '');

function problemOf(name, value) {
  if (name in NUMBERS) return numberProblem(value, NUMBERS[name]);
  if (name === 'tools') return toolsProblem(value);
  if (name === 'stop' && stopStrings(value).length > 16) return 'At most 16 stop strings.';
  return null;
}

export class Settings {
  // `onKey` is called when the API key has changed.
  constructor(onKey) {
    this.values = loadSettings();
    this.fields = new Map();
    for (const name of Object.keys(DEFAULT_SETTINGS)) {
      const field = byId(`set-${name}`);
      if (!field) continue;
      this.fields.set(name, field);
      field.addEventListener('input', () => this.#changed(name));
    }
    byId('settings-reset').addEventListener('click', () => this.reset());
    const key = byId('set-key');
    key.value = apiKey();
    key.addEventListener('change', () => {
      setApiKey(key.value.trim());
      onKey();
    });
    this.#show();
  }

  get model() { return this.values.model; }
  set model(name) {
    this.values.model = name;
    saveSettings(this.values);
  }

  reset() {
    this.values = {...DEFAULT_SETTINGS, model: this.values.model};
    saveSettings(this.values);
    this.#show();
  }

  #show() {
    for (const [name, field] of this.fields) {
      field.value = this.values[name];
      this.#check(name);
    }
  }

  #changed(name) {
    this.values[name] = this.fields.get(name).value;
    this.#check(name);
    saveSettings(this.values);
  }

  #check(name) {
    const field = this.fields.get(name);
    const problem = problemOf(name, this.values[name]);
    const id = `${field.id}-problem`;
    byId(id)?.remove();
    field.toggleAttribute('aria-invalid', problem !== null);
    if (problem === null) {
      field.removeAttribute('aria-describedby');
      return;
    }
    field.setAttribute('aria-invalid', 'true');
    field.setAttribute('aria-describedby', id);
    field.after(el('p', {id, class: 'problem'}, problem));
  }

  // The first field that is wrong, or null.
  firstProblem() {
    for (const [name, field] of this.fields) {
      const problem = problemOf(name, this.values[name]);
      if (problem !== null) {
        return {field, text: `${field.labels[0].textContent}: ${problem}`};
      }
    }
    return null;
  }

  // The request without its messages. An empty field is left out: the model's own value holds.
  requestBody() {
    const body = {stream: true,
                  stream_options: {include_usage: true, continuous_usage_stats: true}};
    if (this.values.model) body.model = this.values.model;
    for (const name of Object.keys(NUMBERS)) {
      if (this.values[name].trim() !== '') body[name] = Number(this.values[name]);
    }
    const stop = stopStrings(this.values.stop);
    if (stop.length > 0) body.stop = stop;
    if (this.values.tools.trim() !== '') {
      const tools = JSON.parse(this.values.tools);
      if (tools.length > 0) body.tools = tools;
    }
    if (this.values.thinking) {
      body.chat_template_kwargs = {enable_thinking: this.values.thinking === 'on'};
    }
    return body;
  }

  get systemPrompt() { return this.values.system; }
}
