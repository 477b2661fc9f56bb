/* Run inside a copy of a report by page.py: says what is wrong with it, by kind. */
(() => {
	const faults = {};
	const check = (kind, bad) => (faults[kind] = bad.slice(0, 20));
	const all = (selector, root) => [...(root || document).querySelectorAll(selector)];
	const name = e => (e.textContent || e.outerHTML).trim().slice(0, 60);

	/* ---- geometry ---- */
	const boxes = svg => all("text", svg).map(t => ({ t, r: t.getBoundingClientRect() }));
	const overlap = (a, b) => a.left < b.right - .5 && b.left < a.right - .5 && a.top < b.bottom - 1.5 && b.top < a.bottom - 1.5;

	check("texts of a drawing keep off each other", all("svg").flatMap(svg => {
		const b = boxes(svg), bad = [];

		for (let i = 0; i < b.length; i++)
			for (let k = 0; k < i; k++)
				if (overlap(b[i].r, b[k].r))
					bad.push(`"${name(b[i].t)}" and "${name(b[k].t)}"`);
		return bad;
	}));
	check("texts are inside their drawing", all("svg").flatMap(svg => {
		const o = svg.getBoundingClientRect();

		return boxes(svg).filter(({ r }) => r.left < o.left - .5 || r.right > o.right + .5 || r.top < o.top - 1 ||
			r.bottom > o.bottom + 1).map(({ t }) => `"${name(t)}"`);
	}));
	check("the page is not wider than the window", document.documentElement.scrollWidth > innerWidth ?
		[`${document.documentElement.scrollWidth} > ${innerWidth}`] : []);
	check("no text runs out of its element", all("p, h1, h2, h3, dd, dt, .chain span, caption, figcaption").filter(e =>
		e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline").map(name));

	/* ---- contrast ---- */
	const parse = c => (c.match(/[\d.]+/g) || []).map(Number);
	const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
	const luminance = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
	const contrast = (a, b) => {
		const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x);

		return (hi + .05) / (lo + .05);
	};
	const ground = e => {
		const cell = e.closest("svg g") && e.closest("svg g").querySelector("rect");

		if (cell && e.tagName === "text")
			return parse(getComputedStyle(cell).fill);
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);

			if (c.length === 3 || c[3] === 1)
				return c;
		}
		return [255, 255, 255];
	};
	const texts = all("body *").filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) &&
		!["SCRIPT", "STYLE", "title"].includes(e.tagName));

	check("text is readable on its ground", texts.map(e => {
		const s = getComputedStyle(e), c = contrast(parse(e.tagName === "text" ? s.fill : s.color), ground(e));

		return c < 4.5 ? `"${name(e)}" ${c.toFixed(2)}` : null;
	}).filter(Boolean));
	check("text is not tiny", texts.filter(e => {
		const box = e.getBoundingClientRect(), svg = e.closest("svg");
		const scale = svg && svg.viewBox.baseVal && svg.viewBox.baseVal.width ?
			svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;

		return box.width && parseFloat(getComputedStyle(e).fontSize) * scale < 9;
	}).map(name));

	/* ---- structure ---- */
	const levels = all("h1, h2, h3, h4").map(h => +h.tagName[1]);

	check("headings go down one level at a time", levels.filter((l, i) => l > (levels[i - 1] || 0) + 1 || (l === 1) !== !i)
		.map(String));
	check("tables have captions and heads", all("table").filter(t => !t.caption || !t.caption.textContent ||
		all("th:not([scope])", t).length || !all("thead th", t).length).map(name));
	check("drawings have a text or are decoration", all("svg").filter(s => s.getAttribute("aria-hidden") !== "true" &&
		!(s.getAttribute("role") === "img" && s.getAttribute("aria-label"))).map(s => s.outerHTML.slice(0, 80)));
	check("what scrolls can be reached and has a name", all(".scroll").filter(e => e.tabIndex !== 0 ||
		e.getAttribute("role") !== "region" || !e.getAttribute("aria-label")).map(name));
	check("sections have a name", all("section").filter(e => !document.getElementById(e.getAttribute("aria-labelledby")))
		.map(name));
	check("ids are given once", all("[id]").map(e => e.id).filter((id, i, l) => l.indexOf(id) !== i));
	check("the page has a title and a language", document.title && document.documentElement.lang ? [] : ["none"]);
	check("nothing ran", window.pwned ? ["something did"] : []);

	parent.postMessage(JSON.stringify(faults), "*");
})();
