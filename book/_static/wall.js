// The wall of evidence: which of its tiles show, by data set, method and failure.
{
  const start = (wall) => {
    wall.dataset.started = "";
    const tiles = [...wall.querySelectorAll("details")];
    const [data, method] = wall.querySelectorAll("select");
    const [failed, count] = [wall.querySelector("input"), wall.querySelector("output")];
    const show = () => {
      for (const tile of tiles) {
        const wanted = [data, method].every(({ name, value }) => !value || tile.dataset[name] === value);
        tile.hidden = !wanted || (failed.checked && !tile.classList.contains("failed"));
      }
      const left = tiles.filter((tile) => !tile.hidden);
      count.value = `${left.length} runs, ${left.filter((tile) => tile.classList.contains("failed")).length} failed`;
    };
    for (const control of [data, method, failed]) control.addEventListener("input", show);
    wall.querySelector("[hidden]").hidden = false;
    show();
  };
  for (const wall of document.querySelectorAll(".kmgan-wall:not([data-started])")) start(wall);
}
