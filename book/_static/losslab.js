// The loss lab: features on a plane, their centers, and the gradients of Eqs. (4) to (7). A classic script without
// libraries or requests; the tests run this file and compare it with autograd on kmgan_lib.losses.
{
  const EPS = 1e-12; // under a square root, as in kmgan_lib.losses
  const KINDS = ["real", "fake", "centers", "fakeCenters"];
  const zeros = (points) => points.map(() => [0, 0]);
  const add = (total, more, factor = 1) => total.forEach((row, i) => row.forEach((_, j) => { row[j] += factor * more[i][j]; }));

  /** Index of the nearest center of each feature. */
  const nearest = (features, centers) => features.map(([x, y]) => {
    const far = centers.map(([a, b]) => (x - a) ** 2 + (y - b) ** 2);
    return far.indexOf(Math.min(...far));
  });

  /** The fraction of Eq. (4): every center averaged with the features of its cluster; and 1 + n of each. */
  const updated = (centers, features, labels) => {
    const counts = centers.map(() => 1);
    const sums = centers.map((center) => [...center]);
    features.forEach((feature, i) => { counts[labels[i]] += 1; sums[labels[i]][0] += feature[0]; sums[labels[i]][1] += feature[1]; });
    return [sums.map(([x, y], m) => [x / counts[m], y / counts[m]]), counts];
  };

  /** Norm of the whole block of differences, Eqs. (5) and (6), and its gradient with respect to the features. */
  const block = (features, targets) => {
    const differences = features.map(([x, y], i) => [x - targets[i][0], y - targets[i][1]]);
    const norm = Math.sqrt(differences.reduce((sum, [x, y]) => sum + x * x + y * y, EPS));
    return [norm, differences.map(([x, y]) => [x / norm, y / norm])];
  };

  /** Eq. (4), with the norm outside the sums as printed or center by center. */
  const centerLoss = ({ real, fake, labels, fakeLabels, centers, fakeCenters }, perCluster) => {
    const [a, na] = updated(centers, real, labels);
    const [b, nb] = updated(fakeCenters, fake, fakeLabels);
    const gaps = a.map(([x, y], m) => [x - b[m][0], y - b[m][1]]);
    const total = gaps.reduce(([x, y], [u, v]) => [x + u, y + v], [0, 0]);
    const size = ([x, y]) => Math.abs(x) + Math.abs(y);
    const sign = (m) => (perCluster ? gaps[m] : total).map(Math.sign);
    return {
      loss: perCluster ? gaps.reduce((sum, gap) => sum + size(gap), 0) : size(total),
      real: labels.map((m) => sign(m).map((s) => s / na[m])),
      fake: fakeLabels.map((m) => sign(m).map((s) => -s / nb[m])),
    };
  };

  /** Sum of the L1 distances of all pairs, divided by `by`, and the gradients with respect to both sides. */
  const pairs = (left, right, by) => {
    const [onLeft, onRight] = [zeros(left), zeros(right)];
    let loss = 0;
    left.forEach((p, i) => right.forEach((q, j) => [0, 1].forEach((axis) => {
      loss += Math.abs(p[axis] - q[axis]) / by;
      onLeft[i][axis] += Math.sign(p[axis] - q[axis]) / by;
      onRight[j][axis] -= Math.sign(p[axis] - q[axis]) / by;
    })));
    return [loss, onLeft, onRight];
  };

  /** The sums of Eq. (7) as means over ordered pairs ("mean") or over unordered ones ("pairs"), with their gradients. */
  const pairLosses = ({ real, fake }, reduction) => {
    const by = (n) => (reduction === "pairs" ? 2 * n * (n - 1) : n * n);
    const [a, a1, a2] = pairs(real, real, by(real.length));
    const [b, b1, b2] = pairs(fake, fake, by(fake.length));
    add(a1, a2);
    add(b1, b2);
    const [c, c1, c2] = pairs(real, fake, real.length * fake.length);
    return { intra: { loss: a + b, real: a1, fake: b1 }, inter: { loss: c, real: c1, fake: c2 } };
  };

  /** Every objective of a state with its gradient at every feature: `D` and `G` by Eqs. (5) to (7), `center` by (4). */
  const objectives = (state, { push = true, lambda = 0, reduction = "mean", perCluster = false } = {}) => {
    const { real, fake, labels, fakeLabels, centers } = state;
    const [pull, onReal] = block(real, labels.map((m) => centers[m]));
    const [away, onFake] = block(fake, fakeLabels.map((m) => centers[m]));
    const { intra, inter } = pairLosses(state, reduction);
    const D = { loss: pull + lambda * (intra.loss - inter.loss) - (push ? away : 0), real: onReal, fake: zeros(fake) };
    if (push) add(D.fake, onFake, -1);
    for (const side of ["real", "fake"]) { add(D[side], intra[side], lambda); add(D[side], inter[side], -lambda); }
    const G = { loss: away + lambda * inter.loss, real: zeros(real), fake: onFake.map((row) => [...row]) };
    add(G.fake, inter.fake, lambda);
    return { D, G, center: centerLoss(state, perCluster), intra, inter };
  };

  const copy = (points) => points.map((point) => [...point]);

  /** All features and centers drawn together to their mean, by a factor: what a D that shrinks does. */
  const shrunk = (now, factor) => {
    const all = KINDS.flatMap((kind) => now[kind]);
    const mean = [0, 1].map((axis) => all.reduce((sum, p) => sum + p[axis], 0) / all.length);
    const draw = (points) => points.map((p) => p.map((value, axis) => mean[axis] + factor * (value - mean[axis])));
    return Object.fromEntries(KINDS.map((kind) => [kind, draw(now[kind])]));
  };
  /** A state with labels: nearest real centers, or by chance. */
  const labeled = (now, random) => {
    const label = (features) => (random ? features.map(() => Math.floor(random() * now.centers.length)) : nearest(features, now.centers));
    return { ...now, labels: label(now.real), fakeLabels: label(now.fake) };
  };

  /** Every generated feature and center on the mean of the real centers: Eq. (4) as printed is 0 there. */
  const heap = (now) => {
    const [moved] = updated(now.centers, now.real, nearest(now.real, now.centers));
    const mean = [0, 1].map((axis) => moved.reduce((sum, p) => sum + p[axis], 0) / moved.length);
    return { ...now, fake: now.fake.map(() => [...mean]), fakeCenters: now.centers.map(() => [...mean]) };
  };

  const RATE = 0.04;

  /** One iteration in which every feature follows its own arrow: D, then G, then the center loss, then the centers. */
  const iterate = (now, options, random) => {
    const state = labeled(now, options.random ? random : null);
    for (const name of ["D", "G", "center"]) {
      const found = objectives(state, options)[name];
      for (const side of ["real", "fake"]) state[side] = state[side].map((p, i) => p.map((v, j) => v - RATE * found[side][i][j]));
    }
    [state.centers] = updated(state.centers, state.real, state.labels);
    [state.fakeCenters] = updated(state.fakeCenters, state.fake, state.fakeLabels);
    return state;
  };
  const SVG = "http://www.w3.org/2000/svg";
  const VIEW = 1.35; // the plane from -VIEW to VIEW
  const NAMES = { real: "real feature", fake: "generated feature", centers: "real center", fakeCenters: "generated center" };
  const SHAPES = {
    real: "M.035 0A.035 .035 0 1 1 -.035 0A.035 .035 0 1 1 .035 0Z",
    fake: "M0 -.045L.045 0L0 .045L-.045 0Z",
    centers: "M-.06 -.06L.06 .06M-.06 .06L.06 -.06",
    fakeCenters: "M-.07 0H.07M0 -.07V.07",
  };

  const start = (figure) => {
    figure.dataset.started = "";
    const given = JSON.parse(figure.querySelector("script").textContent);
    const find = (name) => figure.querySelector(`[data-lab="${name}"]`);
    const [plane, scale, said] = [find("plane"), find("scale"), find("said")];
    const make = (name, parent, attributes = {}) => {
      const element = parent.appendChild(document.createElementNS(SVG, name));
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    let [base, chosen, timer, dice] = [null, ["fake", 0], 0, null];

    const options = () => ({
      push: find("push").checked, perCluster: find("corresponding").checked, random: find("random").checked,
      lambda: Number(find("lambda").value), reduction: find("reduction").value,
    });
    const reset = () => {
      const k = Number(find("k").value);
      base = Object.fromEntries(KINDS.map((kind) => [kind, copy(given[kind])]));
      for (const kind of ["centers", "fakeCenters"]) base[kind] = base[kind].slice(0, k);
      chosen = ["fake", 0];
      scale.value = 100;
    };
    const now = () => (scale.value === "100" ? base : shrunk(base, scale.value / 100));
    const labels = () => { // by chance they stay until they are drawn anew
      if (!find("random").checked) dice = null;
      else if (!dice || Math.max(...dice.labels, ...dice.fakeLabels) >= base.centers.length) dice = labeled(base, Math.random);
      const state = now();
      return dice ? { ...state, labels: dice.labels, fakeLabels: dice.fakeLabels } : labeled(state);
    };

    const place = ([x, y]) => `translate(${x.toFixed(4)} ${(-y).toFixed(4)})`;
    const paint = () => {
      const [state, o] = [labels(), options()];
      const found = objectives(state, o);
      const arrows = found[find("objective").value];
      const far = 0.28 * scale.value / 100; // the longest arrow
      plane.querySelector("[data-lab=drawn]")?.remove();
      const drawn = make("g", plane, { "data-lab": "drawn" });
      [["real", state.labels], ["fake", state.fakeLabels]].forEach(([kind, own]) => state[kind].forEach(([x, y], i) => {
        const [cx, cy] = state.centers[own[i]];
        make("line", drawn, { class: "lab-tie", x1: x, y1: -y, x2: cx, y2: -cy });
      }));
      const longest = Math.max(...["real", "fake"].flatMap((kind) => arrows[kind].map(([x, y]) => Math.hypot(x, y))));
      for (const kind of KINDS) {
        state[kind].forEach((point, i) => {
          if (arrows[kind] && longest > 1e-9 && Math.abs(arrows.loss) > 1e-9) { // at a kink there is no direction
            const [dx, dy] = arrows[kind][i].map((value) => (-far * value) / longest);
            const length = Math.hypot(dx, dy);
            if (length > 0.004) {
              const head = make("path", drawn, { class: `lab-arrow lab-${kind}` });
              const [x, y] = [point[0] + dx, -point[1] - dy];
              const [ux, uy] = [dx / length, -dy / length];
              const [bx, by, w] = [x - 0.18 * far * ux, y - 0.18 * far * uy, 0.09 * far];
              head.setAttribute("d", `M${point[0]} ${-point[1]}L${x} ${y}M${bx - w * uy} ${by + w * ux}L${x} ${y}L${bx + w * uy} ${by - w * ux}`);
            }
          }
          make("path", drawn, { class: `lab-point lab-${kind}`, d: SHAPES[kind], transform: place(point) });
        });
      }
      make("circle", drawn, { class: "lab-chosen", r: 0.1, transform: place(state[chosen[0]][chosen[1]]) });
      const values = {
        center: centerLoss(state, false).loss, corresponding: centerLoss(state, true).loss, D: found.D.loss, G: found.G.loss,
        pairs: found.intra.loss - found.inter.loss,
      };
      for (const [name, value] of Object.entries(values)) find(`value-${name}`).textContent = value.toFixed(2).replace("-", "−");
      find("k-value").textContent = base.centers.length;
      find("lambda-value").textContent = o.lambda;
      find("scale-value").textContent = `${scale.value}%`;
      return values;
    };

    const keep = () => { base = now(); scale.value = 100; }; // what was shrunk is the new start
    const play = find("play");
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Follow the arrows"; };
    const every = (action) => {
      stop();
      play.textContent = "Stop";
      timer = setInterval(() => { if (!figure.isConnected || action() === false) stop(); paint(); }, 40);
    };
    const follow = (most) => {
      keep();
      let left = most;
      every(() => {
        dice = null;
        base = iterate(base, options(), Math.random);
        left -= 1;
        return left > 0 && KINDS.every((kind) => base[kind].flat().every((value) => Math.abs(value) < VIEW));
      });
    };
    const shrink = () => {
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) { scale.value = 10; return; }
      every(() => { scale.value = Number(scale.value) - 2; return Number(scale.value) > 10; });
    };
    const set = (wanted) => {
      stop();
      const all = { k: 4, lambda: 0, push: true, corresponding: false, random: false, reduction: "mean", objective: "D", ...wanted };
      for (const [name, value] of Object.entries(all)) find(name)[typeof value === "boolean" ? "checked" : "value"] = value;
      dice = null;
      reset();
    };
    const before = (text) => { paint(); said.textContent = text(paint()); };
    const f = (value) => value.toFixed(2).replace("-", "−");
    const scenes = {
      sum: () => {
        set({ objective: "center" });
        base = heap(base);
        before((v) => `Every generated feature and center now lies in one heap, on the mean of the real centers. Eq. (4) as printed is ${f(v.center)}: it compares two sums, and the sums agree, so no arrow is left. Now tick “corresponding centers”: the same heap costs ${f(v.corresponding)}. Or drag one generated center, and another one just as far in the opposite direction.`);
      },
      push: () => {
        set({ push: false });
        const pushed = objectives(labels(), { push: true }).D.loss;
        before((v) => `Algorithm 2 only pulls, so L_D is a norm, here ${f(v.D)}. Shrink all features to a tenth, centers included, and it is a tenth: nothing stops D on its way to a single point, where L_D is 0 whatever the images are. With the push L_D is ${f(pushed)} for the same features: generated features lie farther from the centers than real ones, so shrinking costs and growing pays. Tick the push, and move “shrink all to”.`);
        shrink();
      },
      lambda: () => {
        set({ lambda: 5 });
        base.fake = copy(given.alike);
        const { intra, inter } = pairLosses(base, "pairs");
        before((v) => `The generator has succeeded: generated features are distributed like real ones. Over ordered pairs L_intra − L_inter is still ${f(v.pairs)}, since L_intra counts two batches and L_inter one. With λ = 5 that is nearly all of L_D = ${f(v.D)}, and D lowers it by shrinking everything: λ flattens. Over unordered pairs the difference is ${f(intra.loss - inter.loss)}, and shrinking gains next to nothing.`);
        shrink();
      },
      random: () => {
        set({ random: true });
        before(() => "Random labels: each feature is pulled to a random center, chosen anew in every iteration. On average that is a pull to the mean of all centers, and each center becomes the mean of a random part of the batch: they merge.");
        follow(60);
      },
      again: () => { set({}); said.textContent = ""; },
    };
    for (const button of figure.querySelectorAll("button[data-scene]")) button.addEventListener("click", () => { scenes[button.dataset.scene](); paint(); });
    play.addEventListener("click", () => (timer ? stop() : follow(400)));
    for (const name of ["objective", "push", "corresponding", "random", "lambda", "reduction", "scale"]) find(name).addEventListener("input", () => { if (name === "scale") stop(); paint(); });
    find("k").addEventListener("input", () => { stop(); reset(); paint(); });

    const spot = (event) => {
      const box = plane.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width * 2 - 1) * VIEW, -((event.clientY - box.top) / box.height * 2 - 1) * VIEW];
    };
    const hit = (event) => {
      const [x, y] = spot(event);
      const all = KINDS.flatMap((kind) => now()[kind].map((p, i) => [Math.hypot(p[0] - x, p[1] - y) - (kind.endsWith("enters") ? 0.03 : 0), kind, i]));
      const [near] = all.sort((a, b) => a[0] - b[0]);
      return near[0] < 0.12 ? near.slice(1) : null;
    };
    const move = ([x, y]) => { base[chosen[0]][chosen[1]] = [x, y].map((v) => Math.max(-VIEW, Math.min(VIEW, v))); paint(); };
    let held = false;
    plane.addEventListener("touchstart", (event) => { if (hit(event.touches[0])) event.preventDefault(); }, { passive: false });
    plane.addEventListener("pointerdown", (event) => {
      const found = hit(event);
      if (!found) return;
      stop();
      keep();
      [chosen, held] = [found, true];
      plane.setPointerCapture(event.pointerId);
      paint();
    });
    plane.addEventListener("pointermove", (event) => { if (held) move(spot(event)); });
    for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { held = false; });
    plane.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] }[event.key];
      const turn = { PageDown: 1, PageUp: -1 }[event.key];
      if (!step && !turn) return;
      event.preventDefault();
      stop();
      keep();
      if (step) move(base[chosen[0]][chosen[1]].map((v, i) => v + step[i]));
      else {
        const all = KINDS.flatMap((kind) => base[kind].map((_, i) => [kind, i]));
        const at = all.findIndex(([kind, i]) => kind === chosen[0] && i === chosen[1]);
        chosen = all[(at + turn + all.length) % all.length];
        paint();
      }
      find("chosen").textContent = `${NAMES[chosen[0]]} ${chosen[1] + 1} at ${base[chosen[0]][chosen[1]].map((v) => f(v)).join(", ")}`;
    });
    for (const still of figure.querySelectorAll("img")) still.remove();
    for (const hidden of figure.querySelectorAll("[hidden]")) hidden.removeAttribute("hidden");
    set({});
    paint();
  };

  if (typeof document === "undefined") module.exports = { nearest, updated, objectives, labeled, shrunk, heap, iterate };
  else for (const figure of document.querySelectorAll("figure.kmgan-losslab:not([data-started])")) start(figure);
}
