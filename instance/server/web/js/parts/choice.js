// @ts-check
/** Who does it, and how: the models and degrees of thinking that an executor offers. */
import { request } from '../net/http.js';
import { words } from '../state/page.js';
import * as storage from '../state/storage.js';

/**
 * @typedef {{ id: string, label: string, effortLevels?: string[] }} Model
 * @typedef {{ models: Model[], effortLevels: string[] | null, reasoning: { kind: string } }} Offer
 */

/** @type {Map<string, Offer>} */
const offers = new Map();

export class Choice {
  #box;
  #session;
  #tool;
  #model;
  #effort;

  /** @param {HTMLElement} box @param {string} session */
  constructor(box, session) {
    const select = (/** @type {string} */ css) => /** @type {HTMLSelectElement} */ (box.querySelector(css));
    this.#box = box;
    this.#session = session;
    this.#tool = select('[name=tool]');
    this.#model = select('[data-choose=model]');
    this.#effort = select('[data-choose=effort]');
    const last = storage.get('tool');
    if (!session && last && [...this.#tool.options].some(({ value }) => value === last)) this.#tool.value = last;
    this.#recall();
    this.#tool.addEventListener('change', () => {
      this.#recall();
      this.#ask();
    });
    this.#model.addEventListener('change', () => this.#choose('model'));
    this.#effort.addEventListener('change', () => this.#choose('effort'));
    box.addEventListener('toggle', () => { if (this.#open) this.#ask(); });
    if (this.value.model) this.#ask();
  }

  /** What is chosen; empty is the executor's own choice. */
  get value() {
    const { chosen: model = '' } = this.#model.dataset;
    const { chosen: effort = '' } = this.#effort.dataset;
    return { tool: this.#tool.value, model, effort };
  }

  get #open() {
    return this.#box.hasAttribute('open');
  }

  /** A new task begins with what was chosen last; in a session the server knows it. */
  #recall() {
    const tool = this.#tool.value;
    for (const select of [this.#model, this.#effort]) {
      const kept = storage.get(`${select.dataset.choose}:${tool}`) ?? '';
      const own = this.#session && this.#tool.selectedOptions[0]?.defaultSelected;
      if (!own) select.dataset.chosen = kept;
    }
    this.#drawName();
  }

  async #ask() {
    const tool = this.#tool.value;
    if (!offers.has(tool)) {
      const { status, data } = await request('GET', `api/models?tool=${encodeURIComponent(tool)}`);
      if (status === 200) offers.set(tool, data);
    }
    if (tool === this.#tool.value) this.#draw(offers.get(tool));
  }

  /** @param {Offer | undefined} offer */
  #draw(offer) {
    const models = offer?.models ?? [];
    put(this.#model, models.map(({ id, label }) => ({ value: id, label })));
    const model = models.find(({ id }) => id === this.#model.value);
    const levels = model?.effortLevels ?? offer?.effortLevels ?? [];
    const efforts = offer?.reasoning.kind === 'toggle'
      ? [{ value: 'on', label: words.client.on ?? '' }]
      : levels.map((level) => ({ value: level, label: level }));
    put(this.#effort, efforts);
    this.#drawName();
  }

  #drawName() {
    const place = this.#box.querySelector('.choice-name');
    const name = this.#tool.selectedOptions[0]?.textContent ?? '';
    const model = this.#model.value ? this.#model.selectedOptions[0]?.textContent : '';
    if (place) place.textContent = [name, model].filter(Boolean).join(' · ');
  }

  /** @param {'model' | 'effort'} what */
  #choose(what) {
    const select = what === 'model' ? this.#model : this.#effort;
    select.dataset.chosen = select.value;
    storage.set(`${what}:${this.#tool.value}`, select.value);
    this.#draw(offers.get(this.#tool.value));
    if (this.#session) request('PATCH', `api/sessions/${this.#session}`, stored(what, select.value));
  }
}

/** @param {'model' | 'effort'} what @param {string} value */
function stored(what, value) {
  if (what === 'model') return { model: value };
  return { effort: value === 'on' ? '' : value, thinking: value === 'on' };
}

/** Offers options after the executor's own choice; what is not offered is not chosen.
 * @param {HTMLSelectElement} select @param {{ value: string, label: string }[]} options */
function put(select, options) {
  const all = [{ value: '', label: words.client.by_default ?? '' }, ...options];
  select.replaceChildren(...all.map(({ value, label }) => new Option(label, value)));
  const { chosen = '' } = select.dataset;
  select.value = all.some(({ value }) => value === chosen) ? chosen : '';
  select.dataset.chosen = select.value;
  select.closest('label')?.toggleAttribute('hidden', options.length === 0);
}
