// @ts-check
/** The files of a message that is being written. They stay with its draft until it is sent. */
import * as files from '../state/files.js';
import { fill, words } from '../state/page.js';
import * as storage from '../state/storage.js';
import { fileLine } from './file.js';
import { toast } from './toast.js';

/** @typedef {import('../state/files.js').LocalFile} LocalFile */

/** The most that the server takes of one file. */
const LARGEST = 2 * 1024 ** 3;
const SHOWN = /^image\/(png|jpeg|gif|webp)$/;

export class Attached {
  #list;
  #key;
  #changed;
  /** Addresses of the previews. @type {string[]} */
  #urls = [];

  /** @param {HTMLElement} list @param {string} session @param {(count: number) => void} changed */
  constructor(list, session, changed) {
    this.#list = list;
    this.#key = `files:${session}`;
    this.#changed = changed;
    this.#draw();
  }

  /** @returns {LocalFile[]} */
  get files() {
    try {
      return JSON.parse(storage.get(this.#key) ?? '[]');
    } catch {
      return [];
    }
  }

  /** @param {Iterable<File>} chosen */
  add(chosen) {
    /** @type {LocalFile[]} */
    const more = [];
    for (const file of chosen) {
      if (file.size > LARGEST) {
        toast(fill(words.client.too_large ?? '', { name: file.name }));
        continue;
      }
      const key = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, '0')).join('');
      more.push({ key, name: file.name || 'file', type: file.type, size: file.size });
      this.#store([...this.files, ...more.slice(-1)]);
      files.keep(key, file);
    }
    if (more.length) this.#draw();
  }

  /** Takes files of a message that comes back. @param {LocalFile[]} back */
  restore(back) {
    this.#store([...back, ...this.files]);
    this.#draw();
  }

  /** Hands the files on to a message that is sent; their bytes stay. */
  take() {
    const taken = this.files;
    return { taken, forget: () => { this.#store([]); this.#draw(); } };
  }

  release() {
    this.#urls.forEach((url) => URL.revokeObjectURL(url));
    this.#urls = [];
  }

  /** @param {LocalFile[]} list */
  #store(list) {
    if (list.length) storage.set(this.#key, JSON.stringify(list));
    else storage.remove(this.#key);
  }

  #draw() {
    this.release();
    const { files: shown } = this;
    this.#list.replaceChildren(...shown.map((file) => this.#line(file)));
    this.#list.hidden = shown.length === 0;
    this.#changed(shown.length);
  }

  /** @param {LocalFile} file */
  #line(file) {
    const line = fileLine(file);
    if (SHOWN.test(file.type)) this.#preview(line, file.key);
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'remove';
    button.textContent = '×';
    button.setAttribute('aria-label', fill(words.client.remove_file ?? '', { name: file.name }));
    button.addEventListener('click', () => {
      this.#store(this.files.filter(({ key }) => key !== file.key));
      files.forget([file.key]);
      this.#draw();
    });
    line.append(button);
    return line;
  }

  /** @param {HTMLElement} line @param {string} key */
  async #preview(line, key) {
    const picture = document.createElement('img');
    picture.alt = '';
    line.prepend(picture);
    const bytes = await files.find(key);
    if (!bytes || !line.isConnected) return;
    const url = URL.createObjectURL(bytes);
    this.#urls.push(url);
    picture.src = url;
  }
}
