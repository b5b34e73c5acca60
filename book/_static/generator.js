// A recorded generator in the page: its forward pass, and the figure in which it draws. A classic script without
// libraries or requests, so that it runs from a file, too; the tests run this file and compare it with PyTorch.
{
  const bytes = (text) => {
    const chars = atob(text);
    const array = new Uint8Array(chars.length);
    for (let i = 0; i < array.length; i++) array[i] = chars.charCodeAt(i);
    return array.buffer;
  };
  /** Half precision, by its bits, as single precision. */
  const widen = (halves) => {
    const wide = new Float32Array(halves.length);
    for (let i = 0; i < wide.length; i++) {
      const [exponent, fraction] = [(halves[i] >> 10) & 31, (halves[i] & 1023) / 1024];
      wide[i] = (halves[i] & 0x8000 ? -1 : 1) * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
    }
    return wide;
  };

  /** What live.py has written, as layers with their weights. */
  const read = (spec) => {
    const [weights, affine] = [widen(new Uint16Array(bytes(spec.weights))), new Float32Array(bytes(spec.affine))];
    let [w, a] = [0, 0];
    const layers = spec.layers.map(({ kind, inputs, outputs, side }) => {
      const count = (inputs + spec.classes) * outputs * (kind === "up" ? 25 : 1); // 5 x 5 kernels
      const [scale, shift] = [affine.subarray(a, a += outputs), affine.subarray(a, a += outputs)];
      return { kind, inputs, outputs, side, scale, shift, weights: weights.subarray(w, w += count) };
    });
    return { ...spec, layers };
  };

  /** Fully connected. The label is a one among zeros behind the inputs. */
  const connect = (x, { inputs, outputs, weights }, label) => {
    const [y, width] = [new Float32Array(outputs), weights.length / outputs];
    for (let j = 0; j < outputs; j++) {
      let sum = width > inputs ? weights[j * width + inputs + label] : 0;
      for (let i = 0, o = j * width; i < inputs; i++) sum += weights[o + i] * x[i];
      y[j] = sum;
    }
    return y;
  };

  /** Transposed 5x5 convolution with stride 2. The label is a map of ones among maps of zeros behind the inputs. */
  const convolve = (x, { inputs, outputs, side, weights }, label) => {
    const [size, wide] = [2 * side, 2 * side + 3]; // what the kernels cover: two rows and columns before, one behind
    const [y, inner] = [outputs * wide * wide, outputs * size * size].map((length) => new Float32Array(length));
    const conditional = weights.length > inputs * outputs * 25;
    for (let i = 0; i < inputs + (conditional ? 1 : 0); i++) {
      const kernels = (i < inputs ? i : inputs + label) * outputs * 25;
      for (let row = 0; row < side; row++) {
        for (let column = 0; column < side; column++) {
          const value = i < inputs ? x[(i * side + row) * side + column] : 1;
          if (value === 0) continue; // half of what comes out of a ReLU
          for (let c = 0, k = kernels; c < outputs; c++) {
            let o = (c * wide + 2 * row) * wide + 2 * column;
            for (let u = 0; u < 5; u++, o += wide - 5) for (let v = 0; v < 5; v++) y[o++] += value * weights[k++];
          }
        }
      }
    }
    for (let line = 0; line < outputs * size; line++) {
      const o = (Math.floor(line / size) * wide + (line % size) + 2) * wide + 2;
      inner.set(y.subarray(o, o + size), line * size);
    }
    return inner;
  };

  /** One image, channel by channel in [0, 1], for one noise vector. */
  const generate = (network, noise, label = 0) => network.layers.reduce((x, layer, index) => {
    const y = (layer.kind === "up" ? convolve : connect)(x, layer, label);
    const [area, last] = [y.length / layer.outputs, index === network.layers.length - 1];
    for (let i = 0; i < y.length; i++) {
      const value = layer.scale[(i / area) | 0] * y[i] + layer.shift[(i / area) | 0]; // batch normalization
      y[i] = !last ? Math.max(0, value) : network.signed ? (Math.tanh(value) + 1) / 2 : 1 / (1 + Math.exp(-value));
    }
    return y;
  }, noise);

  const start = (figure) => {
    figure.dataset.started = "";
    const { z, images, columns, side, ...given } = JSON.parse(figure.querySelector("script").textContent);
    const [networks, count] = [given.networks.map(read), images * z];
    const [play, again] = figure.querySelectorAll("button");
    const [slider, output] = ["input", "output"].map((name) => figure.querySelector(name));
    const canvases = [...figure.querySelectorAll("canvas")];
    const one = () => 2 * Math.random() - 1; // of uniform noise, or of normal noise
    const draw = given.normal ? () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(Math.PI * one()) : one;
    const fresh = () => Float32Array.from({ length: count }, draw);
    let [from, to] = [0, 1].map((end) => widen(new Uint16Array(bytes(given.noise), 2 * end * count, count)));
    const paint = () => {
      const [share, began] = [slider.value / slider.max, performance.now()];
      const noise = from.map((value, i) => (1 - share) * value + share * to[i]);
      networks.forEach((network, n) => {
        for (let image = 0; image < images; image++) {
          const pixels = generate(network, noise.subarray(image * z, (image + 1) * z), image % (network.classes || 1));
          const [colors, area] = [new Uint8ClampedArray(4 * side * side), side * side];
          for (let i = 0; i < colors.length; i++) {
            colors[i] = i % 4 === 3 ? 255 : 255 * pixels[Math.min(i % 4, pixels.length / area - 1) * area + (i >> 2)];
          }
          const [left, top] = [image % columns, Math.floor(image / columns)].map((place) => place * (side + 1));
          canvases[n].getContext("2d").putImageData(new ImageData(colors, side), left, top);
        }
      });
      slider.setAttribute("aria-valuetext", `${Math.round(100 * share)}% of the way`);
      output.value = `${networks.length * images} images in ${Math.round(performance.now() - began)} ms`;
    };
    const show = (share) => { slider.value = share * slider.max; paint(); };
    let playing = 0; // 0: no, 1: to the end of the way, 2: on from there
    const stop = () => { playing = 0; play.textContent = "Play"; };
    const run = (how) => {
      playing = how;
      play.textContent = "Pause";
      let last = performance.now();
      const step = (now) => {
        if (!playing || !figure.isConnected) return;
        const share = slider.value / slider.max + Math.min(now - last, 100) / 3000;
        last = now;
        if (share >= 1 && playing === 2) [from, to] = [to, fresh()];
        show(share < 1 ? share : playing === 2 ? share - 1 : 1);
        if (share >= 1 && playing === 1) stop();
        else requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    };
    play.addEventListener("click", () => (playing ? stop() : run(2)));
    again.addEventListener("click", () => { [from, to] = [fresh(), fresh()]; paint(); });
    slider.addEventListener("input", () => { stop(); paint(); });
    for (const canvas of canvases) {
      let held = null;
      canvas.addEventListener("pointerdown", (event) => {
        stop();
        canvas.setPointerCapture(event.pointerId);
        held = { x: event.clientX, share: slider.value / slider.max };
      });
      canvas.addEventListener("pointermove", (event) => {
        if (held) show(Math.max(0, Math.min(1, held.share + (event.clientX - held.x) / canvas.clientWidth)));
      });
      for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });
    }
    for (const still of figure.querySelectorAll("img")) still.remove();
    for (const each of figure.querySelectorAll("[hidden]")) each.hidden = false;
    paint();
    const look = ([entry]) => { if (entry.isIntersecting) { seen.disconnect(); run(1); } };
    const seen = new IntersectionObserver(look, { threshold: 0.5 });
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) seen.observe(figure);
  };

  if (typeof document === "undefined") module.exports = { read, generate };
  else for (const figure of document.querySelectorAll("figure.kmgan-generator:not([data-started])")) start(figure);
}
