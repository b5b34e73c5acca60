for (const figure of document.querySelectorAll("figure.kmgan-frames:not([data-started])")) {
  figure.dataset.started = "";
  const frames = [...figure.querySelectorAll("img")];
  const [slider, output, button] = ["input", "output", "button"].map((name) => figure.querySelector(name));
  let timer = 0;
  const show = (wanted) => {
    const chosen = Math.max(0, Math.min(frames.length - 1, wanted));
    frames.forEach((frame, index) => { frame.hidden = index !== chosen; });
    slider.value = chosen;
    output.value = frames[chosen].dataset.label;
    slider.setAttribute("aria-valuetext", frames[chosen].dataset.label);
  };
  const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  const play = () => {
    if (Number(slider.value) === frames.length - 1) show(0);
    button.textContent = "Pause";
    timer = setInterval(() => {
      if (Number(slider.value) + 1 >= frames.length || !figure.isConnected) stop();
      else show(Number(slider.value) + 1);
    }, 600);
  };
  button.addEventListener("click", () => (timer ? stop() : play()));
  let start = null;
  for (const frame of frames) {
    frame.draggable = false;
    frame.addEventListener("pointerdown", (event) => {
      stop();
      start = { x: event.clientX, index: Number(slider.value), width: frame.clientWidth || 1 };
    });
  }
  figure.addEventListener("pointermove", (event) => {
    if (start) show(start.index + Math.round(((event.clientX - start.x) / start.width) * frames.length));
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
    figure.addEventListener(end, () => { start = null; });
  }
  slider.hidden = button.hidden = frames.length < 2;
  show(Number(slider.value));
  if (!("autoplay" in figure.dataset) || matchMedia("(prefers-reduced-motion: reduce)").matches) continue;
  const look = ([entry]) => { if (entry.isIntersecting) { seen.disconnect(); if (!timer) play(); } };
  const seen = new IntersectionObserver(look, { threshold: 0.5 });
  seen.observe(figure);
}
