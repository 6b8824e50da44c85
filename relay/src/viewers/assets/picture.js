// A canvas that shows the newest of the pictures that it is given.
//
// A browser's own image cannot be put in its place: some show a picture only
// when the next one comes, one bad picture stops them, and they have six
// connections to a host.

export class Picture {
  #canvas;
  #next;
  #decoding = false;

  // The part whose picture is seen.
  shown;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  // At most one picture is being decoded, and at most one waits: the newest.
  show(part) {
    this.#next = part;
    if (!this.#decoding) this.#decode();
  }

  async #decode() {
    this.#decoding = true;
    while (this.#next) {
      const part = this.#next;
      this.#next = undefined;
      try {
        const bitmap = await createImageBitmap(new Blob([part.jpeg], { type: 'image/jpeg' }));
        this.#draw(bitmap);
        bitmap.close();
        this.shown = { captured: part.captured };
      } catch (error) {
        // A picture that does not decode is passed over.
      }
    }
    this.#decoding = false;
  }

  #draw(bitmap) {
    const canvas = this.#canvas;
    // No more pixels than can be seen, which matters where there are many
    // pictures. A canvas that is not laid out yet has no width.
    const seen = (canvas.clientWidth || bitmap.width) * window.devicePixelRatio;
    const scale = Math.min(1, seen / bitmap.width);
    const width = Math.round(bitmap.width * scale);
    const height = Math.round(bitmap.height * scale);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext('2d', { alpha: false });
    context.imageSmoothingQuality = 'medium';
    context.drawImage(bitmap, 0, 0, width, height);
  }
}
