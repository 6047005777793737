// @ts-check
/** The whole page is where files may be dropped; without this a browser would leave the page for them. */

const root = document.documentElement;

/** @param {(files: FileList) => void} attach */
export function start(attach) {
  const isFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files') ?? false;
  addEventListener('dragover', (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    root.dataset.dropping = '';
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) delete root.dataset.dropping;
  });
  addEventListener('drop', (event) => {
    delete root.dataset.dropping;
    if (!isFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer?.files.length) attach(event.dataTransfer.files);
  });
}
