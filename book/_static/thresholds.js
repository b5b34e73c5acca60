// Move the threshold: the conditions of the ledger (kmgan_book/conditions.py) once more, on the values of the records,
// with one number of the rule in the reader's hand. The tests compare its verdicts with Python's.
{
  const SCORE = "classifier_score.value";
  const DISTANCES = ["classifier_frechet", "fid", "fid768"]; // lower is better, and quotients count
  const isDistance = (measure) => DISTANCES.includes(measure.split(".")[0]);
  const finite = Number.isFinite;
  const value = (record, measure) => (record.diverged ? (isDistance(measure) ? Infinity : -Infinity) : record.values[measure]);
  const mean = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;

  /** A test that computes each answer once: most numbers of a rule leave the values that it compares alone. */
  const remembered = (test) => {
    const known = new Map();
    return (...groups) => {
      const key = groups.join(";");
      if (!known.has(key)) known.set(key, test(...groups));
      return known.get(key);
    };
  };

  const choose = (n, k) => { let ways = 1; for (let i = 1; i <= k; i++) ways *= (n - k + i) / i; return ways; };
  /** Fisher's exact test that the first failure rate is higher, one-sided. */
  const failsMore = (a, n, b, m) => {
    let p = 0;
    for (let x = a; x <= Math.min(n, a + b); x++) if (a + b - x <= m) p += choose(n, x) * choose(m, a + b - x);
    return p / choose(n + m, a + b);
  };
  const wilson = (k, n) => {
    const [z, p] = [1.959963984540054, k / n];
    const half = z * Math.sqrt((p * (1 - p) + (z * z) / (4 * n)) / n);
    return [p + (z * z) / (2 * n) - half, p + (z * z) / (2 * n) + half].map((end) => end / (1 + (z * z) / n));
  };
  /** Newcombe's 95 % interval of the difference of two rates. */
  const rateGap = (a, n, b, m) => {
    const [p, q, [l1, u1], [l2, u2]] = [a / n, b / m, wilson(a, n), wilson(b, m)];
    return [p - q - Math.hypot(p - l1, u2 - q), p - q + Math.hypot(u1 - p, q - l2)];
  };
  /** Exact test that gaps lie below 0: share of the choices of signs with a sum at most the one found. */
  const signFlip = remembered((gaps) => {
    if (gaps.length < 2) return 1;
    const largest = Math.max(0, ...gaps.filter(finite).map(Math.abs)) || 1;
    const beyond = gaps.length + 1;
    const shares = gaps.map((gap) => Math.max(-beyond, Math.min(beyond, gap / largest)));
    const sums = (part) => part.reduce((all, share) => all.flatMap((sum) => [sum + share, sum - share]), [0]);
    const half = gaps.length >> 1; // each sum is one of the first half and one of the other: counted without listing all
    const [first, other] = [sums(shares.slice(0, half)), sums(shares.slice(half))];
    const found = first[0] + other[0] + 1e-12 * beyond;
    other.sort((a, b) => a - b);
    let [count, fit] = [0, other.length];
    for (const sum of first.sort((a, b) => a - b)) {
      while (fit > 0 && sum + other[fit - 1] > found) fit--;
      count += fit;
    }
    return count / (first.length * other.length);
  });
  /** Exact test of ranks that values lie below others: share of the ways to deal the ranks. */
  const ranks = remembered((values, others) => {
    if (Math.min(values.length, others.length) < 2) return 1;
    const pooled = [...values, ...others];
    const doubled = pooled.map((a) => pooled.filter((b) => b < a).length * 2 + pooled.filter((b) => b === a).length + 1);
    let ways = new Map([["0,0", 1]]); // how many choices of so many ranks have this sum
    for (const rank of doubled) {
      const next = new Map(ways);
      for (const [key, count] of ways) {
        const [n, sum] = key.split(",").map(Number);
        if (n < values.length) next.set(`${n + 1},${sum + rank}`, (next.get(`${n + 1},${sum + rank}`) ?? 0) + count);
      }
      ways = next;
    }
    const found = doubled.slice(0, values.length).reduce((sum, rank) => sum + rank, 0);
    const full = [...ways].map(([key, count]) => [...key.split(",").map(Number), count]).filter(([n]) => n === values.length);
    const total = (rows) => rows.reduce((sum, row) => sum + row[2], 0);
    return total(full.filter((row) => row[1] <= found)) / total(full);
  });

  /** Whether the records meet a condition of a rule. */
  const isMet = (condition, rule) => {
    const [[kind, given]] = Object.entries(condition);
    if (kind === "not") return !isMet(given, rule);
    if (kind === "any" || kind === "all") return given[kind === "any" ? "some" : "every"]((part) => isMet(part, rule));
    const failed = (record) => record.diverged || record.values[SCORE] < rule.failed;
    const count = (group) => group.filter(failed).length;
    const rates = (other) => [rule.found[given.of], rule.found[other]].flatMap((group) => [count(group), group.length]);
    const { times = 1, plus = 0 } = given;
    const above = "above" in given;
    const bound = above ? given.above : given.below;
    const within = (number, limit) => finite(number) && finite(limit) && (above ? number > limit : number < limit);
    const limits = (group) => {
      if (typeof bound === "number") return group.map(() => bound);
      const scaled = (number) => (bound.times ?? 1) * number + (bound.plus ?? 0);
      const measure = bound.measure ?? given.measure;
      if (!bound.of) return group.map((record) => scaled(value(record, measure)));
      const other = scaled(mean(rule.found[bound.of].map((record) => value(record, measure))));
      return group.map(() => other);
    };
    const of = rule.found[given.of];
    switch (kind) {
      case "count": {
        const n = of.filter((record) => Boolean(failed(record)) === given.failed).length;
        return given.all ? n === of.length : "at_least" in given ? n >= given.at_least : n <= given.at_most;
      }
      case "fails_more": return failsMore(...rates(given.than)) < rule.level;
      case "rate_gap": {
        const [low, high] = rateGap(...rates(given.less));
        return above ? low > bound : high < bound;
      }
      case "every": {
        const group = of.filter((record) => !(given.alive && failed(record)));
        const all = limits(group);
        return group.length > 0 && group.every((record, i) => within(value(record, given.measure), all[i]));
      }
      case "mean": return within(mean(of.map((record) => value(record, given.measure))), mean(limits(of)));
      case "paired": {
        const gaps = of.flatMap((record) => {
          const other = rule.found[given.against].find(({ seed }) => seed === record.seed);
          if (!other) return [];
          const [mine, limit] = [value(record, given.measure), times * value(other, given.measure) + plus];
          if (mine === limit) return [0];
          const logarithm = (x) => (x > 0 ? Math.log(x) : -Infinity);
          if (!isDistance(given.measure)) return [mine - limit];
          return [logarithm(mine) === logarithm(limit) ? 0 : logarithm(mine) - logarithm(limit)];
        });
        return signFlip(given.lower ? gaps : gaps.map((gap) => -gap)) <= (given.level ?? rule.level);
      }
      case "ranks": {
        const ours = of.map((record) => value(record, given.measure));
        const theirs = rule.found[given.against].map((record) => times * value(record, given.measure) + plus);
        return (given.lower ? ranks(ours, theirs) : ranks(theirs, ours)) <= (given.level ?? rule.level);
      }
      default: throw new Error(`unknown condition ${kind}`);
    }
  };

  /** The verdict of a rule: the first word whose conditions are all met. */
  const judge = (rule) => {
    const all = (part) => (rule.parts[part] ?? []).every((condition) => isMet(condition, rule));
    if (!all("gate")) return rule.words.untestable;
    const met = ["untestable", "holds", "partly", "fails"].find((part) => rule.parts[part]?.length && all(part));
    return rule.words[met ?? "undecided"];
  };

  /** The rule with another number in the places of a knob. */
  const turned = (rule, knob, number) => {
    const changed = { ...rule, parts: structuredClone(rule.parts) };
    for (const path of knob.paths) {
      const [last, ...way] = [...path].reverse();
      way.reverse().reduce((inner, key) => inner[key], changed)[last] = number;
    }
    return changed;
  };

  /** Stretches of a knob's range with one verdict each: [from, to, word]. The ends are found by halving. */
  const stretches = (rule, knob) => {
    const word = (number) => judge(turned(rule, knob, number));
    const found = [[knob.low, knob.low, word(knob.low)]];
    const search = (a, b, next) => {
      const last = found.at(-1);
      if (next === last[2]) return;
      const middle = (a + b) / 2;
      if (knob.whole || b - a < (knob.high - knob.low) * 1e-9) {
        last[1] = b;
        found.push([b, b, next]);
      } else {
        search(a, middle, word(middle));
        search(middle, b, next);
      }
    };
    const steps = knob.whole ? knob.high - knob.low : 100;
    const places = Array.from({ length: steps + 1 }, (_, i) => knob.low + ((knob.high - knob.low) * i) / steps);
    for (let i = 1; i <= steps; i++) search(places[i - 1], places[i], word(places[i]));
    found.at(-1)[1] = knob.high;
    return found;
  };

  const start = (figure) => {
    const rule = JSON.parse(figure.querySelector("script").textContent);
    const box = figure.querySelector(".live-knobs");
    const make = (name, parent, text = "", attributes = {}) => {
      const element = parent.appendChild(document.createElement(name));
      element.textContent = text;
      for (const [key, content] of Object.entries(attributes)) element.setAttribute(key, content);
      return element;
    };
    const shown = (number, knob) => (knob.whole ? String(number) : String(Number(number.toPrecision(3)))).replace("-", "−");
    const idle = [];
    for (const knob of rule.knobs) {
      const parts = stretches(rule, knob);
      if (parts.length < 2) { idle.push(`${knob.label} (${shown(knob.value, knob)})`); continue; }
      const line = make("div", box, "", { class: "live-knob" });
      const label = make("label", line, `${knob.label}: `);
      const now = make("output", label);
      const step = knob.whole ? 1 : (knob.high - knob.low) / 200;
      const slider = make("input", label, "", { type: "range", min: knob.low, max: knob.high, step, "aria-label": knob.label });
      const band = make("div", line, "", { class: "live-band", "aria-hidden": "true" });
      for (const [from, to, word] of parts) {
        const part = make("span", band, "", { class: rule.marks[word] });
        make("i", part, word);
        part.style.flexGrow = Math.max((to - from) / (knob.high - knob.low), 0.02);
      }
      const said = ([from, to, word], i) => `${word} ${i ? `from ${shown(from, knob)}` : `below ${shown(to, knob)}`}`;
      make("p", line, parts.map(said).join("; "));
      const paint = (number) => {
        const word = judge(turned(rule, knob, number));
        now.value = `${shown(number, knob)}, ${word}`;
        now.className = rule.marks[word];
        slider.setAttribute("aria-valuetext", now.value);
      };
      slider.value = knob.value;
      slider.addEventListener("input", () => paint(Number(slider.value)));
      slider.addEventListener("dblclick", () => { slider.value = knob.value; paint(knob.value); });
      const back = make("button", label, `Back to ${shown(knob.value, knob)}`, { type: "button" });
      back.addEventListener("click", () => { slider.value = knob.value; paint(knob.value); });
      paint(knob.value);
    }
    if (idle.length) make("p", box, `Within reason, these change nothing: ${idle.join("; ")}.`);
    for (const still of figure.querySelectorAll(".live-still")) still.remove();
  };

  if (typeof document === "undefined") module.exports = { judge, turned, stretches };
  else {
    for (const figure of document.querySelectorAll("figure.kmgan-thresholds:not([data-started])")) {
      figure.dataset.started = "";
      setTimeout(() => start(figure)); // one at a time, so that the page stays quick
    }
  }
}
