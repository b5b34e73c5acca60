"""Pictures with a slider, in plain HTML: interaction that needs neither a kernel nor another host."""

from __future__ import annotations

import base64
from html import escape

# One figure carries all it needs, so that it works in a page, in Jupyter and in an exported notebook alike. The script
# starts every figure that has not been started; the slider's keys, touch and screen reader names are the browser's.
_STYLE = """
.kmgan-frames{max-width:48rem;margin:1rem 0;padding:.5rem;background:#fff;color:#222;border:1px solid #d0d5dd;
border-radius:.4rem;touch-action:pan-y}
.kmgan-frames [hidden]{display:none!important}
.kmgan-frames img{display:block;max-width:100%;height:auto;margin:0 auto;background:#fff}
.kmgan-frames figcaption{display:flex;flex-wrap:wrap;gap:.3rem .8rem;align-items:center;margin-top:.4rem;color:#222;
font-size:.9rem}
.kmgan-frames input{flex:1 1 8rem;min-width:6rem;height:1.6rem;accent-color:#3451b2}
.kmgan-frames button{min-width:4.2rem;min-height:2rem;border:1px solid #98a2b3;border-radius:.3rem;background:#fff;
color:#222;cursor:pointer}
.kmgan-frames output{min-width:8rem;color:#222;font-variant-numeric:tabular-nums}
@media (prefers-reduced-motion:reduce){.kmgan-frames button{display:none}}
@media print{.kmgan-frames input,.kmgan-frames button{display:none}}
"""

_SCRIPT = """
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
"""


def frames_html(
    images: list[bytes], labels: list[str], alt: str, mime: str = "image/png", *, poster: int | None = None
) -> str:
    """Return a figure that shows one of several encoded images, chosen by a slider.

    Readers move through the frames with the slider, its arrow keys, by dragging across the image, or with a button
    that plays them (hidden from readers who ask for less motion). Without JavaScript, and in print before anything was
    moved, the poster shows.

    Parameters
    ----------
    images : list of bytes
        The encoded images, in order, all of one size; about 20 KB each keeps a page light.
    labels : list of str
        What each frame is, such as ``"iteration 500"``; shown beside the slider and read to screen readers.
    alt : str
        What the images show, for readers who do not see them; each frame's label is added.
    mime : str
        Media type of the images, ``image/png`` or ``image/webp``.
    poster : int, optional
        Index of the image that shows first. Without one the last does, and the frames play once when they are seen,
        unless the reader asks for less motion.

    Returns
    -------
    str
        HTML for `IPython.display.HTML`: ``<figure class="kmgan-frames">`` with one ``<img>`` per frame, its own
        style and script.

    Raises
    ------
    ValueError
        If there are no images, or not as many labels as images.
    """
    if not images or len(images) != len(labels):
        raise ValueError(f"frames_html needs one label for each image; got {len(images)} and {len(labels)}")
    last = len(images) - 1
    first = last if poster is None else poster
    frames = "\n".join(
        f'<img src="data:{mime};base64,{base64.b64encode(image).decode()}" alt="{escape(f"{alt}: {label}")}"'
        f' data-label="{escape(label)}"{"" if index == first else " hidden"}>'
        for index, (image, label) in enumerate(zip(images, labels, strict=True))
    )
    autoplay = " data-autoplay" if poster is None else ""
    return (
        f'<style>{_STYLE}</style>\n<figure class="kmgan-frames"{autoplay}>\n{frames}\n<figcaption>'
        f'<button type="button" hidden>Play</button>'
        f'<input type="range" min="0" max="{last}" value="{first}" aria-label="{escape(alt)}" hidden>'
        f"<output>{escape(labels[first])}</output></figcaption>\n</figure>\n<script>{{{_SCRIPT}}}</script>"
    )
