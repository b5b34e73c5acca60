// Recorded trainings that play in the page: one image holds all frames, a line in the curves says where one is.
// A classic script without libraries or requests, so that it runs from a file, too.
{
  const start = (figure) => {
    figure.dataset.started = "";
    const { frames, across, rows, length } = JSON.parse(figure.querySelector("script").textContent);
    const [slider, output, button] = ["input", "output", "button"].map((name) => figure.querySelector(name));
    const [images, cursors] = [".replay-frame", ".replay-cursor"].map((name) => [...figure.querySelectorAll(name)]);
    const last = frames.length - 1;
    const show = (wanted) => {
      const at = Math.max(0, Math.min(last, Math.round(wanted)));
      const [x, y] = [(at % across) / (across - 1), Math.floor(at / across) / Math.max(1, rows - 1)];
      for (const image of images) image.style.backgroundPosition = `${100 * x}% ${100 * y}%`;
      for (const cursor of cursors) {
        const place = (frames[at] / length) * cursor.ownerSVGElement.viewBox.baseVal.width;
        for (const end of ["x1", "x2"]) cursor.setAttribute(end, place);
      }
      slider.value = at;
      output.value = `iteration ${frames[at].toLocaleString("en")}`;
      slider.setAttribute("aria-valuetext", output.value);
    };
    let timer = 0;
    const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
    const play = () => {
      if (Number(slider.value) === last) show(0);
      button.textContent = "Pause";
      timer = setInterval(() => {
        if (!figure.isConnected || Number(slider.value) === last) stop();
        else show(Number(slider.value) + 1);
      }, 200);
    };
    button.addEventListener("click", () => (timer ? stop() : play()));
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    for (const image of images) {
      let held = null;
      image.addEventListener("pointerdown", (event) => {
        stop();
        image.setPointerCapture(event.pointerId);
        held = { x: event.clientX, at: Number(slider.value) };
      });
      image.addEventListener("pointermove", (event) => {
        if (held) show(held.at + ((event.clientX - held.x) / image.clientWidth) * last);
      });
      for (const end of ["pointerup", "pointercancel"]) image.addEventListener(end, () => { held = null; });
    }
    figure.querySelector(".live-controls").hidden = false;
    show(last);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const look = ([entry]) => { if (entry.isIntersecting) { seen.disconnect(); if (!timer) play(); } };
    const seen = new IntersectionObserver(look, { threshold: 0.3 });
    seen.observe(figure);
  };
  for (const figure of document.querySelectorAll("figure.kmgan-replay:not([data-started])")) start(figure);
}
